//! Which part of a schedule a run walks: all of it from noise, or its end from a picture.

use crate::ScheduleError;

/// How a program turns the strength of image to image into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrengthRule {
    /// The last `int(min(strength, 0.999) n) + 1` of n steps: A1111's `setup_img2img_steps`.
    OneMore,
    /// The last `int(strength n)` of n steps: diffusers' `get_timesteps`.
    Share,
    /// The last n of `int(n / strength)` steps: the denoise of ComfyUI's `KSampler`, and A1111's option to do "exactly the
    /// amount of steps".
    PartOfLonger,
}

/// A strength above which A1111 still takes a little of the picture.
const OPEN_END: f64 = 0.999;
/// From here on ComfyUI plans no longer schedule.
const WHOLE_FROM: f64 = 0.9999;

/// The part of a schedule that a run walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Steps of the whole schedule.
    pub n_planned: usize,
    /// How many of them come last and are walked from a noisy picture; `None` walks all of them from noise.
    pub n_from_picture: Option<usize>,
}

impl From<usize> for Stretch {
    /// The whole way from noise.
    fn from(n_planned: usize) -> Self {
        Self { n_planned, n_from_picture: None }
    }
}

impl Stretch {
    /// What is walked from a picture of which `strength` (0 to 1) may change, when `n_steps` are asked for.
    ///
    /// # Errors
    /// [`ScheduleError::TooWeak`] when no step is left.
    pub fn from_picture(rule: StrengthRule, strength: f64, n_steps: usize) -> Result<Self, ScheduleError> {
        let n = n_steps as f64;
        let (n_planned, n_walked) = match rule {
            StrengthRule::OneMore => (n_steps, floor(n * strength.min(OPEN_END)) + 1),
            StrengthRule::Share => (n_steps, floor(n * strength)),
            StrengthRule::PartOfLonger if strength > WHOLE_FROM => (n_steps, n_steps),
            StrengthRule::PartOfLonger if strength <= 0.0 => (n_steps, 0),
            StrengthRule::PartOfLonger => (floor(n / strength), n_steps),
        };
        if n_walked == 0 {
            return Err(ScheduleError::TooWeak { strength, n_steps });
        }
        Ok(Self { n_planned, n_from_picture: Some(n_walked.min(n_planned)) })
    }

    /// Steps at the start of the schedule that are left out.
    pub(crate) fn n_skipped(self) -> usize {
        self.n_from_picture.map_or(0, |n_walked| self.n_planned.saturating_sub(n_walked))
    }
}

/// Towards zero, as Python's `int`.
fn floor(steps: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and what is too large becomes the largest number, which `plan` refuses"
    )]
    let steps = steps as usize;
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_counts_its_own_steps() {
        use StrengthRule::{OneMore, PartOfLonger, Share};
        // (rule, strength, steps, planned, walked); the A1111 rows with 20 and 30 steps are published figures
        let cases = [
            (OneMore, 0.75, 20, 20, 16),
            (OneMore, 0.75, 30, 30, 23),
            (OneMore, 1.0, 20, 20, 20),
            (OneMore, 0.01, 20, 20, 1),
            (OneMore, 0.0, 20, 20, 1),
            (Share, 0.75, 20, 20, 15),
            (Share, 1.0, 20, 20, 20),
            (Share, 0.6, 10, 10, 6),
            (PartOfLonger, 0.5, 20, 40, 20),
            (PartOfLonger, 0.75, 20, 26, 20),
            (PartOfLonger, 1.0, 20, 20, 20),
        ];
        for (rule, strength, n_steps, n_planned, n_walked) in cases {
            let found = Stretch::from_picture(rule, strength, n_steps).unwrap();
            let expected = Stretch { n_planned, n_from_picture: Some(n_walked) };
            assert_eq!(found, expected, "{rule:?} {strength} {n_steps}");
        }
    }

    #[test]
    fn a_strength_that_leaves_no_step_is_refused() {
        for (rule, strength) in [(StrengthRule::Share, 0.09), (StrengthRule::PartOfLonger, 0.0)] {
            let error = Stretch::from_picture(rule, strength, 10).unwrap_err();
            assert_eq!(error.to_string(), format!("strength {strength} of 10 steps leaves no step"));
        }
    }
}
