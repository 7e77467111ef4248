//! The sums and means that diffusers' own scheduler tests assert (`tests/schedulers/test_scheduler_*.py`).
//!
//! Their picture is `i / 768` in a fixed order, their network `sample * t / (t + 1)`. Two habits of theirs are no part of a sampler and
//! live here: tests of schedulers on `x0 + sigma * noise` overwrite the sample by the scaled input of the network, and DDIM's clips
//! x0 but not the noise that goes with it.

mod cases;

use tronie_tensor::noise::{NoiseSpec, NoiseStream, Rng};
use tronie_tensor::{DType, Device, Tensor, TensorData};

use cases::{CASES, Case, Habit};

use crate::run::ancestral;
use crate::{
    BetaSchedule, Denoiser, Discrete, DiscreteOptions, FinalLevel, Numerics, Plan, Profile, Run, SampleError,
    SamplerOptions, Spacing, Timesteps, Unobserved, find_profile, find_sampler, find_schedule, plan,
};

/// The tests' network and habits, as a denoiser.
struct Model<'a> {
    case: Case,
    discrete: &'a Discrete,
    timesteps: &'a Timesteps,
    sigmas: &'a [f64],
    looks_per_step: u8,
    n_looks: usize,
    /// What the tests' sample has over the run's.
    offset: Option<Tensor<4>>,
}

impl Model<'_> {
    fn x0(&self, x: &Tensor<4>, input: &Tensor<4>, sigma: f64) -> Tensor<4> {
        let timestep = self.timesteps.at(sigma, self.discrete);
        let prediction = input.clone() * (timestep / (timestep + 1.0));
        self.case.prediction.x0(x, prediction, sigma)
    }

    fn next_level(&self, sigma: f64) -> f64 {
        let next = self.sigmas.iter().find(|&&level| level < sigma * (1.0 - 1e-9));
        next.copied().unwrap_or_default()
    }

    /// The slope the tests take, at their sample.
    fn scaled_sample(&mut self, x: &Tensor<4>, sigma: f64, first: bool) -> Tensor<4> {
        let offset = self.offset.take().unwrap_or_else(|| x.zeros_like());
        let sample = x.clone() + offset.clone();
        let scaled = sample.clone() / (1.0 + sigma * sigma).sqrt();
        let slope = scaled.clone() - self.x0(&scaled, &scaled, sigma); // times sigma
        self.offset = Some(if first { offset + (scaled - sample) } else { offset });
        x.clone() - slope
    }

    /// The x0 that leads from the run's sample to where the tests' scaled sample leads.
    fn scaled_mix(&mut self, x: &Tensor<4>, sigma: f64, first: bool) -> Tensor<4> {
        let scaled = x.clone() / (1.0 + sigma * sigma).sqrt();
        let x0 = self.x0(&scaled, &scaled, sigma);
        if first {
            self.offset = Some(scaled - x.clone());
        }
        let offset = self.offset.clone().unwrap();
        let (from, to) = if first {
            let to = self.next_level(sigma);
            (sigma, (sigma * to).sqrt())
        } else {
            let from = self.sigmas.iter().rev().find(|&&level| level > sigma).copied().unwrap();
            (from, self.next_level(sigma))
        };
        let kept = ancestral(from, to, 1.0).0 / from;
        x0 + offset * (kept / (1.0 - kept))
    }
}

impl Denoiser for Model<'_> {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        let first = self.n_looks.is_multiple_of(usize::from(self.looks_per_step));
        self.n_looks += 1;
        let x0 = self.x0(x, &(x.clone() / (1.0 + sigma * sigma).sqrt()), sigma);
        Ok(match self.case.habit {
            Habit::None => x0,
            Habit::ScaledSample => self.scaled_sample(x, sigma, first),
            Habit::ScaledMix => self.scaled_mix(x, sigma, first),
            Habit::Clip => x0.clamp(-1.0, 1.0),
            Habit::Threshold => x0.clamp(-0.5, 0.5) * 2.0,
            Habit::ClipPictureOnly => {
                let ratio = self.next_level(sigma) / sigma;
                (x0.clone().clamp(-1.0, 1.0) - x0 * ratio) / (1.0 - ratio)
            }
        })
    }
}

/// 4 3 8 8, `i / 768` with the image as the fastest index; or counted backwards.
fn ramp(backwards: bool) -> Tensor<4> {
    let mut values = vec![0.0_f64; 768];
    for (i, place) in (0..768).map(|i| (i, (i % 4) * 192 + i / 4)) {
        values[place] = (if backwards { 767 - i } else { i }) as f64 / 768.0;
    }
    Tensor::from_data(TensorData::new(values, [4, 3, 8, 8]), (&Device::flex(), DType::F64))
}

fn plan_of(case: Case) -> (Plan, Discrete) {
    let betas = if case.sampler == "lcm" {
        BetaSchedule::STABLE_DIFFUSION
    } else {
        BetaSchedule { start: case.beta_start, n: case.n_train, ..BetaSchedule::DDPM }
    };
    let discrete = Discrete::new(&betas, DiscreteOptions::default()).unwrap();
    let diffusers = find_profile("diffusers").unwrap();
    let final_level = if case.ends_at_zero { FinalLevel::Zero } else { FinalLevel::SigmaMin };
    let numerics = Numerics { final_level, ..*diffusers.numerics(case.sampler) };
    let profile = Profile {
        steps_offset: 0,
        spacing: Spacing::Linspace,
        samplers: Vec::leak(vec![(case.sampler, numerics)]),
        ..*diffusers
    };
    let (sampler, schedule) = (find_sampler(case.sampler).unwrap().0, find_schedule(case.schedule).unwrap());
    let plan = plan(&profile, sampler, Some(schedule), case.n_steps, &discrete).unwrap();
    let mut plan = plan.for_network(case.prediction);
    plan.options.lower_order_final &= !matches!(case.sampler, "dpmpp_2m" | "dpmpp_2s");
    if case.sampler == "uni_pc_bh2" && plan.sigmas.n_steps() < case.n_steps {
        // Their last step has no length, but its look corrects the step before it.
        let levels = plan.sigmas.as_slice().iter().copied();
        let end = plan.sigmas.last() * (1.0 - 1e-9);
        plan.sigmas = crate::Sigmas::new(levels.chain([end]).collect()).unwrap();
        plan.options.lower_order_final = true;
    }
    (plan, discrete)
}

fn run(case: Case) -> (f64, f64) {
    let (plan, discrete) = plan_of(case);
    let begin = case.noised_at.unwrap_or(case.skipped);
    let sigmas = plan.sigmas.starting_at(begin).unwrap();
    let unit = (1.0 + sigmas.first() * sigmas.first()).sqrt();
    let mut x = match case.noised_at {
        // Schedulers on noise levels scale the picture like noise even here.
        Some(_) if case.habit == Habit::ScaledSample => {
            ramp(false) * plan.initial_scale + ramp(true) * sigmas.first()
        }
        Some(_) => ramp(false) + ramp(true) * sigmas.first(),
        None if case.skipped > 0 => ramp(false) * unit,
        None => ramp(false) * plan.initial_scale,
    };
    let mut model = Model {
        case,
        discrete: &discrete,
        timesteps: &plan.timesteps,
        sigmas: sigmas.as_slice(),
        looks_per_step: plan.sampler.looks_per_step,
        n_looks: 0,
        offset: None,
    };
    let spec = NoiseSpec::whole_batch(Rng::TorchCpu, 0, 4);
    let mut noise = NoiseStream::new(&spec, [3, 8, 8], &Device::flex()).unwrap();
    let options: SamplerOptions = plan.options;
    let mut parts = vec![sigmas.clone()];
    if case.first_alone {
        let first = crate::Sigmas::new(sigmas.as_slice()[..2].to_vec()).unwrap();
        parts = vec![first, sigmas.starting_at(1).unwrap()];
    }
    for sigmas in &parts {
        let run = Run { model: &mut model, sigmas, noise: &mut noise, observer: &mut Unobserved, options };
        x = plan.sampler.run(run, x).unwrap();
    }
    if case.habit == Habit::ScaledSample {
        x = x + model.offset.unwrap();
    }
    let values = (x * plan.final_scale).to_data().try_to_vec::<f64>().unwrap();
    let sum: f64 = values.iter().map(|value| value.abs()).sum();
    (sum, sum / 768.0)
}

#[test]
fn the_sums_of_diffusers_own_tests_are_reproduced() {
    let mut wrong = Vec::new();
    for &case in CASES {
        let (sum, mean) = run(case);
        // Their tolerances, 1e-2 for sums and 1e-3 for means, and f32 where the sums are large.
        let is_near = |found: f64, expected: f64, tolerance: f64| {
            expected == 0.0 || (found - expected).abs() < tolerance.max(1e-6 * expected)
        };
        if !(is_near(sum, case.expected.0, 1e-2) && is_near(mean, case.expected.1, 1e-3)) {
            let Case { sampler, schedule, prediction, noised_at, expected, .. } = case;
            wrong.push(format!(
                "{sampler} {schedule} {prediction:?} {noised_at:?}: {sum:.4} {mean:.6}, expected {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), CASES.len());
}
