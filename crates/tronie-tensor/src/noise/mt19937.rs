//! MT19937 and the normal numbers PyTorch's CPU backend makes of it.
//!
//! Matsumoto and Nishimura 1998, with the initialization of 2002.
#![expect(
    clippy::indexing_slicing,
    reason = "a numeric kernel: every index is below 624 or inside a block of 16"
)]

use super::torch_normal;

const N: usize = 624;
const M: usize = 397;
const MATRIX_A: u32 = 0x9908_B0DF;
const UPPER: u32 = 0x8000_0000;

/// PyTorch's CPU generator: `torch.Generator().manual_seed(seed)`.
///
/// Only the low 32 bits of a seed count. Draws of fewer than 16 numbers and longer ones use the bits in different
/// ways, so 17 numbers at once do not begin like 32, and 8 and 8 numbers are not 16.
///
/// Half-precision draws of PyTorch 2.15 are these numbers rounded, where their count is a multiple of 16.
#[derive(Debug, Clone)]
pub struct Mt19937 {
    state: Box<[u32; N]>,
    next: usize,
    /// The second number of a scalar Box-Muller pair, kept for the next short draw.
    spare: Option<f64>,
}

impl Mt19937 {
    /// A generator at its first draw.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "PyTorch keeps the low half; i < 624")]
    pub fn new(seed: u64) -> Self {
        let mut state = Box::new([0; N]);
        state[0] = seed as u32;
        for i in 1..N {
            let previous = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = 1_812_433_253_u32.wrapping_mul(previous).wrapping_add(i as u32);
        }
        Self { state, next: N, spare: None }
    }

    /// The next draw of `torch.randn(n)`: f32 normal numbers.
    pub fn torch_randn(&mut self, n: usize) -> Vec<f32> {
        torch_normal::randn(self, n)
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next >= N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    /// The next 64 bits: two words, the first one high.
    pub fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    pub(super) fn spare_mut(&mut self) -> &mut Option<f64> {
        &mut self.spare
    }

    /// The next 624 words, in place: each of the word after it and the one 397 after it.
    fn refill(&mut self) {
        let state = &mut self.state;
        for i in 0..N - M {
            state[i] = state[i + M] ^ twist(state[i], state[i + 1]);
        }
        for i in N - M..N - 1 {
            state[i] = state[i + M - N] ^ twist(state[i], state[i + 1]);
        }
        state[N - 1] = state[M - 1] ^ twist(state[N - 1], state[0]);
        self.next = 0;
    }
}

fn twist(word: u32, after: u32) -> u32 {
    let mixed = (word & UPPER) | (after & !UPPER);
    (mixed >> 1) ^ (MATRIX_A * (after & 1))
}
