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
    Step { index, from, to: from / 2.0, n: 10 }
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
    assert_close(&values(&rescale(guided.clone(), &cond, 1.0)), &[0.0, 1.0, 1.0, 3.0], 1e-6);
    assert_close(&values(&rescale(guided.clone(), &cond, 0.0)), &[0.0, 4.0, 1.0, 3.0], 1e-6);
    assert_close(&values(&rescale(guided, &cond, 0.5)), &[0.0, 2.5, 1.0, 3.0], 1e-6);
    // A prediction without any variation stays finite.
    let flat = rescale(tensor(&[0.0; 4]), &cond, 0.7);
    assert!(values(&flat).iter().all(|value| value.is_finite()));
}

fn check(guidance: Guidance, index: usize, sigma: f64, expected: Needed) {
    assert_eq!(guidance.needed(&step(index, sigma), 1), expected, "{guidance:?} at {index}, {sigma}");
}

#[test]
fn scales_of_0_and_1_need_one_prediction() {
    check(Guidance::default(), 0, 14.0, Needed::Both);
    check(Guidance::with_scale(1.0), 0, 14.0, Needed::CondOnly);
    check(Guidance::with_scale(0.0), 0, 14.0, Needed::UncondOnly);
    // Two prompts are composed by their differences to the unconditional prediction.
    assert_eq!(Guidance::with_scale(1.0).needed(&step(0, 14.0), 2), Needed::Both);
}

#[test]
fn outside_of_its_interval_guidance_is_off() {
    let interval = |interval| Guidance { interval: Some(interval), ..Guidance::default() };
    let late = interval(Interval::Steps { start: 0.2, end: 0.8 });
    for (index, expected) in
        [(1, Needed::CondOnly), (2, Needed::Both), (7, Needed::Both), (8, Needed::CondOnly)]
    {
        check(late, index, 14.0, expected);
    }
    let middle = interval(Interval::Sigmas { low: 1.0, high: 5.0 });
    for (sigma, expected) in
        [(5.1, Needed::CondOnly), (5.0, Needed::Both), (1.0, Needed::Both), (0.9, Needed::CondOnly)]
    {
        check(middle, 0, sigma, expected);
    }
}

#[test]
fn steps_that_may_go_without_the_unconditional_prediction_do() {
    let skip = Guidance { skip_below_sigma: 2.0, ..Guidance::default() };
    check(skip, 3, 2.0, Needed::Both);
    check(skip, 3, 1.9, Needed::CondOnly);
    check(skip, 4, 1.9, Needed::Both);
    check(Guidance { skip_every_step: true, ..skip }, 4, 1.9, Needed::CondOnly);
    let early = Guidance { skip_early: 0.25, ..Guidance::default() };
    check(early, 2, 9.0, Needed::CondOnly);
    check(early, 3, 9.0, Needed::Both);
}
