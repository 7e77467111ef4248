//! Trajectories of k-diffusion and diffusers: every call of the network, and the result.

use std::collections::BTreeSet;

use tronie_tensor::noise::{NoiseSpec, NoiseStream, Rng, Streams};
use tronie_tensor::{Device, Tensor};
use tronie_testing::{Golden, relative_error};

use crate::{
    BetaSchedule, Discrete, DiscreteOptions, Network, NetworkDenoiser, Parametrization, Plan, Run, SAMPLERS,
    SampleError, Unobserved, find_profile, find_sampler, find_schedule, plan,
};

const SEED: u64 = 1234;
const TOLERANCE: f64 = 1e-4;

/// The network of `reference/sampling.py`.
#[derive(Default)]
struct Recorder {
    inputs: Vec<f32>,
    timesteps: Vec<f64>,
}

impl Network for Recorder {
    fn predict(&mut self, x_scaled: Tensor<4>, timestep: f64) -> Result<Tensor<4>, SampleError> {
        self.inputs.extend(x_scaled.to_data().try_to_vec::<f32>().unwrap());
        self.timesteps.push(timestep);
        let bent = (x_scaled.clone() * 2.0 + (1.5 * timestep / 1000.0 - 0.5)).tanh();
        Ok(x_scaled * 0.8 + bent * 0.3)
    }
}

/// "profile/sampler/schedule/steps/prediction[/option=value]" as a plan.
fn read(name: &str, discrete: &Discrete) -> (Plan, Parametrization, NoiseSpec) {
    let fields: Vec<&str> = name.split('/').collect();
    let profile = find_profile(fields[0]).unwrap();
    let (sampler, schedule) = (find_sampler(fields[1]).unwrap().0, find_schedule(fields[2]).unwrap());
    let mut plan =
        plan(profile, sampler, Some(schedule), fields[3].parse::<usize>().unwrap(), discrete).unwrap();
    for option in &fields[5..] {
        let (name, value) = option.split_once('=').unwrap();
        let number = || value.parse::<f64>().unwrap();
        match name {
            "eta" => plan.options.eta = number(),
            "s_churn" => plan.options.s_churn = number(),
            "s_tmin" => plan.options.s_tmin = number(),
            "s_tmax" => plan.options.s_tmax = number(),
            "s_noise" => plan.options.s_noise = number(),
            "max_order" => plan.options.max_order = value.parse().unwrap(),
            _ => panic!("{option}"),
        }
    }
    let parametrization = if fields[4] == "v" { Parametrization::V } else { Parametrization::Epsilon };
    let plan = plan.for_network(parametrization);
    let spec = match profile.streams {
        Streams::PerImage => NoiseSpec::per_image(Rng::TorchCpu, SEED, 2),
        Streams::WholeBatch => NoiseSpec::whole_batch(Rng::TorchCpu, SEED, 2),
    };
    (plan, parametrization, NoiseSpec { eta_seed_delta: profile.eta_seed_delta, ..spec })
}

/// What is wrong with a case, or nothing.
fn check(golden: &Golden, name: &str, discrete: &Discrete) -> Result<(), String> {
    let (plan, parametrization, spec) = read(name, discrete);
    let mut noise = NoiseStream::new(&spec, [4, 2, 2], &Device::flex()).unwrap();
    let x = noise.initial() * plan.initial_scale;
    let mut network = Recorder::default();
    let run = Run {
        model: &mut NetworkDenoiser {
            network: &mut network,
            parametrization,
            discrete,
            timesteps: &plan.timesteps,
            consistency: plan.consistency,
        },
        sigmas: &plan.sigmas,
        noise: &mut noise,
        observer: &mut Unobserved,
        options: plan.options,
    };
    let end = plan.sampler.run(run, x).map_err(|error| error.to_string())? * plan.final_scale;

    let timesteps = golden.f64(&format!("{name}#timesteps"));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-2;
    if network.timesteps.len() != timesteps.len() || !network.timesteps.iter().zip(timesteps).all(near) {
        return Err(format!("timesteps {:?}, expected {timesteps:?}", network.timesteps));
    }
    for (call, (found, expected)) in
        network.inputs.chunks(32).zip(golden.f32(&format!("{name}#inputs")).chunks(32)).enumerate()
    {
        let error = relative_error(found, expected);
        if error > TOLERANCE {
            return Err(format!("input of call {call} is off by {error:.1e}"));
        }
    }
    let error =
        relative_error(&end.to_data().try_to_vec::<f32>().unwrap(), &golden.f32(&format!("{name}#final")));
    if error > TOLERANCE { Err(format!("the result is off by {error:.1e}")) } else { Ok(()) }
}

#[test]
fn every_sampler_walks_as_its_reference_does() {
    let golden = Golden::open("sampling/trajectories");
    let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap();
    let names: BTreeSet<&str> =
        golden.names().into_iter().filter_map(|name| name.split('#').next()).collect();
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|name| check(&golden, name, &discrete).err().map(|error| format!("{name}: {error}")))
        .collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), names.len());
    for row in SAMPLERS {
        let covered = names.iter().any(|name| name.split('/').nth(1) == Some(row.id));
        assert!(covered, "no golden for {}: add a case to reference/sampling.py", row.id);
    }
}
