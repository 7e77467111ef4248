//! How PyTorch's CPU backend turns random bits into normal numbers.
#![expect(clippy::indexing_slicing, reason = "a numeric kernel: blocks have 16 numbers")]

use std::f64::consts::TAU;

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
    for block in values.chunks_exact_mut(BLOCK) {
        box_muller(block);
    }
    if n % BLOCK != 0 {
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

/// Sixteen uniform numbers become sixteen normal ones: the first eight with the cosine, the others with the sine.
#[expect(clippy::cast_possible_truncation, reason = "the constant is rounded to f32")]
fn box_muller(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (first, second) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * (1.0 - *first).ln()).sqrt();
        let (sin, cos) = (TAU as f32 * *second).sin_cos();
        *first = radius * cos;
        *second = radius * sin;
    }
}
