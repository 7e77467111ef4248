//! 8-bit numbers with a dynamic exponent: seven decades in 256 values.
//!
//! Dettmers 2016 (arXiv:1511.04561, dynamic tree quantisation), in the form of Dettmers et al. 2022
//! (arXiv:2110.02861), section 1.3. The published rule: the decade from 10^(d-1) to 10^d, for d from -6 to 0, is
//! cut into 2^(d+6) equal pieces for signed numbers, and twice as many for unsigned ones; each piece is stood for by its
//! middle. With 0 and 1, and the negatives of all middles for signed numbers, that makes 256 values.
#![expect(clippy::indexing_slicing, reason = "a u8 indexes 256 values")]

use crate::slices::narrow;

/// Decades, the smallest of which begins at 10^-7.
const N_DECADES: i32 = 7;

/// What the 256 codes stand for, between -1 and 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DynamicMap {
    /// Rising.
    values: [f32; 256],
    /// Numbers up to this one have the code of the value before it: half-way between one value and the next.
    borders: [f32; 255],
}

impl DynamicMap {
    /// For numbers of either sign: first moments.
    pub(super) fn signed() -> Self {
        Self::new(1, &[-1.0, 1.0])
    }

    /// For numbers of at least 0: second moments.
    ///
    /// No number above 0 becomes 0: a step divides by the root of the second moment, and an element whose gradients are small
    /// beside those of its block would leap (the zero-point problem, Li et al. 2023, arXiv:2309.01507).
    pub(super) fn unsigned() -> Self {
        let mut map = Self::new(2, &[1.0]);
        map.borders[0] = 0.0;
        map
    }

    /// The map whose smallest decade has this many pieces, with these signs.
    fn new(n_first: i32, signs: &[f64]) -> Self {
        let mut values = vec![0.0, 1.0];
        for decade in 0..N_DECADES {
            let scale = 10.0_f64.powi(decade + 1 - N_DECADES);
            let n_pieces = n_first << decade;
            let middles =
                (0..n_pieces).map(|piece| 0.1 + 0.9 * (f64::from(piece) + 0.5) / f64::from(n_pieces));
            values.extend(middles.flat_map(|middle| signs.iter().map(move |sign| sign * scale * middle)));
        }
        values.sort_by(f64::total_cmp);
        let value = |code: usize| values.get(code).copied().unwrap_or_default();
        Self {
            values: std::array::from_fn(|code| narrow(value(code))),
            borders: std::array::from_fn(|code| narrow((value(code) + value(code + 1)) / 2.0)),
        }
    }

    /// The code of the value nearest to a number.
    pub(super) fn nearest(&self, number: f32) -> u8 {
        let code = self.borders.partition_point(|&border| border < number);
        u8::try_from(code).unwrap_or(u8::MAX)
    }

    /// What a block of codes stands for.
    pub(super) fn decode(&self, codes: &[u8], scale: f32, numbers: &mut [f32]) {
        for (number, &code) in numbers.iter_mut().zip(codes) {
            *number = self.values[usize::from(code)] * scale;
        }
    }

    /// The codes of a block of numbers; returns their scale, the largest magnitude.
    pub(super) fn encode(&self, numbers: &[f32], codes: &mut [u8]) -> f32 {
        let scale = numbers.iter().fold(0.0_f32, |scale, number| scale.max(number.abs()));
        // A block of zeros has codes of 0, whatever it is divided by.
        let divisor = if scale > 0.0 { scale } else { 1.0 };
        for (code, number) in codes.iter_mut().zip(numbers) {
            *code = self.nearest(number / divisor);
        }
        scale
    }
}

#[cfg(test)]
mod tests;
