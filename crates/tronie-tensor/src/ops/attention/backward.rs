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

impl<'a> HeadRun<'a> {
    /// One query's part of `x` (b s (n e)).
    fn query_row(&self, x: &'a [f32], row: usize) -> &'a [f32] {
        let Shape { n_queries, head, .. } = self.saved.shape;
        &x[(self.b * n_queries + row) * self.saved.shape.width() + self.n * head..][..head]
    }
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
            weights: vec![[0.0; KEY_BLOCK]; QUERY_BLOCK],
            slopes: vec![[0.0; KEY_BLOCK]; QUERY_BLOCK],
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
        dk.scale(self.saved.shape.scale());
        out
    }
}

/// One head's operands, in the order the register tiles read them. Queries past the last are zero, which adds nothing.
struct Head {
    shape: Shape,
    layout: Layout,
    /// Queries in whole register tiles.
    n_rows: usize,
    /// Left sides: row, e; the queries are scaled, so that scores are logarithms in base 2.
    rows: [Vec<f32>; 2],
    /// Their right sides: panel, e, key of the panel.
    panels: [Vec<f32>; 2],
    /// Right sides of the gradients of queries, keys and values: column group, row, column of the group.
    columns: [Vec<f32>; 3],
    log_sums: Vec<f32>,
    /// Of every query: the gradient of its output times the output.
    dots: Vec<f32>,
}

impl Head {
    fn new(run: &HeadRun<'_>, layout: Layout) -> Self {
        let &HeadRun { saved: Saved { q, k, v, out, log_sums, shape }, grad, b, n, .. } = run;
        let Shape { n_queries, n_keys, n_heads, head, .. } = shape;
        let n_rows = n_queries.next_multiple_of(ROWS);
        let scaled_rows = |x, scale: f32| {
            let mut rows: Vec<f32> =
                (0..n_queries).flat_map(|i| run.query_row(x, i)).map(|value| value * scale).collect();
            rows.resize(n_rows * head, 0.0);
            rows
        };
        let per_query = |of: &dyn Fn(usize) -> f32| {
            let mut values: Vec<f32> = (0..n_queries).map(of).collect();
            values.resize(n_rows, 0.0);
            values
        };
        let columns = |x, n_rows, n_padded| layout.columns(x, (n_rows, n_padded), shape, (b, n));
        Self {
            shape,
            layout,
            n_rows,
            rows: [scaled_rows(q, shape.scale() * std::f32::consts::LOG2_E), scaled_rows(grad, 1.0)],
            panels: [layout.panels(k, shape, (b, n)), layout.panels(v, shape, (b, n))],
            columns: [
                columns(k, n_keys, n_keys),
                columns(q, n_queries, n_rows),
                columns(grad, n_queries, n_rows),
            ],
            log_sums: per_query(&|i| log_sums[(b * n_queries + i) * n_heads + n]),
            dots: per_query(&|i| {
                let pairs = run.query_row(grad, i).iter().zip(run.query_row(out, i));
                pairs.map(|(grad, out)| grad * out).sum()
            }),
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
    weights: Vec<[f32; KEY_BLOCK]>,
    /// The gradients of the scores: row, key
    slopes: Vec<[f32; KEY_BLOCK]>,
}

impl Tile {
    /// Weights and slopes.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, head: &Head) {
        self.scores::<S>(simd, head);
        let Self { first_row, n_rows, first_key, n_keys, .. } = *self;
        let rows = self.weights.iter_mut().zip(&mut self.slopes).take(n_rows);
        for ((weights, slopes), row) in rows.zip(first_row..) {
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
        let outs = [&mut self.weights, &mut self.slopes];
        for ((rows, panels), out) in head.rows.iter().zip(&head.panels).zip(outs) {
            for offset in (0..n_keys).step_by(panel) {
                let rhs = S::as_simd_f32s(&panels[(first_key + offset) * e..][..panel * e]).0;
                let lhs = rows[first_row * e..][..n_rows * e].chunks_exact(ROWS * e);
                for (lhs, out) in lhs.zip(out.as_flattened_mut().chunks_exact_mut(ROWS * KEY_BLOCK)) {
                    let (lhs, out) = (across(lhs, e, e), &mut out[offset..]);
                    if head.layout.max_vectors == 4 {
                        product::<S, 4>(simd, lhs, rhs, out, (KEY_BLOCK, false));
                    } else {
                        product::<S, 2>(simd, lhs, rhs, out, (KEY_BLOCK, false));
                    }
                }
            }
        }
    }

    /// Adds what the tile gives to the gradients of queries, keys and values.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, head: &Head, wanted: [bool; 3], out: &mut [Rows; 3]) {
        let [dq, dk, dv] = out;
        let [k, q, grad] = &head.columns;
        if wanted[0] {
            let k = Columns { values: k, n_rows: head.shape.n_keys, first: self.first_key };
            for row in (0..self.n_rows).step_by(ROWS) {
                let lhs = across(self.slopes[row..].as_flattened(), KEY_BLOCK, self.n_keys);
                let out = dq.tile_mut(self.first_row + row);
                k.add_product(simd, lhs, out, head.layout);
            }
        }
        let sides = [(wanted[1], &self.slopes, q, dk), (wanted[2], &self.weights, grad, dv)];
        for (_, tile, values, out) in sides.into_iter().filter(|side| side.0) {
            let rhs = Columns { values, n_rows: head.n_rows, first: self.first_row };
            for group in 0..self.n_keys.div_ceil(ROWS) {
                let lhs = down(&tile[..self.n_rows], group);
                let out = out.tile_mut(self.first_key + group * ROWS);
                rhs.add_product(simd, lhs, out, head.layout);
            }
        }
    }
}

/// Six rows of the left side of a product.
#[derive(Clone, Copy)]
struct Lhs<F> {
    n_columns: usize,
    column: F,
}

impl<F: Fn(usize) -> [f32; ROWS]> Lhs<F> {
    #[inline(always)]
    fn new(n_columns: usize, column: F) -> Self {
        Self { n_columns, column }
    }
}

/// Six rows of a matrix of `n` columns; the rows are `stride` numbers apart.
#[inline(always)]
fn across(x: &[f32], stride: usize, n: usize) -> Lhs<impl Fn(usize) -> [f32; ROWS] + Copy> {
    let [a, b, c, d, e, f]: [&[f32]; ROWS] = from_fn(|row| &x[row * stride..][..n]);
    Lhs::new(
        n,
        #[inline(always)]
        move |i| [a[i], b[i], c[i], d[i], e[i], f[i]],
    )
}

/// The `group`th six columns of a tile, as rows.
#[inline(always)]
fn down(tile: &[[f32; KEY_BLOCK]], group: usize) -> Lhs<impl Fn(usize) -> [f32; ROWS] + Copy> {
    Lhs::new(
        tile.len(),
        #[inline(always)]
        move |i: usize| tile[i].as_chunks().0[group],
    )
}

/// The right side of a product: some rows of what [`Layout::columns`] made.
#[derive(Clone, Copy)]
struct Columns<'a> {
    values: &'a [f32],
    /// Of all of `values`.
    n_rows: usize,
    first: usize,
}

impl Columns<'_> {
    /// `out += lhs self`, where `out` is of [`Rows`].
    #[inline(always)]
    fn add_product<S: Simd>(
        self,
        simd: S,
        lhs: Lhs<impl Fn(usize) -> [f32; ROWS] + Copy>,
        out: &mut [f32],
        layout: Layout,
    ) {
        let to = (layout.value_vectors * S::F32_LANES, true);
        for (first, n_vectors) in layout.value_groups() {
            let (column, group) = (first * S::F32_LANES, n_vectors * S::F32_LANES);
            let rhs = &self.values[column * self.n_rows + self.first * group..][..lhs.n_columns * group];
            let (rhs, out) = (S::as_simd_f32s(rhs).0, &mut out[column..]);
            match n_vectors {
                1 => product::<S, 1>(simd, lhs, rhs, out, to),
                2 => product::<S, 2>(simd, lhs, rhs, out, to),
                3 => product::<S, 3>(simd, lhs, rhs, out, to),
                _ => product::<S, 4>(simd, lhs, rhs, out, to),
            }
        }
    }
}

/// 6 rows by C vectors of `out (+)= lhs rhs`; rows of `out` are `stride` numbers apart.
#[inline(always)]
fn product<S: Simd, const C: usize>(
    simd: S,
    lhs: Lhs<impl Fn(usize) -> [f32; ROWS]>,
    rhs: &[S::f32s],
    out: &mut [f32],
    (stride, add): (usize, bool),
) {
    let mut tile = [[simd.splat_f32s(0.0); C]; ROWS];
    for (i, rhs) in rhs.as_chunks::<C>().0[..lhs.n_columns].iter().enumerate() {
        let column = (lhs.column)(i);
        for (row, lhs) in tile.iter_mut().zip(&column) {
            let lhs = simd.splat_f32s(*lhs);
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
