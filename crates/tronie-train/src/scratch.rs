//! Networks made anew: the checkpoint's configurations, or the recipe's, with random weights.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tronie_base::derive_seed;
use tronie_generate::{GenerateError, Networks};
use tronie_models::catalog::ModelSpec;
use tronie_tensor::Device;
use tronie_tensor::noise::{Mt19937, Philox4x32};
use tronie_weights::{Checkpoint, Part};

use crate::TrainError;
use crate::export::Changed;
use crate::parameters::{Parameters, Values};
use crate::recipe::{Recipe, Stage};
use crate::trainee::{Trainee, Weight, Weights};

/// Spread of the vectors of tokens and positions, as CLIP starts with (Radford et al. 2021, arXiv:2103.00020, and
/// `CLIPPreTrainedModel._init_weights` of transformers).
const EMBEDDING_DEVIATION: f32 = 0.02;

/// Gives the networks of the recipe's stage new configurations, where it has some, and new weights, unless they are to go on.
pub(crate) fn renew(checkpoint: &mut Checkpoint, recipe: &Recipe) -> Result<(), TrainError> {
    let is_renewed = |part: Part| {
        recipe.scratch.renew
            && match (recipe.scratch.stage, part) {
                (Stage::Autoencoder, Part::Vae) | (Stage::Diffusion, Part::Unet) => true,
                (Stage::Diffusion, Part::TextEncoder | Part::TextEncoder2) => recipe.text.train,
                (Stage::Decoder | Stage::Diffusion, Part::Vae) | (Stage::Autoencoder | Stage::Decoder, _) => {
                    false
                }
            }
    };
    for (folder, path) in &recipe.scratch.configs {
        let part = Part::ALL.into_iter().find(|part| part.folder() == folder && is_renewed(*part));
        let component = part.and_then(|part| checkpoint.parts.get_mut(&part)).ok_or_else(|| {
            let hint = "name a network that this stage trains and the model has";
            TrainError::data(path, format!("is for \"{folder}\", which is not made anew"), hint)
        })?;
        let problem =
            |problem: String| TrainError::data(path, problem, "it is a config.json as diffusers writes it");
        let text = fs::read_to_string(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
        component.config = Some(serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?);
    }
    let spec = Networks::spec_of(checkpoint, &recipe.model)?;
    for (part, component) in checkpoint.parts.iter_mut().filter(|(part, _)| is_renewed(**part)) {
        let weights = weights_of(&spec, *part, &recipe.model)?;
        let values = weights.into_iter().map(|weight| {
            let seed = derive_seed(&format!("train/{}/{}.{}", recipe.seed, part.folder(), weight.name), 0);
            (weight.name.clone(), Values { values: first_values(&weight, seed), shape: weight.shape })
        });
        let values: BTreeMap<String, Values> = values.collect();
        component.tensors = Box::new(Changed::new(values));
    }
    Ok(())
}

/// Gives all tokens that no caption has one and the same vector, the mean of theirs: they have learned nothing, and equal rows
/// take no room in a compressed file.
pub(crate) fn level_unseen_tokens(result: &mut Parameters, trainee: &Trainee, captions: &[&str]) {
    let tokenizer = &trainee.networks.tokenizer;
    let seen: BTreeSet<usize> = captions
        .iter()
        .flat_map(|caption| tokenizer.encode(caption))
        .chain([tokenizer.bos(), tokenizer.eos()])
        .chain(trainee.networks.spec.text.encoders.iter().filter_map(|row| u32::try_from(row.pad_token).ok()))
        .map(|id| id as usize)
        .collect();
    for (_, table) in result.0.iter_mut().filter(|(name, _)| name.ends_with("token_embedding.weight")) {
        let width = table.shape.last().copied().unwrap_or(1);
        let mut mean = vec![0.0_f64; width];
        let mut n = 0.0;
        for (_, row) in table.values.chunks_exact(width).enumerate().filter(|(id, _)| !seen.contains(id)) {
            n += 1.0;
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        for (_, row) in table.values.chunks_exact_mut(width).enumerate().filter(|(id, _)| !seen.contains(id))
        {
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            row.iter_mut().zip(&mean).for_each(|(value, mean)| *value = (mean / n) as f32);
        }
    }
}

/// Puts what the latents have to be multiplied by into the autoencoder's configuration.
pub(crate) fn set_latent_scale(checkpoint: &mut Checkpoint, scale: f64) {
    let config = checkpoint.parts.get_mut(&Part::Vae).and_then(|component| component.config.as_mut());
    if let Some(config) = config.and_then(Value::as_object_mut) {
        config.insert("scaling_factor".into(), scale.into());
    }
}

fn weights_of(spec: &ModelSpec, part: Part, model: &str) -> Result<Vec<Weight>, TrainError> {
    let device = Device::flex(); // nothing is read, so nothing is allocated
    match part {
        Part::Unet => {
            let unet = spec.unet.init(&device).map_err(|error| GenerateError::Checkpoint {
                model: model.to_owned(),
                reason: error.to_string(),
                hint: None,
            })?;
            Ok(Weights::of(&unet))
        }
        Part::Vae => {
            let mut weights = Weights::of(&spec.vae.init_encoder(&device));
            weights.extend(Weights::of(&spec.vae.init_decoder(&device)));
            Ok(weights)
        }
        Part::TextEncoder | Part::TextEncoder2 => {
            let encoder = spec.text.encoders.iter().find(|encoder| encoder.folder == part.folder());
            Ok(encoder.map(|encoder| Weights::of(&encoder.config.init(&device))).unwrap_or_default())
        }
    }
}

/// What a weight starts with: [`even`] matrices and convolutions, norms that do nothing, no biases, small normal vectors
/// for tokens and positions.
fn first_values(weight: &Weight, seed: u64) -> Vec<f32> {
    let n: usize = weight.shape.iter().product();
    if weight.shape.len() < 2 {
        return vec![if weight.name.ends_with("weight") { 1.0 } else { 0.0 }; n];
    }
    if weight.name.contains("embeddings.") {
        return Philox4x32::new(seed).randn(n).into_iter().map(|x| x * EMBEDDING_DEVIATION).collect();
    }
    even(&weight.shape, seed)
}

/// As PyTorch fills a matrix or convolution: evenly between -1 and 1 over the root of its inputs, which is
/// `kaiming_uniform_` with a = sqrt(5).
pub(crate) fn even(shape: &[usize], seed: u64) -> Vec<f32> {
    let n_inputs: usize = shape.iter().skip(1).product();
    let bound = (n_inputs as f64).sqrt().recip();
    let mut random = Mt19937::new(seed);
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let number = |_| ((f64::from(random.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0) * bound) as f32;
    (0..shape.iter().product()).map(number).collect()
}
