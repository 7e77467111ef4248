//! For data drawn from N(0, s^2) the best denoiser is `x s^2 / (s^2 + sigma^2)` and the probability-flow ODE has the solution
//! `x(sigma) = x(top) sqrt((s^2 + sigma^2) / (s^2 + top^2))`: every method must reach its order of convergence on it.

use tronie_tensor::noise::NoiseStream;
use tronie_tensor::{DType, Device, Tensor, TensorData};

use crate::{
    BetaSchedule, Denoiser, Discrete, DiscreteOptions, LevelUse, PROFILES, Profile, Run, SAMPLERS,
    SampleError, SamplerOptions, SamplerRow, Sigmas, Stretch, Unobserved, plan,
};

const SPREAD: f64 = 0.8;
/// Near the spread, so that cold starts of multistep methods are felt.
const TOP: f64 = 2.0;
const BOTTOM: f64 = 0.1;

struct Gaussian;

impl Denoiser for Gaussian {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        Ok(x.clone() * (SPREAD * SPREAD / (SPREAD * SPREAD + sigma * sigma)))
    }
}

/// Error at the end of `n` steps, evenly spaced in log sigma.
fn error(row: &SamplerRow, n: usize) -> f64 {
    let levels = (0..=n).map(|i| TOP * (BOTTOM / TOP).powf(i as f64 / n as f64));
    let sigmas = Sigmas::new(levels.collect()).unwrap();
    let device = Device::flex();
    let start = TensorData::new(vec![TOP], [1, 1, 1, 1]);
    let x = Tensor::<4>::from_data(start, (&device, DType::F64));
    let run = Run {
        model: &mut Gaussian,
        sigmas: &sigmas,
        noise: &mut NoiseStream::silent([1, 1, 1, 1], &device),
        observer: &mut Unobserved,
        options: SamplerOptions { eta: 0.0, lower_order_final: false, ..row.options() },
    };
    let found: f64 = row.run(run, x).unwrap().into_scalar();
    let exact = TOP * ((SPREAD * SPREAD + BOTTOM * BOTTOM) / (SPREAD * SPREAD + TOP * TOP)).sqrt();
    (found - exact).abs()
}

/// How far off a run is that begins with the exact x at the first level of a plan's end, relative to the exact result.
fn error_of_end(profile: &Profile, row: &'static SamplerRow, discrete: &Discrete) -> f64 {
    let stretch = Stretch { n_planned: 60, n_from_picture: Some(30) };
    let plan = plan(profile, row, None, stretch, discrete).unwrap();
    let exact = |sigma: f64| (SPREAD * SPREAD + sigma * sigma).sqrt();
    let device = Device::flex();
    let start = TensorData::new(vec![exact(plan.sigmas.first())], [1, 1, 1, 1]);
    let x = Tensor::<4>::from_data(start, (&device, DType::F64));
    let run = Run {
        model: &mut Gaussian,
        sigmas: &plan.sigmas,
        noise: &mut NoiseStream::silent([1, 1, 1, 1], &device),
        observer: &mut Unobserved,
        options: SamplerOptions { eta: 0.0, ..plan.options },
    };
    let found: f64 = row.run(run, x).unwrap().into_scalar();
    (found / exact(plan.sigmas.last()) - 1.0).abs()
}

#[test]
fn every_sampler_walks_on_from_the_middle_of_a_schedule() {
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap();
    for profile in PROFILES {
        for row in SAMPLERS.iter().filter(|row| has_ode(row)) {
            let error = error_of_end(profile, row, &discrete);
            assert!(error < 0.05, "{} {}: {error}", profile.id, row.id);
        }
    }
}

/// Samplers whose noise cannot be turned off solve no ODE.
fn has_ode(row: &SamplerRow) -> bool {
    !row.stochastic || row.eta > 0.0
}

#[test]
fn every_sampler_reaches_its_declared_order() {
    let mut wrong = Vec::new();
    for row in SAMPLERS.iter().filter(|row| has_ode(row) && row.levels != LevelUse::Ends) {
        let order = (error(row, 96) / error(row, 192)).log2();
        if (order - f64::from(row.order)).abs() > 0.2 {
            wrong.push(format!("{} declares {}, has {order:.2}", row.id, row.order));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_adaptive_sampler_stays_near_the_solution() {
    for row in SAMPLERS.iter().filter(|row| row.levels == LevelUse::Ends) {
        let error = error(row, 20);
        assert!(error < 0.05 * SPREAD, "{}: {error}", row.id);
    }
}
