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

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Mask;
use super::cpu::{Input, Memory};
use super::record::record;
use super::simd::exp2;

mod backward;

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

    /// What products of queries and keys are multiplied by.
    #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
    fn scale(&self) -> f32 {
        (self.head as f32).sqrt().recip()
    }

    /// Every batch item and head.
    fn heads(&self) -> Vec<(usize, usize)> {
        (0..self.batch).flat_map(|b| (0..self.n_heads).map(move |n| (b, n))).collect()
    }
}

/// `softmax(q k^T / sqrt(head)) v` for every batch item and head.
///
/// `q`: b s (n e), `k` and `v`: b s' (n e). Returns b s (n e).
pub(super) fn attention(inputs: [Input; 3], shape: Shape) -> Tensor<3> {
    let [q, k, v] = &inputs;
    let Attended { out, log_sums } = forward(&q.values(), &k.values(), &v.values(), shape);
    let out = Memory::new(out, [shape.batch, shape.n_queries, shape.width()]);
    let wanted = inputs.each_ref().map(Input::is_tracked);
    let [q, k, v] = inputs.each_ref().map(|input| input.memory.clone());
    record(inputs, out.clone(), move |grad| {
        let saved = backward::Saved {
            q: &q.values(),
            k: &k.values(),
            v: &v.values(),
            out: &out.values(),
            log_sums: &log_sums,
            shape,
        };
        backward::gradients(saved, grad, wanted)
    })
}

/// What attention finds.
struct Attended {
    /// b s (n e)
    out: Vec<f32>,
    /// log2 of the sum of every query's exponentiated scores: b s n
    log_sums: Vec<f32>,
}

/// `q`: b s (n e), `k` and `v`: b s' (n e), all contiguous.
fn forward(q: &[f32], k: &[f32], v: &[f32], shape: Shape) -> Attended {
    let mut attended = Attended { out: vec![0.0; q.len()], log_sums: vec![0.0; q.len() / shape.head] };
    Arch::new().dispatch(Run { q, k, v, shape, attended: &mut attended });
    attended
}

struct Run<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    shape: Shape,
    attended: &'a mut Attended,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { q, k, v, shape, attended: Attended { out, log_sums } } = self;
        let Shape { batch, n_queries, n_heads, .. } = shape;
        let is_parallel = batch * n_queries * shape.n_keys * shape.width() >= PARALLEL_FROM;
        let layout = Layout::new::<S>(shape);
        let heads = shape.heads();
        let pack = |&(b, n): &(usize, usize)| PackedHead::new(k, v, shape, layout, (b, n));
        let packed: Vec<PackedHead> =
            if is_parallel { heads.par_iter().map(pack).collect() } else { heads.iter().map(pack).collect() };

        // One task per block of query rows of one batch item; it owns its rows of the output for all heads.
        let mut tasks = Vec::new();
        let items = out.chunks_mut(n_queries * shape.width()).zip(log_sums.chunks_mut(n_queries * n_heads));
        for (b, (out, log_sums)) in items.enumerate() {
            let blocks =
                out.chunks_mut(QUERY_BLOCK * shape.width()).zip(log_sums.chunks_mut(QUERY_BLOCK * n_heads));
            tasks.extend(blocks.enumerate().map(|(i, block)| (b, i * QUERY_BLOCK, block)));
        }
        let block = |(b, first, (out, log_sums)): (usize, usize, (&mut [f32], &mut [f32]))| {
            for n in 0..n_heads {
                let tile = Tile { q, shape, layout, head: &packed[b * n_heads + n], b, n, first };
                // Closures lose the target features of their parent: dispatch again inside the thread.
                Arch::new().dispatch(TileRun { tile: &tile, out, log_sums });
            }
        };
        if is_parallel {
            tasks.into_par_iter().for_each(block);
        } else {
            tasks.into_iter().for_each(block);
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

    /// The rows of one head of `x` (b s' (n e)), as the right side of scores: panel, e, key of the panel.
    fn panels(&self, x: &[f32], shape: Shape, (b, n): (usize, usize)) -> Vec<f32> {
        let Shape { n_keys, head, .. } = shape;
        let panel = self.panel();
        let mut panels = vec![0.0; self.n_keys_padded * head];
        for (key, slot) in (0..n_keys).map(|key| (key, key / panel * panel * head + key % panel)) {
            let row = &x[(b * n_keys + key) * shape.width() + n * head..][..head];
            for (e, &value) in row.iter().enumerate() {
                panels[slot + e * panel] = value;
            }
        }
        panels
    }

    /// The rows of one head of `x` (b s (n e)), as the right side of products with weights: column group, row, column of
    /// the group. Rows past the last are zero.
    fn columns(
        &self,
        x: &[f32],
        (n_rows, n_rows_padded): (usize, usize),
        shape: Shape,
        (b, n): (usize, usize),
    ) -> Vec<f32> {
        let mut columns = vec![0.0; n_rows_padded * self.value_vectors * self.lanes];
        for (first, n_vectors) in self.value_groups() {
            let (column, group) = (first * self.lanes, n_vectors * self.lanes);
            let n_columns = group.min(shape.head - column);
            let slots = columns[column * n_rows_padded..].chunks_exact_mut(group).take(n_rows);
            for (row, slot) in slots.enumerate() {
                let from = (b * n_rows + row) * shape.width() + n * shape.head + column;
                slot[..n_columns].copy_from_slice(&x[from..][..n_columns]);
            }
        }
        columns
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
        let values = layout.columns(v, (shape.n_keys, layout.n_keys_padded), shape, (b, n));
        Self { keys: layout.panels(k, shape, (b, n)), values }
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
    log_sums: &'b mut [f32],
}

impl WithSimd for TileRun<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, out, log_sums } = self;
        let Shape { n_keys, n_heads, head, .. } = tile.shape;
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
            log_sums[row * n_heads + tile.n] = state.max[row] + state.total[row].log2();
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
        let scale = std::f32::consts::LOG2_E * self.shape.scale(); // softmax in base 2
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
