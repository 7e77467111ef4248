//! Philox4x32-10 as CUDA's `randn` draws from it.
//!
//! Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the constants are those of its section 4.

use std::f64::consts::TAU;

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
/// Real CUDA gives the same numbers while the GPU has a thread for each of them: `randn` starts at most
/// (multiprocessors) x (resident threads each) of them, and beyond that a thread uses the other half of the
/// transform and the other words of its block. 4x64x64 latents fit every card; 4x128x128 do not fit a card
/// with 43008 threads (28 multiprocessors of 1536), which then gives a different picture. CUDA also takes
/// sin from the fast hardware unit, so that equal numbers are equal to about 1e-6 only, not to the bit.
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
        let (seed, offset) = (self.seed, self.offset);
        self.offset = self.offset.wrapping_add(1);
        (0..n)
            .into_par_iter()
            .with_min_len(4096)
            .map(|index| normal(block(seed, [offset, 0, low_word(index as u64), 0])))
            .collect()
    }
}

/// One block of four words: ten rounds of the cipher over `counter`, keyed with `seed`.
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
        key = [
            key[0].wrapping_add(KEY_STEPS[0]),
            key[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    words
}

/// The sine half of the Box-Muller transform, as curand rounds it.
#[expect(clippy::cast_possible_truncation, reason = "constants rounded to f32")]
fn normal(words: [u32; 4]) -> f32 {
    const TAU_TWO_POW_MINUS_32: f32 = TAU as f32 * TWO_POW_MINUS_32;
    let [x, y, ..] = words;
    let u = x as f32 * TWO_POW_MINUS_32 + TWO_POW_MINUS_32 / 2.0;
    let v = y as f32 * TAU_TWO_POW_MINUS_32 + TAU_TWO_POW_MINUS_32 / 2.0;
    (-2.0 * u.ln()).sqrt() * v.sin()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
fn low_word(value: u64) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the high half fits")]
fn high_word(value: u64) -> u32 {
    (value >> 32) as u32
}
