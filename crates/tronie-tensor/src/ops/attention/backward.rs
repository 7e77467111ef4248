//! The gradients of attention: the weights are computed again, tile by tile, from queries, keys and the log-sums.
//!
//! Dao 2023 (arXiv:2307.08691), Algorithm 2. With the weights P, the gradient G of the output and D the sum of G times the
//! output over a row: dV = P^T G, dP = G V^T, dS = P (dP - D), dQ = dS K and dK = dS^T Q, both over sqrt(e).
//! One task per batch item and head, which adds its tiles in order: threads do not change a bit.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a bound computed a few lines above"
)]

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::simd::{exp2, update};
use super::{Layout, Mask, QUERY_BLOCK, ROWS, Shape};

/// Keys of one tile: a multiple of [`ROWS`] and of every panel width.
const KEY_BLOCK: usize = 192;

/// What the forward pass leaves for the gradients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved<'a> {
    /// b s (n e)
    pub(super) q: &'a [f32],
    /// b s' (n e)
    pub(super) k: &'a [f32],
    /// b s' (n e)
    pub(super) v: &'a [f32],
    /// b s (n e)
    pub(super) out: &'a [f32],
    /// b s n, base 2
    pub(super) log_sums: &'a [f32],
    pub(super) shape: Shape,
}

/// The wanted gradients of queries, keys and values from that of the output (b s (n e)).
pub(super) fn gradients(saved: Saved<'_>, grad: &[f32], wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
    let shape = saved.shape;
    let heads: Vec<[Rows; 3]> = shape
        .heads()
        .into_par_iter()
        .map(|(b, n)| Arch::new().dispatch(HeadRun { saved, grad, wanted, b, n }))
        .collect();
    from_fn(|i| {
        let n_rows = if i == 0 { shape.n_queries } else { shape.n_keys };
        wanted[i].then(|| {
            let mut out = vec![0.0; shape.batch * n_rows * shape.width()];
            out.par_chunks_exact_mut(shape.width()).enumerate().for_each(|(at, out)| {
                let (b, row) = (at / n_rows, at % n_rows);
                for (n, out) in out.chunks_exact_mut(shape.head).enumerate() {
                    out.copy_from_slice(&heads[b * shape.n_heads + n][i].row(row)[..shape.head]);
                }
            });
            out
        })
    })
}

/// Rows of one head, each padded with zeros to whole vectors.
struct Rows {
    values: Vec<f32>,
    /// Length of a padded row.
    width: usize,
}

impl Rows {
    fn zeros(n_rows: usize, layout: Layout) -> Self {
        let width = layout.value_vectors * layout.lanes;
        Self { values: vec![0.0; n_rows * width], width }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// From a row on.
    fn from(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..]
    }

    /// Six rows from one on.
    fn tile_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.width..][..ROWS * self.width]
    }

    fn scale(&mut self, factor: f32) {
        self.values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// The gradients of one head: queries, keys, values.
struct HeadRun<'a> {
    saved: Saved<'a>,
    grad: &'a [f32],
    wanted: [bool; 3],
    b: usize,
    n: usize,
}

impl WithSimd for HeadRun<'_> {
    type Output = [Rows; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Rows; 3] {
        let Shape { n_queries, n_keys, mask, .. } = self.saved.shape;
        let layout = Layout::new::<S>(self.saved.shape);
        let head = Head::new(&self, layout);
        let mut out = [n_queries, n_keys, n_keys].map(|n| Rows::zeros(n.next_multiple_of(ROWS), layout));
        let mut tile = Tile {
            first_row: 0,
            n_rows: 0,
            first_key: 0,
            n_keys: 0,
            weights: vec![0.0; QUERY_BLOCK * KEY_BLOCK],
            slopes: vec![0.0; QUERY_BLOCK * KEY_BLOCK],
        };
        for first_key in (0..n_keys).step_by(KEY_BLOCK) {
            for first_row in (0..n_queries).step_by(QUERY_BLOCK) {
                if mask == Mask::Causal && first_row + QUERY_BLOCK <= first_key {
                    continue; // nothing left of the diagonal
                }
                (tile.first_row, tile.first_key) = (first_row, first_key);
                tile.n_rows = QUERY_BLOCK.min(n_queries - first_row).next_multiple_of(ROWS);
                tile.n_keys = KEY_BLOCK.min(n_keys - first_key);
                tile.fill(simd, &head);
                tile.add(simd, &head, self.wanted, &mut out);
            }
        }
        let [dq, dk, _] = &mut out;
        dq.scale(self.saved.shape.scale());
        dk.scale(std::f32::consts::LN_2); // the queries it was made of are in base 2
        out
    }
}

/// One head's operands, in the order the register tiles read them.
struct Head {
    shape: Shape,
    layout: Layout,
    /// Scaled, so that scores are logarithms in base 2.
    q: Rows,
    k: Rows,
    grad: Rows,
    /// panel, e, key of the panel
    keys: Vec<f32>,
    /// panel, e, key of the panel
    values: Vec<f32>,
    log_sums: Vec<f32>,
    /// Of every query: the gradient of its output times the output.
    dots: Vec<f32>,
}

impl Head {
    fn new(run: &HeadRun<'_>, layout: Layout) -> Self {
        let &HeadRun { saved, grad, b, n, .. } = run;
        let shape = saved.shape;
        let Shape { n_queries, n_keys, n_heads, head, .. } = shape;
        let queries = b * n_queries..(b + 1) * n_queries;
        // Past the last query the tiles read zeros, which add nothing.
        let n_padded = n_queries.next_multiple_of(ROWS);
        let rows = |x: &[f32], first: usize, n_rows: usize, n_padded: usize, scale: f32| {
            let mut rows = Rows::zeros(n_padded, layout);
            for (to, row) in rows.values.chunks_exact_mut(rows.width).take(n_rows).zip(first..) {
                let from = &x[row * shape.width() + n * head..][..head];
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
            }
            rows
        };
        let dot = |row: usize| -> f32 {
            let at = row * shape.width() + n * head;
            grad[at..][..head].iter().zip(&saved.out[at..]).map(|(grad, out)| grad * out).sum()
        };
        let mut dots: Vec<f32> = queries.clone().map(dot).collect();
        let mut log_sums: Vec<f32> = queries.clone().map(|row| saved.log_sums[row * n_heads + n]).collect();
        dots.resize(n_padded, 0.0);
        log_sums.resize(n_padded, 0.0);
        Self {
            shape,
            layout,
            q: rows(saved.q, queries.start, n_queries, n_padded, shape.scale() * std::f32::consts::LOG2_E),
            k: rows(saved.k, b * n_keys, n_keys, n_keys, 1.0),
            grad: rows(grad, queries.start, n_queries, n_padded, 1.0),
            keys: layout.panels(saved.k, shape, (b, n)),
            values: layout.panels(saved.v, shape, (b, n)),
            log_sums,
            dots,
        }
    }
}

/// Some queries and some keys.
struct Tile {
    first_row: usize,
    /// A multiple of [`ROWS`].
    n_rows: usize,
    first_key: usize,
    n_keys: usize,
    /// What every query makes of every key: row, key
    weights: Vec<f32>,
    /// The gradients of the scores: row, key
    slopes: Vec<f32>,
}

impl Tile {
    /// Weights and slopes.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, head: &Head) {
        self.scores::<S>(simd, head);
        let Self { first_row, n_rows, first_key, n_keys, .. } = *self;
        let tiles = self.weights.chunks_exact_mut(KEY_BLOCK).zip(self.slopes.chunks_exact_mut(KEY_BLOCK));
        for ((weights, slopes), row) in tiles.take(n_rows).zip(first_row..) {
            let n_visible = match head.shape.mask {
                Mask::None => n_keys,
                Mask::Causal => (row + 1).saturating_sub(first_key).min(n_keys),
            };
            weights[n_visible..].fill(f32::NEG_INFINITY);
            let (log_sum, dot) = (simd.splat_f32s(head.log_sums[row]), simd.splat_f32s(head.dots[row]));
            update(
                simd,
                [],
                [weights, slopes],
                #[inline(always)]
                |[], [score, product]| {
                    let weight = exp2(simd, simd.sub_f32s(score, log_sum));
                    [weight, simd.mul_f32s(weight, simd.sub_f32s(product, dot))]
                },
            );
        }
    }

    /// Scores into `weights`, products of gradients and values into `slopes`.
    #[inline(always)]
    fn scores<S: Simd>(&mut self, simd: S, head: &Head) {
        let (panel, e) = (head.layout.panel(), head.shape.head);
        let Self { first_row, n_rows, first_key, n_keys, .. } = *self;
        let sides = [(&head.q, &head.keys, &mut self.weights), (&head.grad, &head.values, &mut self.slopes)];
        for (rows, panels, out) in sides {
            for offset in (0..n_keys).step_by(panel) {
                let panel = S::as_simd_f32s(&panels[(first_key + offset) * e..][..panel * e]).0;
                for (row, out) in
                    (first_row..).step_by(ROWS).zip(out.chunks_mut(ROWS * KEY_BLOCK)).take(n_rows / ROWS)
                {
                    let lhs = across(rows.from(row), rows.width, e);
                    let out = &mut out[offset..];
                    if head.layout.max_vectors == 4 {
                        product::<S, 4>(simd, lhs, panel.as_chunks().0.iter(), out, (KEY_BLOCK, false));
                    } else {
                        product::<S, 2>(simd, lhs, panel.as_chunks().0.iter(), out, (KEY_BLOCK, false));
                    }
                }
            }
        }
    }

    /// Adds what the tile gives to the gradients of queries, keys and values.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, head: &Head, wanted: [bool; 3], out: &mut [Rows; 3]) {
        let [dq, dk, dv] = out;
        if wanted[0] {
            for row in (0..self.n_rows).step_by(ROWS) {
                let lhs = across(&self.slopes[row * KEY_BLOCK..], KEY_BLOCK, self.n_keys);
                let out = dq.tile_mut(self.first_row + row);
                add_product(simd, lhs, head.k.from(self.first_key), out, head.layout);
            }
        }
        let of_keys = [(&self.slopes, &head.q, dk, wanted[1]), (&self.weights, &head.grad, dv, wanted[2])];
        for (tile, rows, out, _) in of_keys.into_iter().filter(|(.., wanted)| *wanted) {
            for key in (0..self.n_keys).step_by(ROWS) {
                let lhs = down(&tile[key..], self.n_rows);
                let out = out.tile_mut(self.first_key + key);
                add_product(simd, lhs, rows.from(self.first_row), out, head.layout);
            }
        }
    }
}

/// Six rows of a matrix, column by column.
#[inline(always)]
fn across(x: &[f32], stride: usize, n: usize) -> impl Iterator<Item = [f32; ROWS]> + Clone {
    let rows: [&[f32]; ROWS] = from_fn(|row| &x[row * stride..][..n]);
    (0..n).map(move |i| rows.map(|row| row[i]))
}

/// The first six columns of a tile, row by row.
#[inline(always)]
fn down(tile: &[f32], n_rows: usize) -> impl Iterator<Item = [f32; ROWS]> + Clone {
    tile.chunks(KEY_BLOCK).take(n_rows).map(|row| {
        let row = &row[..ROWS];
        from_fn(|i| row[i])
    })
}

/// `out += lhs rhs`, where `rhs` and `out` are [`Rows`].
#[inline(always)]
fn add_product<S: Simd>(
    simd: S,
    lhs: impl Iterator<Item = [f32; ROWS]> + Clone,
    rhs: &[f32],
    out: &mut [f32],
    layout: Layout,
) {
    let rhs = S::as_simd_f32s(rhs).0.chunks_exact(layout.value_vectors);
    let stride = layout.value_vectors * S::F32_LANES;
    for (first, n_vectors) in layout.value_groups() {
        let out = &mut out[first * S::F32_LANES..];
        let (lhs, rhs) = (lhs.clone(), rhs.clone().map(|row| &row[first..]));
        match n_vectors {
            1 => product::<S, 1>(simd, lhs, rhs.filter_map(|row| row.first_chunk()), out, (stride, true)),
            2 => product::<S, 2>(simd, lhs, rhs.filter_map(|row| row.first_chunk()), out, (stride, true)),
            3 => product::<S, 3>(simd, lhs, rhs.filter_map(|row| row.first_chunk()), out, (stride, true)),
            _ => product::<S, 4>(simd, lhs, rhs.filter_map(|row| row.first_chunk()), out, (stride, true)),
        }
    }
}

/// 6 rows by C vectors of `out (+)= lhs rhs`; rows of `out` are `stride` numbers apart.
#[inline(always)]
fn product<'a, S: Simd, const C: usize>(
    simd: S,
    lhs: impl Iterator<Item = [f32; ROWS]>,
    rhs: impl Iterator<Item = &'a [S::f32s; C]>,
    out: &mut [f32],
    (stride, add): (usize, bool),
) {
    let mut tile = [[simd.splat_f32s(0.0); C]; ROWS];
    for (lhs, rhs) in lhs.zip(rhs) {
        for (row, lhs) in tile.iter_mut().zip(lhs) {
            let lhs = simd.splat_f32s(lhs);
            for (cell, rhs) in row.iter_mut().zip(rhs) {
                *cell = simd.mul_add_e_f32s(lhs, *rhs, *cell);
            }
        }
    }
    for (row, out) in tile.iter().zip(out.chunks_mut(stride)) {
        for (cell, out) in row.iter().zip(S::as_mut_simd_f32s(out).0) {
            *out = if add { simd.add_f32s(*out, *cell) } else { *cell };
        }
    }
}
