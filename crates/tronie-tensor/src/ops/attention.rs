//! Fused attention for the CPU: the score matrix never exists, only one tile of it per thread.
//!
//! Online softmax over blocks of keys (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
//! arXiv:2205.14135). Both products run in register tiles of 6 rows by up to 4 vectors, which is what makes the
//! short inner dimension of a head (40 to 160) cheap: a general matrix product would spend its time packing.
//! Keys and values are packed once per call; queries once per tile.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a bound computed a few lines above"
)]

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Mask;
use super::simd::exp2;

/// Rows of a register tile.
const ROWS: usize = 6;
/// Query rows of one task; a multiple of [`ROWS`].
const QUERY_BLOCK: usize = 96;
/// Keys of one step of the online softmax; a multiple of every panel width.
const KEY_BLOCK: usize = 256;
/// Below this many multiplications a second thread costs more than it brings.
const PARALLEL_FROM: usize = 1 << 20;

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) n_queries: usize,
    pub(super) n_keys: usize,
    pub(super) n_heads: usize,
    /// Width of one head.
    pub(super) head: usize,
    pub(super) mask: Mask,
}

impl Shape {
    fn width(&self) -> usize {
        self.n_heads * self.head
    }
}

/// `softmax(q k^T / sqrt(head)) v` for every batch item and head.
///
/// `q`: b s (n e), `k` and `v`: b s' (n e), all contiguous. Returns b s (n e).
pub(super) fn attention(q: &[f32], k: &[f32], v: &[f32], shape: Shape) -> Vec<f32> {
    let mut out = vec![0.0; q.len()];
    Arch::new().dispatch(Run { q, k, v, shape, out: &mut out });
    out
}

struct Run<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    shape: Shape,
    out: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { q, k, v, shape, out } = self;
        let Shape { batch, n_queries, n_heads, .. } = shape;
        let is_parallel = batch * n_queries * shape.n_keys * shape.width() >= PARALLEL_FROM;
        let layout = Layout::new::<S>(shape);
        let heads: Vec<(usize, usize)> = (0..batch).flat_map(|b| (0..n_heads).map(move |n| (b, n))).collect();
        let pack = |&(b, n): &(usize, usize)| PackedHead::new(k, v, shape, layout, (b, n));
        let packed: Vec<PackedHead> =
            if is_parallel { heads.par_iter().map(pack).collect() } else { heads.iter().map(pack).collect() };

        // One task per block of query rows of one batch item; it owns its rows of the output for all heads.
        let rows = out.par_chunks_mut(n_queries * shape.width()).enumerate();
        let block = |b: usize, first: usize, out: &mut [f32]| {
            for n in 0..n_heads {
                let tile = Tile { q, shape, layout, head: &packed[b * n_heads + n], b, n, first };
                // Closures lose the target features of their parent: dispatch again inside the thread.
                Arch::new().dispatch(TileRun { tile: &tile, out });
            }
        };
        let chunk = QUERY_BLOCK * shape.width();
        if is_parallel {
            rows.for_each(|(b, out)| {
                out.par_chunks_mut(chunk).enumerate().for_each(|(i, out)| block(b, i * QUERY_BLOCK, out));
            });
        } else {
            for (b, out) in out.chunks_mut(n_queries * shape.width()).enumerate() {
                out.chunks_mut(chunk).enumerate().for_each(|(i, out)| block(b, i * QUERY_BLOCK, out));
            }
        }
    }
}

/// How keys and values are cut into panels, from the vector length and register count of the machine.
#[derive(Debug, Clone, Copy)]
struct Layout {
    lanes: usize,
    /// Vectors of a register tile's row.
    max_vectors: usize,
    /// Keys after padding to whole panels.
    n_keys_padded: usize,
    /// Vectors that hold one value row.
    value_vectors: usize,
}

impl Layout {
    #[inline(always)]
    fn new<S: Simd>(shape: Shape) -> Self {
        let lanes = S::F32_LANES;
        let max_vectors = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        Self {
            lanes,
            max_vectors,
            n_keys_padded: shape.n_keys.next_multiple_of(lanes * max_vectors),
            value_vectors: shape.head.div_ceil(lanes),
        }
    }

    /// Keys in one panel.
    fn panel(&self) -> usize {
        self.lanes * self.max_vectors
    }

    /// (first vector, number of vectors) of each group of value columns.
    fn value_groups(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { max_vectors, value_vectors, .. } = *self;
        (0..value_vectors)
            .step_by(max_vectors)
            .map(move |first| (first, max_vectors.min(value_vectors - first)))
    }
}

/// The keys and values of one head, in the order the register tiles read them.
struct PackedHead {
    /// panel, e, key of the panel
    keys: Vec<f32>,
    /// column group, key, column of the group
    values: Vec<f32>,
}

impl PackedHead {
    fn new(k: &[f32], v: &[f32], shape: Shape, layout: Layout, (b, n): (usize, usize)) -> Self {
        let Shape { n_keys, head, .. } = shape;
        let (width, panel) = (shape.width(), layout.panel());
        let row = |x: usize| (b * n_keys + x) * width + n * head;
        let mut keys = vec![0.0; layout.n_keys_padded * head];
        for (key, slot) in (0..n_keys).map(|key| (key, key / panel * panel * head + key % panel)) {
            for (e, &value) in k[row(key)..][..head].iter().enumerate() {
                keys[slot + e * panel] = value;
            }
        }
        let mut values = vec![0.0; layout.n_keys_padded * layout.value_vectors * layout.lanes];
        for (first, n_vectors) in layout.value_groups() {
            let (column, group) = (first * layout.lanes, n_vectors * layout.lanes);
            let n_columns = group.min(head - column);
            let panel = &mut values[column * layout.n_keys_padded..];
            for (key, slot) in panel.chunks_exact_mut(group).take(n_keys).enumerate() {
                slot[..n_columns].copy_from_slice(&v[row(key) + column..][..n_columns]);
            }
        }
        Self { keys, values }
    }
}

/// One block of query rows of one head.
struct Tile<'a> {
    q: &'a [f32],
    shape: Shape,
    layout: Layout,
    head: &'a PackedHead,
    b: usize,
    n: usize,
    /// First query row.
    first: usize,
}

struct TileRun<'a, 'b> {
    tile: &'a Tile<'a>,
    /// All heads of the block's rows.
    out: &'b mut [f32],
}

impl WithSimd for TileRun<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, out } = self;
        let Shape { n_keys, head, .. } = tile.shape;
        let n_rows = out.len() / tile.shape.width();
        let n_groups = n_rows.div_ceil(ROWS);
        let queries = tile.pack_queries(n_rows);
        let value_width = tile.layout.value_vectors * S::F32_LANES;
        let mut state = State {
            scores: vec![0.0; n_groups * ROWS * KEY_BLOCK],
            sums: vec![0.0; n_groups * ROWS * value_width],
            max: vec![f32::NEG_INFINITY; n_rows],
            total: vec![0.0; n_rows],
        };
        for first in (0..n_keys).step_by(KEY_BLOCK) {
            if tile.shape.mask == Mask::Causal && first > tile.first + n_rows - 1 {
                break; // nothing left of the diagonal
            }
            let keys = Keys { first, n: KEY_BLOCK.min(tile.layout.n_keys_padded - first) };
            tile.scores(simd, &queries, keys, &mut state);
            tile.softmax(simd, keys, &mut state);
            tile.weigh(simd, keys, &mut state);
        }
        for (row, out) in out.chunks_exact_mut(tile.shape.width()).enumerate() {
            let scale = state.total[row].recip();
            let sums = &state.sums[row * value_width..][..head];
            for (out, sum) in out[tile.n * head..][..head].iter_mut().zip(sums) {
                *out = sum * scale;
            }
        }
    }
}

/// One block of keys.
#[derive(Debug, Clone, Copy)]
struct Keys {
    first: usize,
    n: usize,
}

/// What the online softmax carries from one block of keys to the next.
struct State {
    /// row, key of the block; log2 scores, then weights
    scores: Vec<f32>,
    /// row, value column; not yet divided by `total`
    sums: Vec<f32>,
    max: Vec<f32>,
    total: Vec<f32>,
}

impl Tile<'_> {
    /// Scaled queries in groups of rows: group, e, row. Rows past the end are zero.
    fn pack_queries(&self, n_rows: usize) -> Vec<f32> {
        let Shape { n_queries, head, .. } = self.shape;
        #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
        let scale = std::f32::consts::LOG2_E / (head as f32).sqrt(); // softmax in base 2
        let mut packed = vec![0.0; n_rows.div_ceil(ROWS) * ROWS * head];
        for row in 0..n_rows {
            let from = (self.b * n_queries + self.first + row) * self.shape.width() + self.n * head;
            let to = row / ROWS * ROWS * head + row % ROWS;
            for (e, value) in self.q[from..][..head].iter().enumerate() {
                packed[to + e * ROWS] = value * scale;
            }
        }
        packed
    }

    #[inline(always)]
    fn scores<S: Simd>(&self, simd: S, queries: &[f32], keys: Keys, state: &mut State) {
        let (head, panel) = (self.shape.head, self.layout.panel());
        for offset in (0..keys.n).step_by(panel) {
            let keys = S::as_simd_f32s(&self.head.keys[(keys.first + offset) * head..][..panel * head]).0;
            for (queries, scores) in
                queries.chunks_exact(ROWS * head).zip(state.scores.chunks_exact_mut(ROWS * KEY_BLOCK))
            {
                let scores = &mut scores[offset..];
                if self.layout.max_vectors == 4 {
                    score_tile::<S, 4>(simd, queries, keys, scores);
                } else {
                    score_tile::<S, 2>(simd, queries, keys, scores);
                }
            }
        }
    }

    /// Turns scores into weights relative to the new row maximum and rescales what was summed before.
    #[inline(always)]
    fn softmax<S: Simd>(&self, simd: S, keys: Keys, state: &mut State) {
        let width = self.layout.value_vectors * S::F32_LANES;
        let State { scores, sums, max, total } = state;
        for (row, (max, total)) in max.iter_mut().zip(total).enumerate() {
            let scores = &mut scores[row * KEY_BLOCK..][..keys.n];
            let n_visible = match self.shape.mask {
                Mask::None => self.shape.n_keys,
                Mask::Causal => self.first + row + 1,
            };
            let n_visible = n_visible.saturating_sub(keys.first).min(keys.n);
            scores[n_visible..].fill(f32::NEG_INFINITY);
            let vectors = S::as_mut_simd_f32s(scores).0;
            let top =
                vectors.iter().fold(simd.splat_f32s(f32::NEG_INFINITY), |top, &x| simd.max_f32s(top, x));
            let new_max = max.max(simd.reduce_max_f32s(top));
            let minus_max = simd.splat_f32s(-new_max);
            let mut sum = simd.splat_f32s(0.0);
            for x in vectors {
                *x = exp2(simd, simd.add_f32s(*x, minus_max));
                sum = simd.add_f32s(sum, *x);
            }
            let correction = (*max - new_max).exp2(); // 0 in the first block
            *total = *total * correction + simd.reduce_sum_f32s(sum);
            if correction != 1.0 {
                sums[row * width..][..width].iter_mut().for_each(|sum| *sum *= correction);
            }
            *max = new_max;
        }
    }

    /// Adds the block's weighted values.
    #[inline(always)]
    fn weigh<S: Simd>(&self, simd: S, keys: Keys, state: &mut State) {
        let width = self.layout.value_vectors * S::F32_LANES;
        for (first, n_vectors) in self.layout.value_groups() {
            let (column, group) = (first * S::F32_LANES, n_vectors * S::F32_LANES);
            let from = column * self.layout.n_keys_padded + keys.first * group;
            let values = S::as_simd_f32s(&self.head.values[from..][..keys.n * group]).0;
            let weights = state.scores.chunks_exact(ROWS * KEY_BLOCK);
            for (weights, sums) in weights.zip(state.sums.chunks_exact_mut(ROWS * width)) {
                let sums = &mut sums[column..];
                match n_vectors {
                    1 => weigh_tile::<S, 1>(simd, weights, values, sums, width),
                    2 => weigh_tile::<S, 2>(simd, weights, values, sums, width),
                    3 => weigh_tile::<S, 3>(simd, weights, values, sums, width),
                    _ => weigh_tile::<S, 4>(simd, weights, values, sums, width),
                }
            }
        }
    }
}

/// 6 rows by C vectors of scores: `queries`: e row, `keys`: e vector, `scores`: row key.
#[inline(always)]
fn score_tile<S: Simd, const C: usize>(simd: S, queries: &[f32], keys: &[S::f32s], scores: &mut [f32]) {
    let mut tile = [[simd.splat_f32s(0.0); C]; ROWS];
    for (q, k) in queries.as_chunks::<ROWS>().0.iter().zip(keys.as_chunks::<C>().0) {
        for (row, q) in tile.iter_mut().zip(q) {
            let q = simd.splat_f32s(*q);
            for (cell, k) in row.iter_mut().zip(k) {
                *cell = simd.mul_add_e_f32s(q, *k, *cell);
            }
        }
    }
    for (row, scores) in tile.iter().zip(scores.chunks_mut(KEY_BLOCK)) {
        let scores = S::as_mut_simd_f32s(&mut scores[..C * S::F32_LANES]).0;
        scores.copy_from_slice(row);
    }
}

/// 6 rows by C vectors of sums += weights * values: `weights`: row key, `values`: key vector, `sums`: row column.
#[inline(always)]
fn weigh_tile<S: Simd, const C: usize>(
    simd: S,
    weights: &[f32],
    values: &[S::f32s],
    sums: &mut [f32],
    width: usize,
) {
    let values = values.as_chunks::<C>().0;
    let weights: [&[f32]; ROWS] = std::array::from_fn(|row| &weights[row * KEY_BLOCK..][..values.len()]);
    let mut tile = [[simd.splat_f32s(0.0); C]; ROWS];
    for (row, sums) in tile.iter_mut().zip(sums.chunks(width)) {
        row.copy_from_slice(S::as_simd_f32s(&sums[..C * S::F32_LANES]).0);
    }
    for (key, values) in values.iter().enumerate() {
        for (row, weights) in tile.iter_mut().zip(weights) {
            let weight = simd.splat_f32s(weights[key]);
            for (cell, value) in row.iter_mut().zip(values) {
                *cell = simd.mul_add_e_f32s(weight, *value, *cell);
            }
        }
    }
    for (row, sums) in tile.iter().zip(sums.chunks_mut(width)) {
        S::as_mut_simd_f32s(&mut sums[..C * S::F32_LANES]).0.copy_from_slice(row);
    }
}

#[cfg(test)]
mod tests;
