use tronie_base::Silent;
use tronie_testing::{Golden, synthetic};

use super::*;

/// The features that `reference/evaluate.py` makes of the same names: a bent cloud, moved and stretched for the second set.
fn features(name: &str, n: usize, width: usize, [shift, stretch]: [f64; 2]) -> Features {
    let values = synthetic::input(name, &[n, width]);
    let row = |row: &[f32]| {
        let bent = |(column, value): (usize, &f32)| {
            let value = f64::from(*value);
            shift + stretch * (value + 0.3 * value * value * (column % 3) as f64)
        };
        row.iter().enumerate().map(bent).collect::<Vec<f64>>()
    };
    Features::from_rows("test", &values.chunks(width).map(row).collect::<Vec<_>>()).unwrap()
}

fn none() -> Resampling {
    Resampling { n: 0, seed: 0 }
}

#[test]
fn all_numbers_equal_those_of_numpy_on_the_same_features() {
    let golden = Golden::open("evaluate/distribution");
    // More pictures than features, and fewer: the two ways to a factor of the covariance.
    for (case, (n, m, width)) in [("many", (300, 260, 24)), ("few", (60, 80, 96))] {
        let (a, b) = (features("a", n, width, [0.0, 1.0]), features("b", m, width, [0.1, 1.2]));
        let found = distribution(&a, &b, none(), &mut Silent).unwrap().0;
        let spread = crate::diversity(&a, none()).unwrap().0;
        let values = [
            found.fid.value,
            found.kid.value,
            found.precision.value,
            found.recall.value,
            spread.mean_distance.value,
            spread.vendi.value,
        ];
        for (found, expected) in values.into_iter().zip(golden.f64(case)) {
            assert!(
                (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3),
                "{case}: {values:?}, expected {:?}",
                golden.f64(case)
            );
        }
    }
}

#[test]
fn a_set_is_at_no_distance_from_itself_and_at_that_of_the_means_when_moved() {
    let a = features("a", 40, 6, [0.0, 1.0]);
    let moved = features("a", 40, 6, [2.0, 1.0]);
    assert!(frechet_distance(&a, &a).unwrap().abs() < 1e-9);
    assert!((frechet_distance(&a, &moved).unwrap() - 6.0 * 4.0).abs() < 1e-9);
    assert!((precision(&a, &a) - 1.0).abs() < 1e-12);
}

#[test]
fn intervals_hold_the_number_of_a_large_sample() {
    let (a, b) = (features("a", 80, 4, [0.0, 1.0]), features("b", 80, 4, [0.4, 1.0]));
    let (large_a, large_b) = (features("A", 4000, 4, [0.0, 1.0]), features("B", 4000, 4, [0.4, 1.0]));
    let (found, warnings) = distribution(&a, &b, Resampling { n: 200, seed: 3 }, &mut Silent).unwrap();
    let holds = |estimate: Estimate, truth: f64| {
        let interval = estimate.interval.unwrap();
        assert!(interval.low <= truth && truth <= interval.high, "{interval:?}, {truth}");
    };
    holds(found.fid, frechet_distance(&large_a, &large_b).unwrap());
    holds(found.kid, kernel_distance(&large_a, &large_b).unwrap());
    assert!(found.precision.interval.unwrap().low < found.precision.value);
    assert_eq!(warnings[0], "FID of 80 pictures, better at least 10000: small samples raise it");
    assert_eq!(warnings.len(), 3);
}

#[test]
fn sets_that_are_too_small_or_of_another_network_are_refused() {
    let refusal =
        |a: &Features, b: &Features| distribution(a, b, none(), &mut Silent).unwrap_err().to_string();
    let a = features("a", 60, 4, [0.0, 1.0]);
    assert_eq!(
        refusal(&a, &features("b", 49, 4, [0.0, 1.0])),
        "FID of 49 pictures, expected at least 50: small samples raise it"
    );
    assert_eq!(
        refusal(&a, &features("b", 60, 5, [0.0, 1.0])),
        "the pictures have 4 features each, those they are compared with 5"
    );
}
