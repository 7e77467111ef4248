use tronie_tensor::{DType, Device, TensorData};
use tronie_testing::assert_close;

use super::*;

fn tensor(values: &[f32]) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [2, 1, 1, values.len() / 2]);
    Tensor::from_data(data, (&Device::flex(), DType::F32))
}

fn values(x: &Tensor<4>) -> Vec<f32> {
    x.to_data().try_to_vec().unwrap()
}

fn step(index: usize, from: f64) -> Step {
    Step {
        index,
        from,
        to: from / 2.0,
        n: 10,
    }
}

#[test]
fn predictions_are_combined_by_the_formula() {
    let uncond = tensor(&[1.0, 2.0, 3.0, 4.0]);
    let (a, b) = (tensor(&[2.0, 2.0, 2.0, 2.0]), tensor(&[0.0, 0.0, 1.0, 1.0]));
    let found = Guidance::with_scale(3.0).combine(&uncond, &[(a.clone(), 1.0)]);
    assert_close(&values(&found), &[4.0, 2.0, 0.0, -2.0], 1e-6);
    let found = Guidance::with_scale(2.0).combine(&uncond, &[(a.clone(), 0.5), (b, 1.5)]);
    assert_close(&values(&found), &[-1.0, -4.0, -4.0, -7.0], 1e-6);
    let found = Guidance::with_scale(1.0).combine(&uncond, &[(a.clone(), 1.0)]);
    assert_close(&values(&found), &values(&a), 1e-6);
}

#[test]
fn rescaling_gives_each_image_the_deviation_of_its_conditional_prediction() {
    // Deviations: image 1 guided 2 sqrt(2), cond sqrt(2)/2; image 2 guided sqrt(2), cond sqrt(2).
    let guided = tensor(&[0.0, 4.0, 1.0, 3.0]);
    let cond = tensor(&[0.0, 1.0, 5.0, 3.0]);
    assert_close(
        &values(&rescale(guided.clone(), &cond, 1.0)),
        &[0.0, 1.0, 1.0, 3.0],
        1e-6,
    );
    assert_close(
        &values(&rescale(guided.clone(), &cond, 0.0)),
        &[0.0, 4.0, 1.0, 3.0],
        1e-6,
    );
    assert_close(&values(&rescale(guided, &cond, 0.5)), &[0.0, 2.5, 1.0, 3.0], 1e-6);
    // A prediction without any variation stays finite.
    let flat = rescale(tensor(&[0.0; 4]), &cond, 0.7);
    assert!(values(&flat).iter().all(|value| value.is_finite()));
}

#[test]
fn only_the_predictions_that_matter_are_asked_for() {
    let plain = Guidance::default();
    let late = Guidance {
        interval: Some(Interval::Steps { start: 0.2, end: 0.8 }),
        ..plain
    };
    let middle = Guidance {
        interval: Some(Interval::Sigmas { low: 1.0, high: 5.0 }),
        ..plain
    };
    let skip = Guidance {
        skip_below_sigma: 2.0,
        ..plain
    };
    let cases = [
        // guidance, step, sigma, number of prompts, expected
        (plain, 0, 14.0, 1, Needed::Both),
        (Guidance::with_scale(1.0), 0, 14.0, 1, Needed::CondOnly),
        (Guidance::with_scale(1.0), 0, 14.0, 2, Needed::Both),
        (Guidance::with_scale(0.0), 0, 14.0, 1, Needed::UncondOnly),
        (late, 1, 14.0, 1, Needed::CondOnly),
        (late, 2, 14.0, 1, Needed::Both),
        (late, 7, 14.0, 1, Needed::Both),
        (late, 8, 14.0, 1, Needed::CondOnly),
        (middle, 0, 5.1, 1, Needed::CondOnly),
        (middle, 0, 5.0, 1, Needed::Both),
        (middle, 0, 0.9, 1, Needed::CondOnly),
        (skip, 3, 2.0, 1, Needed::Both),
        (skip, 3, 1.9, 1, Needed::CondOnly),
        (skip, 4, 1.9, 1, Needed::Both),
        (
            Guidance {
                skip_every_step: true,
                ..skip
            },
            4,
            1.9,
            1,
            Needed::CondOnly,
        ),
        (
            Guidance {
                skip_early: 0.25,
                ..plain
            },
            2,
            9.0,
            1,
            Needed::CondOnly,
        ),
        (
            Guidance {
                skip_early: 0.25,
                ..plain
            },
            3,
            9.0,
            1,
            Needed::Both,
        ),
    ];
    for (guidance, index, sigma, n_conds, expected) in cases {
        assert_eq!(
            guidance.needed(&step(index, sigma), n_conds),
            expected,
            "{guidance:?} at {index}, {sigma}"
        );
    }
}
