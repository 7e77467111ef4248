//! Ten steps of small UNets against PyTorch, diffusers and PEFT: `reference/finetune.py`.

use std::collections::BTreeMap;

use tronie_models::{Added, Conditioning, Unet, UnetConfig};
use tronie_sampling::{BetaSchedule, Discrete, DiscreteOptions, Parametrization};
use tronie_tensor::{Device, TensorData};
use tronie_testing::{Golden, assert_close, relative_error, repository, synthetic};

use super::*;
use crate::optimizer::{self, Parameter, StepContext};
use crate::parameters::{GradientsByName, Parameters, Values};
use crate::{Levels, find_optimizer, weighted_mse};

pub(crate) const BATCH: usize = 2;
const RANK: usize = 4;
const ALPHA: f64 = 2.0;
const TARGETS: [&str; 9] =
    ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1"];

/// Fills a network with the reference's weights and lists them.
#[derive(Default)]
pub(crate) struct Filler {
    path: Vec<String>,
    all: BTreeMap<String, Values>,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (name, shape) = (self.path.join("."), param.lazy_shape().to_vec());
        let values = synthetic::weight(&name, &shape);
        let data = TensorData::new(values.clone(), shape.clone());
        self.all.insert(name, Values { shape, values });
        Param::initialized(param.id, Tensor::from_data(data, &Device::flex()))
    }
}

pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// File of the configuration in testdata/unet.
    config: &'static str,
    parametrization: Parametrization,
    /// What SDXL is told of the image.
    sizes: Option<[f32; 6]>,
}

pub(crate) const FAMILIES: [Family; 3] = [
    Family { name: "sd15", config: "sd15", parametrization: Parametrization::Epsilon, sizes: None },
    Family { name: "sd21_v", config: "sd2", parametrization: Parametrization::V, sizes: None },
    Family {
        name: "sdxl",
        config: "sdxl",
        parametrization: Parametrization::Epsilon,
        sizes: Some([64.0, 48.0, 0.0, 8.0, 64.0, 64.0]),
    },
];

impl Family {
    pub(crate) fn unet(&self) -> (Unet, usize, BTreeMap<String, Values>) {
        let path = repository().join(format!("testdata/unet/{}.config.json", self.config));
        let config = UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut filler = Filler::default();
        let unet = config.init(&Device::flex()).unwrap().map(&mut filler);
        (unet, 24, filler.all)
    }

    fn conditioning(&self, d_context: usize, step: usize) -> Conditioning {
        let device = Device::flex().autodiff();
        let context = synthetic::input(&format!("context.{step}"), &[BATCH, 5, d_context]);
        let context = Tensor::from_data(TensorData::new(context, [BATCH, 5, d_context]), &device);
        let pooled = synthetic::input(&format!("pooled.{step}"), &[BATCH, 20]);
        let pooled = Tensor::from_data(TensorData::new(pooled, [BATCH, 20]), &device);
        self.with_sizes(context, pooled)
    }

    /// The conditioning of these texts; families without a place for it get no pooled vector.
    pub(crate) fn with_sizes(&self, context: Tensor<3>, pooled: Tensor<2>) -> Conditioning {
        let added = self.sizes.map(|sizes| {
            let ids = TensorData::new([sizes, sizes].concat(), [BATCH, 6]);
            Added { pooled, time_ids: Tensor::from_data(ids, &Device::flex().autodiff()) }
        });
        Conditioning { added, ..Conditioning::new(context) }
    }

    pub(crate) fn loss(&self, unet: &Unet, conditioning: &Conditioning, step: usize) -> Tensor<1> {
        let device = Device::flex().autodiff();
        let input = |name: &str, dims: [usize; 4]| -> Tensor<4> {
            let values = synthetic::input(&format!("{name}.{step}"), &dims);
            Tensor::from_data(TensorData::new(values, dims), &device)
        };
        let (latents, noise) = (input("latents", [BATCH, 4, 8, 8]), input("noise", [BATCH, 4, 8, 8]));
        let timesteps = [0, 1].map(|item| (97 * step + 31 + 443 * item) % 1000);
        let discrete = Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap();
        let levels = Levels::new(&discrete, &timesteps).unwrap();
        let t = Tensor::from_data(TensorData::new(timesteps.map(|t| t as f32).to_vec(), [BATCH]), &device);
        let predicted = unet.forward(levels.add_noise(latents.clone(), noise.clone()), t, conditioning);
        weighted_mse(predicted, levels.target(self.parametrization, latents, noise), None, &[1.0; BATCH])
    }

    fn assert_equals_reference(&self, kind: &str, parameters: Parameters, scale: f64) {
        let golden = Golden::open(&format!("training/{kind}_{}", self.name));
        let (unet, d_context, _) = self.unet();
        let (losses, gradients, last) = ten_steps(parameters, |leaves, step| {
            let conditioning = self.conditioning(d_context, step);
            self.loss(&weave(unet.clone(), "unet", leaves, scale), &conditioning, step)
        });
        assert_close(&losses, &golden.f32("losses"), 1e-4);
        let norm = |values: &Vec<f32>| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let norms: Vec<f64> = gradients.values().map(norm).collect();
        assert_eq!(norms.len(), golden.f64("norms").len(), "number of trained tensors");
        let largest = norms.iter().copied().fold(0.0, f64::max);
        for ((name, found), expected) in gradients.keys().zip(&norms).zip(golden.f64("norms")) {
            let error = (found - expected).abs() / (expected + 1e-4 * largest);
            assert!(error < 1e-3, "{}: gradient of {name} has norm {found}, expected {expected}", self.name);
        }
        let mut n_compared = 0;
        for name in golden.names() {
            if let Some(plain) = name.strip_prefix("gradient.") {
                let error = relative_error(&gradients[&format!("unet.{plain}")], &golden.f32(name));
                assert!(error < 1e-3, "{}: {name} differs by {error:e}", self.name);
            }
            if let Some(plain) = name.strip_prefix("final.") {
                let error = distance(&last.0[&format!("unet.{plain}")].values, &golden.f32(name));
                assert!(error < 1e-4, "{}: {name} differs by {error:e}", self.name);
                n_compared += 1;
            }
        }
        assert!(n_compared > 5, "{n_compared} tensors were compared");
    }
}

/// Losses, gradients of the first step, final values.
pub(crate) fn ten_steps(
    mut parameters: Parameters,
    loss_at: impl Fn(&Leaves, usize) -> Tensor<1>,
) -> (Vec<f32>, GradientsByName, Parameters) {
    let options = serde_json::json!({"learning_rate": 1e-3, "weight_decay": 1e-2});
    let adamw = find_optimizer("adamw").unwrap().make(options).unwrap();
    let rows = parameters.0.iter();
    let mut states: Vec<_> = rows.map(|(_, row)| adamw.new_state(&row.values, &row.shape)).collect();
    let (mut losses, mut first) = (Vec::new(), None);
    for step in 0..10 {
        let leaves = parameters.leaves(&Device::flex().autodiff());
        let loss = loss_at(&leaves, step);
        let gradients = leaves.gradients(&mut loss.backward());
        losses.push(loss.into_scalar());
        let rows = parameters.0.iter_mut().zip(&mut states).zip(gradients.values());
        let mut moved: Vec<Parameter<'_>> = rows
            .map(|(((name, row), state), g)| {
                Parameter::new(name, &row.shape, &mut row.values, g, state).unwrap()
            })
            .collect();
        let at = StepContext { step: step as u64 + 1, lr_factor: 1.0 };
        optimizer::step_all(adamw.as_ref(), &mut moved, &mut adamw.new_shared(), at).unwrap();
        first.get_or_insert(gradients);
    }
    (losses, first.unwrap(), parameters)
}

/// Length of the difference over the length of what is expected. Single values of a gradient near zero may differ by more:
/// Adam divides them by their own size.
pub(crate) fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let mut differences = found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b));
    length(&mut differences) / length(&mut expected.iter().map(|x| f64::from(*x)))
}

#[test]
fn full_training_equals_pytorch() {
    for family in FAMILIES {
        let (.., all) = family.unet();
        let all = all.into_iter().map(|(name, values)| (format!("unet.{name}"), values));
        family.assert_equals_reference("full", Parameters(all.collect()), 1.0);
    }
}

#[test]
fn low_rank_training_equals_peft() {
    for family in FAMILIES {
        let (.., all) = family.unet();
        let mut parameters = Parameters::default();
        for (name, Values { shape, .. }) in all {
            let Some(layer) = name.strip_suffix(".weight") else { continue };
            let is_target =
                TARGETS.iter().any(|target| layer == *target || layer.ends_with(&format!(".{target}")));
            if !is_target || shape.len() < 2 {
                continue;
            }
            let (mut down, mut up) = (shape.clone(), vec![1; shape.len()]);
            down[0] = RANK;
            (up[0], up[1]) = (shape[0], RANK);
            for (which, shape) in [(DOWN, down), (UP, up)] {
                let name = format!("{layer}.{which}");
                let values = synthetic::weight(&name, &shape).into_iter().map(|x| 0.1 * x).collect();
                parameters.0.insert(format!("unet.{name}"), Values { shape, values });
            }
        }
        family.assert_equals_reference("lora", parameters, ALPHA / RANK as f64);
    }
}
