#![expect(clippy::cast_possible_truncation, reason = "goldens are f32")]

use tronie_testing::{Golden, assert_close};

use super::*;

fn stable_diffusion() -> Discrete {
    Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap()
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[test]
fn stable_diffusion_has_the_published_noise_levels() {
    let discrete = stable_diffusion();
    let alphas = discrete.alphas_cumprod();
    assert_eq!(discrete.n_timesteps(), 1000);
    assert!((alphas[0] - 0.99915).abs() < 1e-7);
    assert!((alphas[999] - 0.004_660_1).abs() < 1e-7);
    assert!((discrete.sigma_min() - 0.029_167_2).abs() < 2e-6, "{}", discrete.sigma_min());
    assert!((discrete.sigma_max() - 14.614_641).abs() < 1e-5);
    let golden = Golden::open("sampling/schedules");
    assert_close(&f32s(alphas), &golden.f32("alphas_cumprod"), 1e-6);
}

#[test]
fn every_variant_of_the_training_schedule_is_its_references() {
    let golden = Golden::open("sampling/schedules");
    let zero_snr = DiscreteOptions {
        zero_terminal_snr: Some(DiscreteOptions::LAST_ALPHA_DIFFUSERS),
        ..Default::default()
    };
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, zero_snr).unwrap();
    assert_close(&f32s(discrete.alphas_cumprod()), &golden.f32("zero_snr_alphas_cumprod"), 1e-5);
    assert!((discrete.sigma_max() - 4096.0).abs() < 0.01);

    let cosine = BetaSchedule { curve: BetaCurve::SquaredCosine, ..BetaSchedule::DDPM };
    let discrete = Discrete::new(&cosine, DiscreteOptions::default()).unwrap();
    assert_close(&f32s(discrete.alphas_cumprod()), &golden.f32("squared_cosine_alphas_cumprod"), 1e-6);

    let discrete = Discrete::new(&BetaSchedule::ANIMATE_DIFF, DiscreteOptions::default()).unwrap();
    assert!((discrete.alphas_cumprod()[999] - 0.001_578_96).abs() < 1e-8);
    assert!((discrete.sigma_max() - 25.1461).abs() < 1e-4);

    let half = DiscreteOptions { downcast_alphas: true, ..Default::default() };
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, half).unwrap();
    assert!((discrete.sigma_min() - 0.031_265_3).abs() < 1e-7, "{}", discrete.sigma_min());
    assert!((discrete.sigma_max() - 14.612_339_2).abs() < 1e-5, "{}", discrete.sigma_max());
}

#[test]
fn timesteps_and_levels_lead_to_each_other_as_in_k_diffusion() {
    let (discrete, golden) = (stable_diffusion(), Golden::open("sampling/schedules"));
    let sigmas = golden.f64("timestep_sigmas").iter();
    let timesteps: Vec<f64> = sigmas.map(|&s| discrete.timestep_of(s, Rounding::Fractional)).collect();
    assert_close(&f32s(&timesteps), &golden.f32("timesteps"), 1e-5);
    let timesteps = golden.f64("sigma_timesteps").iter();
    let sigmas: Vec<f64> = timesteps.map(|&t| discrete.sigma_of(t)).collect();
    assert_close(&f32s(&sigmas), &golden.f32("sigmas"), 1e-5);
    let between = discrete.sigma_of(499.7);
    for (rounding, expected) in
        [(Rounding::Fractional, 499.7), (Rounding::Nearest, 500.0), (Rounding::Down, 499.0)]
    {
        assert!((discrete.timestep_of(between, rounding) - expected).abs() < 1e-6, "{rounding:?}");
    }
    // At the ends, and beyond.
    for (sigma, timestep) in [(0.0, 0.0), (1e9, 999.0), (discrete.sigma_max(), 999.0)] {
        assert_eq!(discrete.timestep_of(sigma, Rounding::Nearest), timestep);
    }
    assert_eq!(discrete.sigma_of_linear(1e9), discrete.sigma_max());
    assert_eq!(discrete.sigma_of_linear(-1.0), discrete.sigma_min());
}

#[test]
fn schedules_that_are_none_are_refused() {
    let good = BetaSchedule::STABLE_DIFFUSION;
    let bad = [
        BetaSchedule { start: 0.0, ..good },
        BetaSchedule { end: 1.0, ..good },
        BetaSchedule { end: f64::NAN, ..good },
        BetaSchedule { n: 1, ..good },
        BetaSchedule { n: usize::MAX, ..good },
    ];
    for betas in bad {
        let error = Discrete::new(&betas, DiscreteOptions::default()).unwrap_err();
        assert!(matches!(error, ScheduleError::Training { .. }), "{betas:?}: {error}");
    }
    for alphas in [vec![], vec![0.5], vec![0.5, 0.6], vec![1.0, 0.5], vec![0.5, 0.0], vec![0.5, f64::NAN]] {
        assert!(Discrete::from_alphas_cumprod(alphas.clone()).is_err(), "{alphas:?}");
    }
}
