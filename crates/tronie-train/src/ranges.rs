//! Ranges of options, and the one check that says which value is outside of its own.

use crate::TrainError;

/// The values an option may have.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The range in words.
    pub words: &'static str,
    /// Whether a value lies in it.
    pub holds: fn(f64) -> bool,
}

/// An option: its name, value and range.
pub type Ranged = (&'static str, f64, Range);

pub(crate) const ABOVE_0: Range =
    Range { words: "a number above 0", holds: |value| value > 0.0 && value.is_finite() };
pub(crate) const AT_LEAST_0: Range =
    Range { words: "a number of at least 0", holds: |value| value >= 0.0 && value.is_finite() };
pub(crate) const AT_LEAST_1: Range =
    Range { words: "a number of at least 1", holds: |value| value >= 1.0 && value.is_finite() };
pub(crate) const BELOW_0: Range =
    Range { words: "a number below 0", holds: |value| value < 0.0 && value.is_finite() };
pub(crate) const FROM_0_BELOW_1: Range =
    Range { words: "at least 0 and below 1", holds: |value| (0.0..1.0).contains(&value) };
pub(crate) const BETWEEN_0_AND_1: Range =
    Range { words: "above 0 and below 1", holds: |value| value > 0.0 && value < 1.0 };
pub(crate) const FROM_0_TO_1: Range =
    Range { words: "from 0 to 1", holds: |value| (0.0..=1.0).contains(&value) };

pub(crate) const FROM_1_TO_3: Range =
    Range { words: "a number from 1 to 3", holds: |value| (1.0..=3.0).contains(&value) };
/// Tokens of one row of a caption.
pub(crate) const FROM_1_TO_75: Range =
    Range { words: "a number from 1 to 75", holds: |value| (1.0..=75.0).contains(&value) };
pub(crate) const SIDE: Range = Range {
    words: "a multiple of 8 from 8 to 16384",
    holds: |value| value % 8.0 == 0.0 && (8.0..=16_384.0).contains(&value),
};

/// Fails on the first option outside of its range.
pub(crate) fn check(owner: &'static str, options: &[Ranged]) -> Result<(), TrainError> {
    match options.iter().find(|(_, found, range)| !(range.holds)(*found)) {
        None => Ok(()),
        Some(&(name, found, range)) => {
            Err(TrainError::OutOfRange { owner, name, found, expected: range.words })
        }
    }
}
