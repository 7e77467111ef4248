//! The gate of a transformer's hidden layer on the CPU, in one pass.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{gelu, zip};

/// Numbers one task writes.
const CHUNK: usize = 1 << 15;

/// `x`: s 2*d, values before gates. Returns s d: the values times the GELU of their gates.
pub(super) fn geglu(x: &[f32], d: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / 2];
    let chunk = (CHUNK / d).max(1) * d;
    x.par_chunks(2 * chunk).zip(out.par_chunks_mut(chunk)).for_each(|(x, out)| {
        Arch::new().dispatch(Rows { x, d, out });
    });
    out
}

struct Rows<'a> {
    x: &'a [f32],
    d: usize,
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, d, out } = self;
        for (row, out) in x.chunks_exact(2 * d).zip(out.chunks_exact_mut(d)) {
            let (values, gates) = row.split_at(d);
            zip(
                simd,
                [values, gates],
                out,
                #[inline(always)]
                |[value, gate]| simd.mul_f32s(value, gelu(simd, gate)),
            );
        }
    }
}
