//! Sums of many rows: in f32 within a chunk, over the chunks in f64 and in their order, whatever thread finds them.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::update;

/// Numbers of one task.
const CHUNK: usize = 1 << 15;

/// The sum of every one of the `c` columns of `x` (s c).
pub(super) fn columns(x: &[f32], c: usize) -> Vec<f32> {
    let chunks = x.par_chunks((CHUNK / c).max(1) * c);
    merge(chunks.map(|x| Arch::new().dispatch(Columns { x, c })).collect())
}

/// The sum of vectors of one length.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what gradients are made of")]
pub(super) fn merge(parts: Vec<Vec<f32>>) -> Vec<f32> {
    let mut totals = vec![0.0_f64; parts.first().map_or(0, Vec::len)];
    for part in parts {
        totals.iter_mut().zip(part).for_each(|(total, part)| *total += f64::from(part));
    }
    totals.into_iter().map(|total| total as f32).collect()
}

struct Columns<'a> {
    /// s c
    x: &'a [f32],
    c: usize,
}

impl WithSimd for Columns<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let mut sums = vec![0.0; self.c];
        for row in self.x.chunks_exact(self.c) {
            update(
                simd,
                [row],
                [&mut sums],
                #[inline(always)]
                |[x], [sum]| [simd.add_f32s(sum, x)],
            );
        }
        sums
    }
}
