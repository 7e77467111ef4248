//! Loops and elementary functions on vectors, for the kernels.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a length computed a few lines above"
)]

use pulp::Simd;

/// `out[i] = f(inputs[0][i], inputs[1][i], ..)`; every slice has the length of `out`.
#[inline(always)]
pub(super) fn zip<S: Simd, const N: usize>(
    simd: S,
    inputs: [&[f32]; N],
    out: &mut [f32],
    f: impl Fn([S::f32s; N]) -> S::f32s,
) {
    update(
        simd,
        inputs,
        [out],
        #[inline(always)]
        |inputs, _| [f(inputs)],
    );
}

/// `outs[..][i] = f(inputs[..][i], outs[..][i])`; every slice has the same length.
#[inline(always)]
pub(super) fn update<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    outs: [&mut [f32]; M],
    f: impl Fn([S::f32s; N], [S::f32s; M]) -> [S::f32s; M],
) {
    let n = outs.first().map_or(0, |out| out.len());
    let inputs = inputs.map(|input| S::as_simd_f32s(&input[..n]));
    let mut outs = outs.map(|out| S::as_mut_simd_f32s(&mut out[..n]));
    for i in 0..n / S::F32_LANES {
        let new = f(inputs.map(|(input, _)| input[i]), std::array::from_fn(|m| outs[m].0[i]));
        for (out, new) in outs.iter_mut().zip(new) {
            out.0[i] = new;
        }
    }
    if !n.is_multiple_of(S::F32_LANES) {
        let old = std::array::from_fn(|m| simd.partial_load_f32s(outs[m].1));
        let new = f(inputs.map(|(_, tail)| simd.partial_load_f32s(tail)), old);
        for (out, new) in outs.iter_mut().zip(new) {
            simd.partial_store_f32s(out.1, new);
        }
    }
}

/// Sums of `f` of all values; every slice has the same length, and `f` of zeros must be zeros.
#[inline(always)]
pub(super) fn sum<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    f: impl Fn([S::f32s; N]) -> [S::f32s; M],
) -> [f32; M] {
    let n = inputs.first().map_or(0, |input| input.len());
    let inputs = inputs.map(|input| S::as_simd_f32s(&input[..n]));
    let mut sums = f(inputs.map(|(_, tail)| simd.partial_load_f32s(tail)));
    for i in 0..n / S::F32_LANES {
        for (sum, x) in sums.iter_mut().zip(f(inputs.map(|(input, _)| input[i]))) {
            *sum = simd.add_f32s(*sum, x);
        }
    }
    sums.map(|sum| simd.reduce_sum_f32s(sum))
}

/// 2^x to 2 units in the last place; 0 below -126, and 2^127 from 127 on.
///
/// x = n + f with |f| <= 1/2; 2^f by its Taylor polynomial of degree 6 (remainder below 1.3e-7), 2^n by writing n into
/// the exponent. Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
#[inline(always)]
pub(super) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const ROUND: f32 = 12_582_912.0;
    const LN_2: f32 = std::f32::consts::LN_2;
    // ln(2)^k / k!
    const TAYLOR: [f32; 7] =
        [1.0, LN_2, 0.240_226_5, 0.055_504_11, 0.009_618_129, 0.001_333_355_8, 0.000_154_035_3];
    let lowest = simd.splat_f32s(-126.0);
    let clamped = simd.min_f32s(simd.max_f32s(x, lowest), simd.splat_f32s(127.0));
    let rounded = simd.add_f32s(clamped, simd.splat_f32s(ROUND));
    let f = simd.sub_f32s(clamped, simd.sub_f32s(rounded, simd.splat_f32s(ROUND)));
    let mut y = simd.splat_f32s(TAYLOR[6]);
    for k in [5, 4, 3, 2, 1, 0] {
        y = simd.mul_add_e_f32s(y, f, simd.splat_f32s(TAYLOR[k]));
    }
    let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let y = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(y), n));
    simd.select_f32s(simd.less_than_f32s(x, lowest), simd.splat_f32s(0.0), y)
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub(super) fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_f32s(x, sigmoid(simd, x))
}

/// The derivative of [`silu`]: `s + x s (1 - s)` with the sigmoid s.
#[inline(always)]
pub(super) fn silu_slope<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let s = sigmoid(simd, x);
    let rest = simd.sub_f32s(simd.splat_f32s(1.0), s);
    simd.mul_add_e_f32s(simd.mul_f32s(x, s), rest, s)
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let e = exp2(simd, simd.mul_f32s(x, simd.splat_f32s(-std::f32::consts::LOG2_E)));
    simd.div_f32s(one, simd.add_f32s(one, e))
}

/// `x * P(x)` with the normal distribution function `P(x) = (1 + erf(x / sqrt(2))) / 2`, and its derivative
/// `P(x) + x P'(x)`; erf with an absolute error below 1.5e-7: Abramowitz and Stegun 1964, 7.1.26.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const P: f32 = 0.327_591_1;
    const A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    // 1 / sqrt(2 pi)
    const DENSITY: f32 = 0.398_942_3;
    let (zero, half, one) = (simd.splat_f32s(0.0), simd.splat_f32s(0.5), simd.splat_f32s(1.0));
    // u = |x| / sqrt(2), t = 1 / (1 + p u), 1 - erf(u) = (a1 t + .. + a5 t^5) exp(-u^2)
    let size = simd.abs_f32s(x);
    let t = simd.mul_add_e_f32s(simd.splat_f32s(P * std::f32::consts::FRAC_1_SQRT_2), size, one);
    let t = simd.div_f32s(one, t);
    let mut tail = simd.splat_f32s(A[4]);
    for k in [3, 2, 1, 0] {
        tail = simd.mul_add_e_f32s(tail, t, simd.splat_f32s(A[k]));
    }
    let exponent = simd.mul_f32s(simd.mul_f32s(x, x), simd.splat_f32s(-0.5 * std::f32::consts::LOG2_E));
    let bell = exp2(simd, exponent);
    // P(-|x|); x >= 0: x - x tail, x < 0: x tail
    let tail = simd.mul_f32s(half, simd.mul_f32s(simd.mul_f32s(tail, t), bell));
    let value = simd.sub_f32s(simd.max_f32s(x, zero), simd.mul_f32s(size, tail));
    let is_negative = simd.less_than_f32s(x, zero);
    let distribution = simd.select_f32s(is_negative, tail, simd.sub_f32s(one, tail));
    let density = simd.mul_f32s(bell, simd.splat_f32s(DENSITY));
    (value, simd.mul_add_e_f32s(x, density, distribution))
}
