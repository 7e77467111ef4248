//! The statistics of reports: intervals of rates, and how far distributions are from each other and from independence.
//!
//! All are plain estimates from counts (each share is a count over the sum). Divergences and dependence of small samples
//! come out too large by about (cells - 1) / (2 n ln 2) bits (Miller 1955, "Note on the bias of information estimates"), so
//! reports say n beside them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The 97.5 % point of the normal distribution, for intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A rate and the interval that holds the true one in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The rate; 0 where nothing was counted.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference"):
/// `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`; everything from 0 to 1 where n is 0.
#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
pub(crate) fn wilson(n_right: u64, n: u64) -> Interval {
    if n == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    let (p, n) = (n_right as f64 / n as f64, n as f64);
    let center = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // At the ends the formula is exact but its rounding is not.
    let low = if n_right == 0 { 0.0 } else { (center - half) / scale };
    let high = if p >= 1.0 { 1.0 } else { (center + half) / scale };
    Interval { value: p, low, high }
}

/// How often each outcome was counted.
pub(crate) type Counts<K> = BTreeMap<K, u64>;

/// Shares of outcomes, which add up to 1.
#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
fn shares<K: Ord + Clone>(counts: &Counts<K>) -> BTreeMap<K, f64> {
    let n = counts.values().sum::<u64>().max(1) as f64;
    counts.iter().map(|(key, &count)| (key.clone(), count as f64 / n)).collect()
}

/// Shannon's entropy in bits.
fn entropy(shares: impl IntoIterator<Item = f64>) -> f64 {
    let terms = shares.into_iter().filter(|&share| share > 0.0).map(|share| -share * share.log2());
    terms.sum::<f64>()
}

/// Jensen-Shannon divergence in bits, 0 for equal shares to 1 for outcomes that never coincide:
/// `H((P + Q) / 2) - (H(P) + H(Q)) / 2` (Lin 1991, "Divergence measures based on the Shannon entropy", equation 4.1).
/// Absent where one of them is empty.
pub(crate) fn divergence<K: Ord + Clone>(a: &Counts<K>, b: &Counts<K>) -> Option<f64> {
    if a.values().all(|&count| count == 0) || b.values().all(|&count| count == 0) {
        return None;
    }
    let (a, b) = (shares(a), shares(b));
    let keys: BTreeSet<&K> = a.keys().chain(b.keys()).collect();
    let share = |shares: &BTreeMap<K, f64>, key: &K| shares.get(key).copied().unwrap_or(0.0);
    let middle = keys.into_iter().map(|key| f64::midpoint(share(&a, key), share(&b, key)));
    let mean = f64::midpoint(entropy(a.values().copied()), entropy(b.values().copied()));
    Some((entropy(middle) - mean).clamp(0.0, 1.0))
}

/// The counts of one coordinate of joint outcomes.
fn margin(joint: &Counts<Vec<String>>, index: usize) -> Counts<String> {
    let mut counts = Counts::new();
    for (key, count) in joint {
        if let Some(value) = key.get(index) {
            *counts.entry(value.clone()).or_default() += count;
        }
    }
    counts
}

/// Total correlation in bits, `sum of H(X_i) - H(X_1, ..., X_k)`: how far a joint distribution is from independence, 0 when
/// the attributes are independent (Watanabe 1960, "Information theoretical analysis of multivariate correlation"). Of two
/// attributes it is their mutual information (Cover and Thomas 2006, "Elements of Information Theory", 2.28).
pub(crate) fn dependence(joint: &Counts<Vec<String>>) -> Option<f64> {
    let (first, _) = joint.first_key_value()?;
    let margins = (0..first.len()).map(|index| entropy(shares(&margin(joint, index)).into_values()));
    Some((margins.sum::<f64>() - entropy(shares(joint).into_values())).max(0.0))
}

/// Cramér's V of two attributes, `sqrt(chi^2 / (n min(r - 1, c - 1)))`, 0 for independent ones to 1 for ones that say the
/// same (Cramér 1946, "Mathematical Methods of Statistics", 21.9). Absent where one of them has a single value.
#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
pub(crate) fn cramers_v(joint: &Counts<Vec<String>>) -> Option<f64> {
    let (rows, columns) = (margin(joint, 0), margin(joint, 1));
    let smaller = rows.len().min(columns.len());
    if smaller < 2 {
        return None;
    }
    // chi^2 / n = sum of O^2 / (row column) - 1
    let mut sum = -1.0;
    for (key, &count) in joint {
        let [row, column] = key.as_slice() else { continue };
        let expected =
            rows.get(row).zip(columns.get(column)).map(|(&row, &column)| row as f64 * column as f64);
        sum += expected.map_or(0.0, |expected| (count as f64).powi(2) / expected);
    }
    Some((sum.max(0.0) / (smaller - 1) as f64).sqrt().min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[(&str, u64)]) -> Counts<String> {
        values.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
    }

    fn joint(values: &[(&str, &str, u64)]) -> Counts<Vec<String>> {
        values.iter().map(|(a, b, count)| (vec![(*a).to_owned(), (*b).to_owned()], *count)).collect()
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn wilson_is_what_scipy_says() {
        // scipy 1.17 binomtest(n_right, n).proportion_ci(method="wilson")
        for (n_right, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_26),
            (5, 10, 0.236_593_090_512_564_3, 0.763_406_909_487_436_1),
            (81, 263, 0.255_288_519_878_274_2, 0.366_209_576_982_800_04),
            (10, 10, 0.722_467_200_137_110_9, 1.0),
        ] {
            let found = wilson(n_right, n);
            assert_near(found.low, low);
            assert_near(found.high, high);
        }
        assert_eq!(wilson(0, 0), Interval { value: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn divergence_is_zero_for_equal_shares_and_one_for_strangers() {
        assert_near(divergence(&counts(&[("a", 1), ("b", 3)]), &counts(&[("a", 2), ("b", 6)])).unwrap(), 0.0);
        assert_near(divergence(&counts(&[("a", 4)]), &counts(&[("b", 7)])).unwrap(), 1.0);
        // P = (1, 0), Q = (1/2, 1/2): H(3/4, 1/4) - 1/2
        let expected = -(0.75_f64 * 0.75_f64.log2() + 0.25 * 0.25_f64.log2()) - 0.5;
        assert_near(divergence(&counts(&[("a", 5)]), &counts(&[("a", 3), ("b", 3)])).unwrap(), expected);
        // scipy.spatial.distance.jensenshannon([0.25, 0.75], [0.6, 0.4], base=2) ** 2
        let found = divergence(&counts(&[("a", 1), ("b", 3)]), &counts(&[("a", 6), ("b", 4)])).unwrap();
        assert_near(found, 0.092_593_903_166_285);
        assert_eq!(divergence(&counts(&[]), &counts(&[("a", 1)])), None);
    }

    #[test]
    fn dependence_is_zero_for_a_product_and_the_entropy_for_a_copy() {
        let product = joint(&[("a", "x", 2), ("a", "y", 4), ("b", "x", 3), ("b", "y", 6)]);
        assert_near(dependence(&product).unwrap(), 0.0);
        assert_near(cramers_v(&product).unwrap(), 0.0);
        let copy = joint(&[("a", "x", 5), ("b", "y", 5)]);
        assert_near(dependence(&copy).unwrap(), 1.0);
        assert_near(cramers_v(&copy).unwrap(), 1.0);
        // scipy.stats.contingency.association([[10, 20], [30, 40]], method="cramer")
        let weak = joint(&[("a", "x", 10), ("a", "y", 20), ("b", "x", 30), ("b", "y", 40)]);
        assert_near(cramers_v(&weak).unwrap(), 0.089_087_080_637_474_8);
        assert_eq!(cramers_v(&joint(&[("a", "x", 3), ("a", "y", 2)])), None);
    }
}
