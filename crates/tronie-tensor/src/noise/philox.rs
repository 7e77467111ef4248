//! Philox4x32-10 as CUDA's `randn` draws from it.
//!
//! Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the constants are those of its section 4.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, LN_2, SQRT_2, TAU};

use rayon::prelude::*;

/// Multipliers of the two halves of a round.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What the key grows by between rounds: the golden ratio and sqrt(3) - 1, times 2^32.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const N_ROUNDS: usize = 10;

/// 2^-32.
const TWO_POW_MINUS_32: f32 = 1.0 / 4_294_967_296.0;

/// The generator of CUDA, as A1111's "NV" source computes it on any machine.
///
/// A draw of n numbers uses one block per number: counter `[offset, 0, index, 0]`, key the two halves of the
/// seed. `offset` grows by one per draw, whatever its size. The first two words of the block, x and y, give
/// u = x 2^-32 + 2^-33, v = 2 pi (y 2^-32 + 2^-33) and the normal number sqrt(-2 ln u) sin v, all in f32.
///
/// Real CUDA gives the same numbers while the GPU has a thread for each of them: PyTorch starts at most
/// (multiprocessors) x (resident threads of each), and numbers beyond that come from the other words of the
/// blocks and from the cosine (`aten/src/ATen/native/cuda/DistributionTemplates.h`, `calc_execution_policy`). A card
/// with 28 multiprocessors of 1536 threads has 43008: enough for latents of 4x64x64, but of 4x128x128 only the first
/// 43008 numbers are these. curand also takes the sine from the GPU's fast approximate unit, so that equal
/// numbers are equal to its accuracy and not to the bit. What is tested here is the formula, against NumPy and
/// four numbers a GPU has printed.
///
/// Programs that evaluate the same formula in f64 (NumPy does where 32-bit integers meet f32 constants) get numbers
/// that differ by 8e-8 on average, and by at most 3e-5 among four million.
#[derive(Debug, Clone)]
pub struct Philox4x32 {
    seed: u64,
    offset: u32,
}

impl Philox4x32 {
    /// A generator at its first draw.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::at(seed, 0)
    }

    /// A generator that has already made `offset` draws.
    #[must_use]
    pub fn at(seed: u64, offset: u32) -> Self {
        Self { seed, offset }
    }

    /// Number of draws made so far.
    #[must_use]
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// The next draw: `n` normal numbers.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        const CHUNK: usize = 8192;
        let (seed, offset) = (self.seed, self.offset);
        self.offset = self.offset.wrapping_add(1);
        let mut values = vec![0.0; n];
        let chunks = values.par_chunks_mut(CHUNK).enumerate();
        chunks.for_each(|(index, chunk)| fill(chunk, seed, [offset, low_word((index * CHUNK) as u64)]));
        values
    }
}

/// Normal numbers number `first` and on of a draw.
fn fill(values: &mut [f32], seed: u64, [offset, first]: [u32; 2]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "vector units beyond the ones every x86-64 has")]
        // SAFETY: the processor has just said that it has them.
        return unsafe { fill_avx2(values, seed, [offset, first]) };
    }
    fill_portable(values, seed, [offset, first]);
}

/// [`fill_portable`], compiled for AVX2. Nothing is fused or reordered, so both give the same bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(values: &mut [f32], seed: u64, [offset, first]: [u32; 2]) {
    fill_portable(values, seed, [offset, first]);
}

#[inline(always)]
fn fill_portable(values: &mut [f32], seed: u64, [offset, first]: [u32; 2]) {
    const LANES: usize = 64; // two short loops, because compilers vectorize them apart and not as one
    let mut index = first;
    for values in values.chunks_mut(LANES) {
        let mut words = [[0; 2]; LANES];
        for words in &mut words {
            let [x, y, ..] = block(seed, [offset, 0, index, 0]);
            *words = [x, y];
            index = index.wrapping_add(1);
        }
        for (value, [x, y]) in values.iter_mut().zip(words) {
            *value = normal(x, y);
        }
    }
}

/// One block of four words: ten rounds of the cipher over `counter`, keyed with `seed`.
#[inline(always)]
fn block(seed: u64, counter: [u32; 4]) -> [u32; 4] {
    let mut key = [low_word(seed), high_word(seed)];
    let mut words = counter;
    for _ in 0..N_ROUNDS {
        let [a, b, c, d] = words;
        let first = u64::from(a) * u64::from(MULTIPLIERS[0]);
        let second = u64::from(c) * u64::from(MULTIPLIERS[1]);
        words = [
            high_word(second) ^ b ^ key[0],
            low_word(second),
            high_word(first) ^ d ^ key[1],
            low_word(first),
        ];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    words
}

/// The sine half of the Box-Muller transform in f32.
///
/// Logarithm and sine are f64 series of our own, rounded to f32: those of the platforms differ in their last bit,
/// and what a seed means must not; and these are compiled to vector instructions.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "f32 is the precision of the definition")]
fn normal(x: u32, y: u32) -> f32 {
    const ANGLE: f32 = TAU as f32 * TWO_POW_MINUS_32;
    let u = x as f32 * TWO_POW_MINUS_32 + TWO_POW_MINUS_32 / 2.0;
    let v = y as f32 * ANGLE + ANGLE / 2.0;
    let ln = ln(f64::from(u)) as f32;
    let sin = sin(f64::from(v)) as f32;
    (-2.0 * ln).sqrt() * sin
}

/// 2^52: from here to 2^53, doubles are the integers, and their last bits say which.
const INTEGERS: f64 = 4_503_599_627_370_496.0;

/// Natural logarithm of a normal positive number, to 1e-15 of it.
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    // x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), the odd series of s = (m - 1) / (m + 1).
    const SERIES: [f64; 10] = [
        1.0 / 19.0,
        1.0 / 17.0,
        1.0 / 15.0,
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
        1.0,
    ];
    let bits = x.to_bits();
    let fraction = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000); // in [1, 2)
    let is_high = fraction >= SQRT_2;
    let m = if is_high { 0.5 * fraction } else { fraction };
    let e = f64::from_bits((bits >> 52) | INTEGERS.to_bits()) - (INTEGERS + 1023.0)
        + if is_high { 1.0 } else { 0.0 };
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 1.0 / 21.0;
    for coefficient in SERIES {
        sum = sum * square + coefficient;
    }
    e * LN_2 + 2.0 * s * sum
}

/// Sine of 0 <= x <= 2 pi, to 1e-15.
#[inline(always)]
pub(super) fn sin(x: f64) -> f64 {
    // Taylor's series on -pi/4..=pi/4, of the sine or of the cosine.
    const SINE: [f64; 7] = [
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
        1.0,
    ];
    const COSINE: [f64; 8] = [
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -1.0 / 2.0,
        1.0,
    ];
    /// What f64 leaves out of pi/2.
    const FRAC_PI_2_LOW: f64 = 6.123_233_995_736_766e-17;

    let quarter = x * FRAC_2_PI + INTEGERS; // rounds; the last bits are the integer
    let (n_quarters, quarter) = (quarter - INTEGERS, quarter.to_bits());
    let rest = x - n_quarters * FRAC_PI_2 - n_quarters * FRAC_PI_2_LOW;
    let square = rest * rest;
    let mut sine = -1.0 / 1_307_674_368_000.0;
    for coefficient in SINE {
        sine = sine * square + coefficient;
    }
    let mut cosine = 1.0 / 20_922_789_888_000.0;
    for coefficient in COSINE {
        cosine = cosine * square + coefficient;
    }
    let value = if quarter & 1 == 0 { rest * sine } else { cosine };
    if quarter & 2 == 0 { value } else { -value }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low_word(value: u64) -> u32 {
    value as u32
}

fn high_word(value: u64) -> u32 {
    (value >> 32) as u32
}
