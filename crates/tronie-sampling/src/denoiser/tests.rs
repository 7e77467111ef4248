#![expect(clippy::cast_possible_truncation, reason = "goldens are f32")]

use tronie_tensor::{DType, Device, TensorData};
use tronie_testing::assert_close;

use super::*;
use crate::{BetaSchedule, DiscreteOptions};

fn tensor(values: &[f32]) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [1, 1, 1, values.len()]);
    Tensor::from_data(data, (&Device::flex(), DType::F32))
}

fn values(x: &Tensor<4>) -> Vec<f32> {
    x.to_data().try_to_vec().unwrap()
}

const BOTH: [Parametrization; 2] = [Parametrization::Epsilon, Parametrization::V];

#[test]
fn a_prediction_that_meets_its_target_gives_the_picture_back() {
    let (x0, noise) = (tensor(&[0.3, -0.9, 0.0, 1.2]), tensor(&[1.1, 0.4, -0.7, -2.0]));
    for sigma in [0.03, 1.0, 14.6] {
        let x = x0.clone() + noise.clone() * sigma;
        for parametrization in BOTH {
            let level = tensor(&[sigma as f32]);
            let target = parametrization.target(x0.clone(), noise.clone(), level);
            let found = parametrization.x0(&x, target.clone(), sigma);
            assert_close(&values(&found), &values(&x0), 1e-5);
            assert_close(&values(&parametrization.prediction(&x, &x0, sigma)), &values(&target), 1e-4);
        }
    }
}

/// Says its timestep.
struct Echo;

impl Network for Echo {
    fn predict(&mut self, x_scaled: Tensor<4>, timestep: f64) -> Result<Tensor<4>, SampleError> {
        Ok(x_scaled.zeros_like() + timestep)
    }
}

#[test]
fn a_schedules_own_timesteps_win_over_the_rule() {
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap();
    let (named, other) = (discrete.sigma_of(500.4), discrete.sigma_of(300.4));
    let timesteps = Timesteps::with_table(&[named], &[500.0], Rounding::Fractional);
    assert_eq!(timesteps.at(named, &discrete), 500.0);
    assert!((timesteps.at(other, &discrete) - 300.4).abs() < 1e-6);
    assert_eq!(Timesteps::by_rule(Rounding::Nearest).at(other, &discrete), 300.0);

    let mut denoiser = NetworkDenoiser {
        network: &mut Echo,
        parametrization: Parametrization::Epsilon,
        discrete: &discrete,
        timesteps: &timesteps,
        consistency: false,
    };
    let x0 = denoiser.denoise(&tensor(&[0.0]), named).unwrap();
    assert_close(&values(&x0), &[(-500.0 * named) as f32], 1e-6);
}

#[test]
fn a_consistency_model_keeps_its_input_at_timestep_0() {
    assert_eq!(boundary(0.0), (1.0, 0.0));
    let (skip, out) = boundary(999.0);
    assert!(skip < 1e-8 && (out - 1.0).abs() < 1e-8);
}
