//! Estimates and their intervals.

use serde::Serialize;
use tronie_base::derive_seed;

/// Share of resampled estimates that an interval holds.
const LEVEL: f64 = 0.95;

/// The 97.5th percentile of the normal law.
const Z: f64 = 1.959_964;

/// Where the true value lies with a confidence of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A number from a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Where the number of the whole population lies; absent where there were no resamples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Size of the sample.
    pub n: usize,
}

/// How intervals are made: by drawing as many rows as there are, with replacement, again and again.
///
/// Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. The draws depend on the seed and the metric's
/// name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resampling {
    /// Number of resamples; none make no interval.
    pub n: usize,
    /// Where the draws begin.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { n: 200, seed: 0 }
    }
}

impl Resampling {
    /// How often each of `n_rows` rows is drawn, for every resample.
    pub(crate) fn counts(self, purpose: &str, n_rows: usize) -> impl Iterator<Item = Vec<f64>> {
        let seed = derive_seed(purpose, self.seed);
        (0..self.n as u64).map(move |number| {
            let mut draws =
                SplitMix64(derive_seed("resample", seed.wrapping_mul(1 << 20).wrapping_add(number)));
            let mut counts = vec![0.0; n_rows];
            for _ in 0..n_rows {
                let index = draws.below(n_rows);
                if let Some(count) = counts.get_mut(index) {
                    *count += 1.0;
                }
            }
            counts
        })
    }
}

impl Resampling {
    /// Counts of the rows with one in as many parts left out as there are resamples, each row in turn where there are fewer.
    pub(crate) fn left_out(self, n_rows: usize) -> impl Iterator<Item = Vec<f64>> {
        let n_parts = self.n.min(n_rows);
        (0..n_parts)
            .map(move |part| (0..n_rows).map(|row| if row % n_parts == part { 0.0 } else { 1.0 }).collect())
    }
}

/// <https://prng.di.unimi.it/splitmix64.c>: the same numbers on every machine and with every version of this program.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..n.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from((u128::from(self.next()) * n as u128) >> 64).unwrap_or(0)
    }
}

impl Estimate {
    /// An estimate whose resamples scatter around it: the middle 95 % of them.
    pub(crate) fn percentile(value: f64, n: usize, resampled: Vec<f64>) -> Self {
        let interval = middle(resampled);
        Self { value, interval, n }
    }

    /// An estimate that a resample, which holds rows twice, moves: the interval is turned around the estimate, which takes
    /// that out to first order (the basic bootstrap), and ends at `floor`.
    pub(crate) fn turned(value: f64, n: usize, resampled: Vec<f64>, floor: f64) -> Self {
        let turn = |Interval { low, high }| Interval {
            low: (2.0 * value - high).max(floor),
            high: (2.0 * value - low).max(floor),
        };
        Self { value, interval: middle(resampled).map(turn), n }
    }

    /// An estimate with 1.96 standard errors on both sides, from what it is without each of some parts of the rows: the grouped
    /// jackknife (Efron and Tibshirani 1993, chapter 11). The interval ends at `bounds`.
    pub(crate) fn jackknife(value: f64, n: usize, left_out: &[f64], [low, high]: [f64; 2]) -> Self {
        let n_parts = left_out.len() as f64;
        let mean = left_out.iter().sum::<f64>() / n_parts;
        let squares: f64 = left_out.iter().map(|without| (without - mean).powi(2)).sum();
        let reach = Z * ((n_parts - 1.0) / n_parts * squares).sqrt();
        let interval = Interval { low: (value - reach).max(low), high: (value + reach).min(high) };
        Self { value, interval: (left_out.len() > 1).then_some(interval), n }
    }

    /// The mean of what each row says, 0 or 1 or a number.
    pub(crate) fn mean(rows: &[f64], resampling: Resampling, purpose: &str) -> Self {
        let n = rows.len();
        let weighted =
            |counts: &[f64]| rows.iter().zip(counts).map(|(row, count)| row * count).sum::<f64>() / n as f64;
        let resampled = resampling.counts(purpose, n).map(|counts| weighted(&counts)).collect();
        Self::percentile(rows.iter().sum::<f64>() / n as f64, n, resampled)
    }

    /// The mean of shares of 0 to 1. Resamples of rows that are all equal do not scatter, however few there are: Wilson's score
    /// interval (1927, doi:10.1080/01621459.1927.10502953) stands in for theirs.
    pub(crate) fn share(rows: &[f64], resampling: Resampling, purpose: &str) -> Self {
        let estimate = Self::mean(rows, resampling, purpose);
        let is_constant = rows.iter().all(|row| Some(row) == rows.first());
        let interval = estimate
            .interval
            .map(|interval| if is_constant { wilson(estimate.value, estimate.n as f64) } else { interval });
        Self { interval, ..estimate }
    }
}

fn wilson(share: f64, n: f64) -> Interval {
    let z = Z;
    let scale = 1.0 + z * z / n;
    let center = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { low: (center - half).max(0.0), high: (center + half).min(1.0) }
}

/// The middle 95 % of some numbers; none for fewer than twenty.
fn middle(mut values: Vec<f64>) -> Option<Interval> {
    if values.len() < 20 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place among the values"
        )]
        let below = place.floor() as usize;
        let (low, high) = (values.get(below)?, values.get(below + 1).or(values.get(below))?);
        Some(low + (high - low) * (place - place.floor()))
    };
    let rest = (1.0 - LEVEL) / 2.0;
    Some(Interval { low: at(rest)?, high: at(1.0 - rest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        // 400 ones of 1000: 0.4 and 1.96 deviations of sqrt(0.4 * 0.6 / 1000) around it.
        let rows: Vec<f64> = (0..1000).map(|index| if index < 400 { 1.0 } else { 0.0 }).collect();
        let estimate = Estimate::mean(&rows, Resampling { n: 2000, seed: 1 }, "test");
        let Interval { low, high } = estimate.interval.unwrap();
        assert_eq!((estimate.value, estimate.n), (0.4, 1000));
        assert!((low - 0.3696).abs() < 0.003 && (high - 0.4304).abs() < 0.003, "{low} to {high}");
    }

    #[test]
    fn three_of_three_do_not_make_a_certainty() {
        let Interval { low, high } =
            Estimate::share(&[1.0; 3], Resampling::default(), "test").interval.unwrap();
        // Wilson's interval of 3 of 3.
        assert!((low - 0.4385).abs() < 1e-4 && high > 1.0 - 1e-9, "{low} to {high}");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_purpose_does_not() {
        let draw = |seed, purpose| Resampling { n: 2, seed }.counts(purpose, 50).collect::<Vec<_>>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(draw(1, "a").iter().all(|counts| (counts.iter().sum::<f64>() - 50.0).abs() < 1e-9));
        assert_eq!(middle(vec![1.0; 19]), None);
    }
}
