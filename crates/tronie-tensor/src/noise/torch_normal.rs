//! How PyTorch's CPU backend turns random bits into normal numbers, to the last bit.
//!
//! From 16 numbers on, x86-64 builds of PyTorch use their AVX2 kernel on every machine that has AVX2 and FMA (on
//! AVX-512 machines too: `normal_stub` is not dispatched to AVX-512). Its logarithm, sine and cosine are the
//! single-precision ones of Moshier's Cephes library, and the compiler has fused their products and sums: which
//! ones is part of the result, and is what each `mul_add` here stands for. Machines without AVX2 (ARM among them)
//! give other last digits: they call the platform's `log`, `sin` and `cos`.
//!
//! Reference: PyTorch 2.15, `aten/src/ATen/native/cpu/DistributionTemplates.h` (`normal_fill`), `avx_mathfun.h` and
//! `core/DistributionsHelper.h`.
#![expect(clippy::indexing_slicing, reason = "a numeric kernel: blocks have 16 numbers")]

use std::f64::consts::{SQRT_2, TAU};

use super::Mt19937;

/// From here on PyTorch draws whole blocks.
const BLOCK: usize = 16;

/// `torch.randn(n)` in f32.
#[expect(clippy::cast_possible_truncation, reason = "short draws are rounded from f64")]
pub(super) fn randn(bits: &mut Mt19937, n: usize) -> Vec<f32> {
    if n < BLOCK {
        return (0..n).map(|_| scalar(bits) as f32).collect();
    }
    let mut values: Vec<f32> = (0..n).map(|_| uniform(bits)).collect();
    box_muller(&mut values);
    if !n.is_multiple_of(BLOCK) {
        let tail = &mut values[n - BLOCK..]; // drawn anew, over the end of the last whole block
        tail.fill_with(|| uniform(bits));
        box_muller(tail);
    }
    values
}

/// One number of a short draw: Box-Muller in f64, two numbers at a time.
fn scalar(bits: &mut Mt19937) -> f64 {
    if let Some(spare) = bits.spare_mut().take() {
        return spare;
    }
    let angle = TAU * uniform_f64(bits);
    let radius = (-2.0 * (-uniform_f64(bits)).ln_1p()).sqrt();
    *bits.spare_mut() = Some(radius * angle.sin());
    radius * angle.cos()
}

/// 24 bits, in [0, 1).
fn uniform(bits: &mut Mt19937) -> f32 {
    (bits.next_u32() & 0x00FF_FFFF) as f32 / 16_777_216.0
}

/// 53 bits, in [0, 1).
fn uniform_f64(bits: &mut Mt19937) -> f64 {
    (bits.next_u64() & ((1 << 53) - 1)) as f64 / 9_007_199_254_740_992.0
}

/// Turns each whole block of sixteen uniform numbers into sixteen normal ones.
pub(super) fn box_muller(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "vector units beyond the ones every x86-64 has")]
        // SAFETY: the processor has just said that it has both.
        return unsafe { box_muller_avx2(values) };
    }
    box_muller_portable(values);
}

/// [`box_muller_portable`], compiled for AVX2. `mul_add` is exact everywhere, so both give the same bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn box_muller_avx2(values: &mut [f32]) {
    box_muller_portable(values);
}

/// The first eight numbers of a block give the radii, the other eight the angles; cosines come first.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the constant is rounded to f32")]
pub(super) fn box_muller_portable(values: &mut [f32]) {
    for block in values.chunks_exact_mut(BLOCK) {
        let (radii, angles) = block.split_at_mut(BLOCK / 2);
        for (first, second) in radii.iter_mut().zip(angles) {
            let radius = (-2.0 * ln(1.0 - *first)).sqrt();
            let (sin, cos) = sin_cos(TAU as f32 * *second);
            *first = radius * cos;
            *second = radius * sin;
        }
    }
}

/// Natural logarithm of a normal positive number: Cephes `logf`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a constant rounded to f32")]
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
#[expect(clippy::cast_possible_wrap, reason = "exponents are below 256")]
fn ln(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 8] = [
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ];
    // ln 2 in two parts, the first one short enough to be multiplied exactly.
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_40e-4;

    // x = m 2^e with m in [sqrt(1/2), sqrt(2)), then a series in m - 1.
    let bits = x.to_bits();
    let fraction = f32::from_bits((bits & 0x007F_FFFF) | 0x3F00_0000); // in [1/2, 1)
    let is_low = fraction < (SQRT_2 / 2.0) as f32;
    let exponent = ((bits >> 23) as i32 - 126) as f32 - if is_low { 1.0 } else { 0.0 };
    let m = (fraction - 1.0) + if is_low { fraction } else { 0.0 };
    let square = m * m;
    let mut y = 7.037_683_629_2e-2;
    for coefficient in COEFFICIENTS {
        y = f32::mul_add(y, m, coefficient);
    }
    let y = (y * m).mul_add(square, exponent * LN_2_LOW);
    let y = square.mul_add(-0.5, y);
    exponent.mul_add(LN_2_HIGH, m + y)
}

/// Sine and cosine of 0 <= x <= 2 pi: Cephes `sinf` and `cosf`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "x is small")]
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
fn sin_cos(x: f32) -> (f32, f32) {
    // pi/4 in three parts.
    const PARTS: [f32; 3] = [-0.785_156_25, -2.418_756_484_985_351_562_5e-4, -3.774_894_977_445_941_08e-8];
    // The nearest even multiple of pi/4 is taken off: what is left lies in -pi/4..=pi/4.
    let octant = ((x * 1.273_239_544_735_16) as i32 + 1) & !1;
    let mut x = x;
    for part in PARTS {
        x = (octant as f32).mul_add(part, x);
    }
    let square = x * x;

    let cos = 2.443_315_711_809_948e-5_f32.mul_add(square, -1.388_731_625_493_765e-3);
    let cos = cos.mul_add(square, 4.166_664_568_298_827e-2) * square;
    let cos = cos.mul_add(square, -(square * 0.5)) + 1.0;

    let sin = (-1.951_529_589_1e-4_f32).mul_add(square, 8.332_160_873_6e-3);
    let sin = sin.mul_add(square, -1.666_665_461_1e-1) * square;
    let sin = sin.mul_add(x, x);

    // Every quarter turn swaps the two; half turns change signs.
    let (first, second) = if octant & 2 == 0 { (sin, cos) } else { (cos, sin) };
    let sin = if octant & 4 == 0 { first } else { -first };
    let cos = if (octant + 2) & 4 == 0 { second } else { -second };
    (sin, cos)
}
