#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "goldens are f32, timesteps small"
)]

use tronie_sampling::{BetaSchedule, DiscreteOptions};
use tronie_tensor::Device;
use tronie_testing::{Golden, assert_close, synthetic};

use super::*;

const BATCH: [usize; 4] = [3, 4, 8, 6];

fn input(name: &str, shape: [usize; 4]) -> Tensor<4> {
    on(name, shape, &Device::flex())
}

fn on(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(synthetic::input(name, &shape), shape), (device, DType::F32))
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.to_data().try_to_vec().unwrap()
}

fn narrow(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

fn levels(golden: &Golden, options: DiscreteOptions) -> Levels {
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, options).unwrap();
    let timesteps: Vec<usize> = golden.f64("timesteps").iter().map(|&timestep| timestep as usize).collect();
    Levels::new(&discrete, &timesteps).unwrap()
}

/// diffusers rescales to zero terminal signal-to-noise ratio by way of betas in f32, which costs it two digits.
#[test]
fn noisy_latents_targets_and_weights_are_those_of_diffusers() {
    let golden = Golden::open("training/objectives");
    let zero_snr = DiscreteOptions {
        zero_terminal_snr: Some(DiscreteOptions::LAST_ALPHA_DIFFUSERS),
        ..DiscreteOptions::default()
    };
    for (name, options, tolerance) in
        [("plain", DiscreteOptions::default(), 1e-6), ("zero_snr", zero_snr, 2e-5)]
    {
        let levels = levels(&golden, options);
        let (latents, noise) = (input("latents", BATCH), input("noise", BATCH));
        let noisy = levels.add_noise(latents.clone(), noise.clone());
        assert_close(&values(&noisy), &golden.f32(&format!("{name}/noisy")), tolerance);
        let velocity = levels.target(Parametrization::V, latents.clone(), noise.clone());
        assert_close(&values(&velocity), &golden.f32(&format!("{name}/velocity")), tolerance);
        let epsilon = levels.target(Parametrization::Epsilon, latents, noise.clone());
        assert_eq!(values(&epsilon), values(&noise));
        assert_close(&narrow(levels.snr()), &golden.f32(&format!("{name}/snr")), tolerance);
        for (id, parametrization) in
            [("epsilon", Parametrization::Epsilon), ("v_prediction", Parametrization::V)]
        {
            let weights = narrow(levels.min_snr_weights(parametrization, 5.0));
            assert_close(&weights, &golden.f32(&format!("{name}/{id}/weights")), tolerance);
        }
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_torch() {
    let golden = Golden::open("training/objectives");
    let levels = levels(&golden, DiscreteOptions::default());
    let device = Device::flex().autodiff();
    let mask = on("mask", [3, 1, 8, 6], &device).abs().clamp_max(1.0);
    for (id, parametrization) in [("epsilon", Parametrization::Epsilon), ("v_prediction", Parametrization::V)]
    {
        let (latents, noise) = (on("latents", BATCH, &device), on("noise", BATCH, &device));
        let target = levels.target(parametrization, latents, noise);
        let weights = levels.min_snr_weights(parametrization, 5.0);
        for (place, mask) in [("whole", None), ("masked", Some(mask.clone()))] {
            let prediction = on("prediction", BATCH, &device).require_grad();
            let loss = weighted_mse(prediction.clone(), target.clone(), mask, &weights);
            let key = format!("plain/{id}/{place}");
            assert_close(&values(&loss), &golden.f32(&format!("{key}/loss")), 1e-6);
            let gradient = prediction.grad(&loss.backward()).unwrap();
            assert_close(&values(&gradient), &golden.f32(&format!("{key}/gradient")), 1e-6);
        }
    }
}

#[test]
fn weights_and_masks_count_each_image_and_place() {
    let row = |numbers: [f32; 4]| {
        Tensor::from_data(TensorData::new(numbers.to_vec(), [2, 1, 1, 2]), (&Device::flex(), DType::F32))
    };
    let (prediction, target) = (row([1.0, 2.0, 3.0, 4.0]), row([0.0; 4]));
    let loss = |mask, weights: [f64; 2]| {
        values(&weighted_mse(prediction.clone(), target.clone(), mask, &weights))[0]
    };
    assert_eq!(loss(None, [1.0, 1.0]), 7.5); // (1 + 4 + 9 + 16) / 4
    assert_eq!(loss(None, [2.0, 0.0]), 2.5); // 2 * (1 + 4) / 2 / 2
    assert_eq!(loss(Some(row([0.0, 1.0, 0.0, 0.5])), [1.0, 1.0]), 3.0); // (4 / 2 + 8 / 2) / 2
    let number = |value: f32| Tensor::<1>::from_data(TensorData::new(vec![value], [1]), &Device::flex());
    assert_eq!(values(&with_prior(number(2.0), number(3.0), 0.5)), [3.5]);
}

#[test]
fn shifted_and_pyramid_noise_equal_their_references() {
    let golden = Golden::open("training/objectives");
    let found = offset_noise(input("noise", BATCH), input("offsets", [3, 4, 1, 1]), 0.1);
    assert_close(&values(&found), &golden.f32("offset"), 1e-6);

    let sizes = pyramid_sizes(24, 16, &[3.0, 2.5, 2.1, 2.0, 2.3, 2.0]);
    let flat: Vec<f64> = sizes.iter().flatten().map(|&length| length as f64).collect();
    assert_eq!(flat, golden.f64("pyramid_sizes"));
    let octaves = sizes.iter().enumerate();
    let octaves = octaves.map(|(i, &[h, w])| input(&format!("octave.{i}"), [2, 4, h, w])).collect();
    let found = values(&pyramid_noise(input("pyramid", [2, 4, 24, 16]), octaves, 0.4));
    let kept: Vec<f32> = found.iter().step_by(37).copied().collect();
    assert_close(&kept, &golden.f32("pyramid"), 1e-6);
}

#[test]
fn timesteps_outside_of_training_are_refused() {
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap();
    assert!(Levels::new(&discrete, &[0, 999]).is_ok());
    let error = Levels::new(&discrete, &[0, 1000]).unwrap_err();
    assert_eq!(error.to_string(), "timestep 1000, expected one below 1000");
}
