//! The gate of a transformer's hidden layer on the CPU, and its gradient, each in one pass.

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cpu::{Input, Memory};
use super::record::record;
use super::simd::{gelu, update, zip};

/// Numbers one task writes.
const CHUNK: usize = 1 << 15;

/// `x`: b s 2*d (of size `dims`), values before gates. Returns b s d: the values times the GELU of their gates.
pub(super) fn geglu(x: Input, [b, s, both]: [usize; 3]) -> Tensor<3> {
    let d = both / 2;
    let chunk = (CHUNK / d).max(1) * d;
    let mut out = vec![0.0; b * s * d];
    x.values().par_chunks(2 * chunk).zip(out.par_chunks_mut(chunk)).for_each(|(x, out)| {
        Arch::new().dispatch(Rows { x, d, out });
    });
    let kept = x.memory.clone();
    record([x], Memory::new(out, [b, s, d]), move |grad| {
        let mut out = vec![0.0; b * s * both];
        let chunks = kept.values();
        let chunks = chunks.par_chunks(2 * chunk).zip(grad.par_chunks(chunk));
        chunks.zip(out.par_chunks_mut(2 * chunk)).for_each(|((x, grad), out)| {
            Arch::new().dispatch(GradientRows { x, grad, d, out });
        });
        [Some(out)]
    })
}

struct Rows<'a> {
    /// s 2*d
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
                |[value, gate]| simd.mul_f32s(value, gelu(simd, gate).0),
            );
        }
    }
}

struct GradientRows<'a> {
    /// s 2*d
    x: &'a [f32],
    /// s d
    grad: &'a [f32],
    d: usize,
    out: &'a mut [f32],
}

impl WithSimd for GradientRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, grad, d, out } = self;
        let rows = x.chunks_exact(2 * d).zip(grad.chunks_exact(d));
        for ((row, grad), out) in rows.zip(out.chunks_exact_mut(2 * d)) {
            let (values, gates) = row.split_at(d);
            let (of_values, of_gates) = out.split_at_mut(d);
            update(
                simd,
                [values, gates, grad],
                [of_values, of_gates],
                #[inline(always)]
                |[value, gate, grad], _| {
                    let (gated, slope) = gelu(simd, gate);
                    [simd.mul_f32s(grad, gated), simd.mul_f32s(grad, simd.mul_f32s(value, slope))]
                },
            );
        }
    }
}
