//! A threshold from pairs of pictures whose answer is known.

use serde::{Deserialize, Serialize};
use tronie_base::derive_seed;

use crate::FacesError;

/// Resamplings behind the intervals.
const N_RESAMPLINGS: u64 = 1000;

/// A pair whose answer is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Distance of the two faces.
    pub distance: f32,
    /// Whether they are one person.
    pub is_same: bool,
}

/// A number with the interval that holds it in 95 of 100 resamplings of the pairs (percentile bootstrap).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What pairs say about distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Pairs of one person.
    pub n_same: usize,
    /// Pairs of two.
    pub n_different: usize,
    /// Probability that a pair of one person is nearer than a pair of two.
    pub auc: Estimate,
    /// Distance that parts the pairs with the fewest errors, in the middle between two pairs.
    pub threshold: Estimate,
    /// Part of the pairs that it answers right.
    pub accuracy: f64,
    /// Error rate at the distance where both kinds of errors are equally frequent.
    pub equal_error_rate: f64,
    /// Largest distance at which at most 1 in 1000 pairs of two people is taken for one, and the part of the pairs of one
    /// person within it. Absent with fewer than 1000 pairs of two people, which cannot show such a rate.
    pub strict: Option<Strict>,
}

/// The threshold for a false acceptance rate of 1 in 1000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strict {
    /// The distance.
    pub threshold: f64,
    /// Part of the pairs of one person within it.
    pub recall: f64,
}

/// Measures pairs; the intervals are a function of the pairs alone.
///
/// # Errors
/// [`FacesError::OneKindOfPairs`] without pairs of one person, or of two, and [`FacesError::BadDistance`].
pub fn calibrate(pairs: &[Pair]) -> Result<Calibration, FacesError> {
    if let Some(pair) = pairs.iter().find(|pair| !pair.distance.is_finite()) {
        return Err(FacesError::BadDistance { found: pair.distance.to_string() });
    }
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.is_same.cmp(&b.is_same)));
    let n_same = pairs.iter().filter(|pair| pair.is_same).count();
    let n_different = pairs.len() - n_same;
    if n_same == 0 || n_different == 0 {
        return Err(FacesError::OneKindOfPairs { n_same, n_different });
    }
    let best = best_threshold(&pairs);
    let (mut aucs, mut thresholds) = (Vec::new(), Vec::new());
    for index in 0..N_RESAMPLINGS {
        let resampled = resample(&pairs, index);
        if let Some(auc) = auc(&resampled) {
            aucs.push(auc);
            thresholds.push(best_threshold(&resampled).0);
        }
    }
    Ok(Calibration {
        n_same,
        n_different,
        auc: estimate(auc(&pairs).unwrap_or(0.5), aucs),
        threshold: estimate(best.0, thresholds),
        accuracy: best.1,
        equal_error_rate: equal_error_rate(&pairs),
        strict: strict(&pairs, n_same, n_different),
    })
}

/// As many pairs drawn with replacement, in order of distance.
fn resample(pairs: &[Pair], index: u64) -> Vec<Pair> {
    let mut state = derive_seed("calibration", index);
    let n = pairs.len() as u64;
    let mut counts = vec![0_u32; pairs.len()];
    for _ in 0..n {
        // SplitMix64's step and output function, https://prng.di.unimi.it/splitmix64.c
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = usize::try_from((z ^ (z >> 31)) % n).unwrap_or(0);
        if let Some(count) = counts.get_mut(drawn) {
            *count += 1;
        }
    }
    pairs.iter().zip(counts).flat_map(|(&pair, count)| (0..count).map(move |_| pair)).collect()
}

/// Runs of equal distance: (distance, pairs of one person, pairs of two).
fn runs(sorted: &[Pair]) -> impl Iterator<Item = (f64, usize, usize)> {
    sorted.chunk_by(|a, b| a.distance.total_cmp(&b.distance).is_eq()).map(|run| {
        let n_same = run.iter().filter(|pair| pair.is_same).count();
        let distance = run.first().map_or(0.0, |pair| f64::from(pair.distance));
        (distance, n_same, run.len() - n_same)
    })
}

/// The Mann-Whitney statistic, equal distances counted half; `None` where one kind is absent.
fn auc(sorted: &[Pair]) -> Option<f64> {
    let (mut nearer, mut wins, mut n_different) = (0.0, 0.0, 0.0);
    for (_, same, different) in runs(sorted) {
        let (same, different) = (same as f64, different as f64);
        wins += different * (nearer + same / 2.0);
        nearer += same;
        n_different += different;
    }
    (nearer > 0.0 && n_different > 0.0).then(|| wins / (nearer * n_different))
}

/// The threshold with the fewest errors and its accuracy; of equally good ones the smallest.
fn best_threshold(sorted: &[Pair]) -> (f64, f64) {
    let n = sorted.len() as f64;
    let runs: Vec<_> = runs(sorted).collect();
    let mut n_right = sorted.iter().filter(|pair| !pair.is_same).count() as f64;
    // Below all pairs everybody is different.
    let mut best = (runs.first().map_or(0.0, |first| first.0 - f64::from(f32::EPSILON)), n_right / n);
    for (index, &(distance, same, different)) in runs.iter().enumerate() {
        n_right += same as f64 - different as f64;
        let next = runs.get(index + 1).map_or(distance, |next| next.0);
        if n_right / n > best.1 {
            best = (f64::midpoint(distance, next), n_right / n);
        }
    }
    best
}

fn equal_error_rate(sorted: &[Pair]) -> f64 {
    let n_same = sorted.iter().filter(|pair| pair.is_same).count() as f64;
    let n_different = sorted.len() as f64 - n_same;
    let (mut accepted_same, mut accepted_different) = (0.0, 0.0);
    let rates = runs(sorted).map(|(_, same, different)| {
        accepted_same += same as f64;
        accepted_different += different as f64;
        (1.0 - accepted_same / n_same, accepted_different / n_different)
    });
    let nearest = rates.min_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
    nearest.map_or(0.5, |(rejected, accepted)| f64::midpoint(rejected, accepted))
}

fn strict(sorted: &[Pair], n_same: usize, n_different: usize) -> Option<Strict> {
    let allowed = n_different / 1000;
    let (mut same, mut different, mut found) = (0, 0, None);
    for (distance, n_same_here, n_different_here) in runs(sorted).take_while(|_| allowed > 0) {
        same += n_same_here;
        different += n_different_here;
        if different > allowed {
            break;
        }
        found = Some(Strict { threshold: distance, recall: same as f64 / n_same as f64 });
    }
    found
}

fn estimate(value: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let n = resampled.len();
    let at = |index: usize| resampled.get(index).copied().unwrap_or(value);
    Estimate { value, low: at(n / 40), high: at(n - n.min(1) - n / 40) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(same: &[f32], different: &[f32]) -> Vec<Pair> {
        let of = |distances: &[f32], is_same| {
            distances.iter().map(|&distance| Pair { distance, is_same }).collect::<Vec<_>>()
        };
        [of(same, true), of(different, false)].concat()
    }

    #[test]
    fn separate_pairs_are_parted_in_the_middle() {
        let found = calibrate(&pairs(&[0.1, 0.2, 0.3], &[0.5, 0.7])).unwrap();
        assert_eq!((found.n_same, found.n_different), (3, 2));
        assert_eq!((found.auc.value, found.accuracy, found.equal_error_rate), (1.0, 1.0, 0.0));
        assert!((found.threshold.value - 0.4).abs() < 1e-6);
        assert_eq!(found.strict, None);
    }

    #[test]
    fn mixed_pairs_have_the_area_that_counting_gives() {
        // Of 3 x 2 comparisons, 0.1 and 0.2 win both, 0.6 wins against 0.7 and ties nothing: 5 of 6.
        let found = calibrate(&pairs(&[0.1, 0.2, 0.6], &[0.5, 0.7])).unwrap();
        assert!((found.auc.value - 5.0 / 6.0).abs() < 1e-12);
        assert!((found.accuracy - 0.8).abs() < 1e-12);
        let tied = calibrate(&pairs(&[0.5, 0.5], &[0.5])).unwrap();
        assert_eq!(tied.auc.value, 0.5);
    }

    #[test]
    fn intervals_hold_their_values_and_do_not_depend_on_the_order() {
        let same: Vec<f32> = (0..60).map(|index| 0.2 + (index * 37 % 60) as f32 / 100.0).collect();
        let different: Vec<f32> = (0..60).map(|index| 0.5 + (index * 23 % 60) as f32 / 100.0).collect();
        let mut all = pairs(&same, &different);
        let found = calibrate(&all).unwrap();
        for estimate in [found.auc, found.threshold] {
            assert!(estimate.low < estimate.high, "{estimate:?}");
            assert!((estimate.low..=estimate.high).contains(&estimate.value), "{estimate:?}");
        }
        all.reverse();
        assert_eq!(calibrate(&all).unwrap(), found);
    }

    #[test]
    fn a_strict_threshold_needs_a_thousand_pairs_of_two_people() {
        let different: Vec<f32> = (0..2000).map(|index| 0.3 + index as f32 / 2000.0).collect();
        let found = calibrate(&pairs(&[0.1, 0.2, 0.9], &different)).unwrap().strict.unwrap();
        // Two of the two thousand are allowed.
        assert!((found.threshold - 0.3005).abs() < 1e-6, "{found:?}");
        assert!((found.recall - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn pairs_that_say_nothing_are_refused() {
        let error = calibrate(&pairs(&[0.1], &[])).unwrap_err();
        assert!(error.to_string().contains("1 pairs of one person and 0 of two"), "{error}");
        assert!(calibrate(&pairs(&[f32::NAN], &[0.1])).is_err());
    }
}
