//! The noise levels a run visits.

use crate::ScheduleError;

/// Noise levels of a run, strictly falling; at least two, and only the last may be 0.
///
/// A noise level sigma is the standard deviation of the noise in `x = x0 + sigma * noise`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sigmas(Vec<f64>);

/// One step of a run: from one noise level to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// 0 for the first step.
    pub index: usize,
    /// Noise level it starts at, above 0.
    pub from: f64,
    /// Noise level it ends at; 0 only in the last step.
    pub to: f64,
    /// Number of steps of the run.
    pub n: usize,
}

impl Step {
    /// Whether no step follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.n
    }

    /// `ln(from / to)`: how far the step goes in log-SNR; infinite when it ends at 0.
    ///
    /// DPM-Solver (arXiv:2206.00927) calls it `h`, the difference of two `lambda = -ln sigma`.
    #[must_use]
    pub fn log_snr(&self) -> f64 {
        (self.from / self.to).ln()
    }
}

impl Sigmas {
    /// Checks a list of noise levels.
    ///
    /// # Errors
    /// [`ScheduleError::NoSteps`] below two levels, [`ScheduleError::NotFalling`] at the first level that is not finite,
    /// below 0, or not below the one before it.
    pub fn new(sigmas: Vec<f64>) -> Result<Self, ScheduleError> {
        if sigmas.len() < 2 {
            return Err(ScheduleError::NoSteps);
        }
        let mut previous = f64::INFINITY;
        for (index, &found) in sigmas.iter().enumerate() {
            if !(found >= 0.0 && found < previous) {
                return Err(ScheduleError::NotFalling { index, found, previous });
            }
            previous = found;
        }
        Ok(Self(sigmas))
    }

    /// All levels, first to last.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The highest level, where the run starts.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The lowest level, where the run ends.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The lowest level above 0.
    #[must_use]
    pub fn lowest_positive(&self) -> f64 {
        let lowest = self.0.iter().rev().find(|&&sigma| sigma > 0.0);
        lowest.copied().unwrap_or_default()
    }

    /// Number of steps, one less than there are levels.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// The steps, first to last.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let n = self.n_steps();
        let pairs = self.0.iter().zip(self.0.iter().skip(1)).enumerate();
        pairs.map(move |(index, (&from, &to))| Step { index, from, to, n })
    }

    /// The levels from `index` on: where image-to-image starts.
    ///
    /// # Errors
    /// [`ScheduleError::NoSteps`] when no step is left.
    pub fn starting_at(&self, index: usize) -> Result<Self, ScheduleError> {
        Self::new(self.0.get(index..).unwrap_or_default().to_vec())
    }
}

#[cfg(test)]
mod tests;
