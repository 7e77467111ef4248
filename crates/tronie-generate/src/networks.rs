//! The networks of one checkpoint, in memory.

use serde_json::Value;
use tronie_base::{Faulty as _, Progress};
use tronie_models::catalog::{DiffusersFolder, ModelSpec, TextPart};
use tronie_models::clip::Clip;
use tronie_models::vae::{VaeDecoder, VaeEncoder};
use tronie_models::{Unet, load};
use tronie_prompt::Tokenizer;
use tronie_tensor::{Device, Module};
use tronie_weights::{Checkpoint, Component, Part, TensorFile};

use crate::GenerateError;

/// Everything a pipeline runs. Clones share their weights.
#[derive(Debug, Clone)]
pub struct Networks {
    /// What the checkpoint is.
    pub spec: ModelSpec,
    /// Cuts texts into the encoders' tokens.
    pub tokenizer: Tokenizer,
    /// The text encoders, in the order of `spec.text.encoders`.
    pub clips: Vec<Clip>,
    /// The denoising network.
    pub unet: Unet,
    /// Turns latents into images.
    pub vae: VaeDecoder,
}

impl Networks {
    /// Reads every network of `checkpoint` that text to image needs. `model` is its name in messages.
    ///
    /// # Errors
    /// [`GenerateError`] when a network is missing or does not fit.
    pub fn load(
        checkpoint: &Checkpoint,
        model: &str,
        device: &Device,
        progress: &mut (impl Progress + ?Sized),
    ) -> Result<Self, GenerateError> {
        let wrong = wrong(model);
        let spec = spec(checkpoint, &wrong)?;
        progress.begin("loading", spec.text.encoders.len() as u64 + 2);
        let mut clips = Vec::new();
        for encoder in &spec.text.encoders {
            let tensors = part(checkpoint, encoder.folder, &wrong)?;
            clips.push(fill(encoder.config.init(device), tensors, (model, encoder.folder), device)?);
            progress.advance(1);
            progress.check()?;
        }
        let network = spec.unet.init(device).map_err(|error| wrong(error.to_string(), error.hint()))?;
        let unet = fill(network, part(checkpoint, "unet", &wrong)?, (model, "unet"), device)?;
        progress.advance(1);
        progress.check()?;
        let vae =
            fill(spec.vae.init_decoder(device), part(checkpoint, "vae", &wrong)?, (model, "vae"), device)?;
        progress.advance(1);
        Ok(Self { tokenizer: tokenizer(checkpoint, &wrong)?, spec, clips, unet, vae })
    }

    /// What a checkpoint is, before its weights are read.
    ///
    /// # Errors
    /// [`GenerateError::Checkpoint`] when its configurations are of no model that can be run.
    pub fn spec_of(checkpoint: &Checkpoint, model: &str) -> Result<ModelSpec, GenerateError> {
        spec(checkpoint, &wrong(model))
    }

    /// Reads the network that turns images into latents, which text to image does without.
    ///
    /// # Errors
    /// [`GenerateError`] when it is missing or does not fit.
    pub fn load_vae_encoder(
        &self,
        checkpoint: &Checkpoint,
        model: &str,
        device: &Device,
    ) -> Result<VaeEncoder, GenerateError> {
        let tensors = part(checkpoint, "vae", &wrong(model))?;
        fill(self.spec.vae.init_encoder(device), tensors, (model, "vae"), device)
    }
}

/// Builds the error for a checkpoint that cannot be used.
type Wrong<'a> = dyn Fn(String, Option<String>) -> GenerateError + 'a;

/// Says of `model` what is wrong with it.
pub(crate) fn wrong(model: &str) -> impl Fn(String, Option<String>) -> GenerateError {
    move |reason, hint| GenerateError::Checkpoint { model: model.to_owned(), reason, hint }
}

/// What the checkpoint is: read from a diffusers folder's configurations, or the catalog's row for a single file.
pub(crate) fn spec(checkpoint: &Checkpoint, wrong: &Wrong<'_>) -> Result<ModelSpec, GenerateError> {
    let Some(index) = &checkpoint.model_index else {
        return ModelSpec::from_detection(&checkpoint.detection)
            .map_err(|error| wrong(error.to_string(), error.hint()));
    };
    let json = |name: &str| -> Result<String, GenerateError> {
        let config = component(checkpoint, name).and_then(|part| part.config.as_ref()).map(Value::to_string);
        config.ok_or_else(|| wrong(format!("it has no {name}/config.json"), None))
    };
    let text =
        |name: &str| component(checkpoint, name).and_then(|part| part.config.as_ref()).map(Value::to_string);
    let (unet, vae) = (json("unet")?, json("vae")?);
    let scheduler = checkpoint.scheduler.as_ref().map(Value::to_string);
    let scheduler =
        scheduler.ok_or_else(|| wrong("it has no scheduler/scheduler_config.json".to_owned(), None))?;
    let texts = [text("text_encoder"), text("text_encoder_2")];
    let tokenizers = ["tokenizer", "tokenizer_2"].map(|folder| {
        ["tokenizer_config.json", "special_tokens_map.json"].map(|file| text_file(checkpoint, folder, file))
    });
    let part = |i: usize| {
        let [config, special] = tokenizers.get(i)?;
        texts.get(i)?.as_deref().map(|text| TextPart {
            config: text,
            tokenizer_config: config.as_deref(),
            special_tokens: special.as_deref(),
        })
    };
    let index = index.to_string();
    let folder = DiffusersFolder {
        model_index: &index,
        unet: &unet,
        vae: &vae,
        scheduler: &scheduler,
        text_encoder: part(0),
        text_encoder_2: part(1),
    };
    ModelSpec::from_diffusers(&folder).map_err(|error| wrong(error.to_string(), error.hint()))
}

/// The checkpoint's own vocabulary where it brings one, else CLIP's.
fn tokenizer(checkpoint: &Checkpoint, wrong: &Wrong<'_>) -> Result<Tokenizer, GenerateError> {
    let file = |name: &str| text_file(checkpoint, "tokenizer", name);
    let read = match (file("tokenizer.json"), file("vocab.json"), file("merges.txt")) {
        (_, Some(vocab), Some(merges)) => Tokenizer::from_vocab_and_merges(&vocab, &merges),
        (Some(json), ..) => Tokenizer::from_tokenizer_json(&json),
        _ => return Ok(Tokenizer::clip()),
    };
    read.map_err(|error| wrong(error.to_string(), error.hint()))
}

/// A tokenizer's file as text.
fn text_file(checkpoint: &Checkpoint, folder: &str, name: &str) -> Option<String> {
    let bytes = checkpoint.tokenizer_files.get(&format!("{folder}/{name}"))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// A part by its folder's name.
fn component<'a>(checkpoint: &'a Checkpoint, folder: &str) -> Option<&'a Component> {
    checkpoint.parts.iter().find(|(part, _)| Part::folder(**part) == folder).map(|row| row.1)
}

/// A part's tensors.
pub(crate) fn part<'a>(
    checkpoint: &'a Checkpoint,
    folder: &str,
    wrong: &Wrong<'_>,
) -> Result<&'a dyn TensorFile, GenerateError> {
    let part = component(checkpoint, folder).map(|part| part.tensors.as_ref());
    part.ok_or_else(|| {
        wrong(
            format!("it has no {folder}"),
            Some("text to image needs a text encoder, a UNet and a VAE".to_owned()),
        )
    })
}

pub(crate) fn fill<M: Module>(
    network: M,
    tensors: &dyn TensorFile,
    (model, part): (&str, &'static str),
    device: &Device,
) -> Result<M, GenerateError> {
    load(network, tensors, device).map_err(|source| GenerateError::Load {
        model: model.to_owned(),
        part,
        source,
    })
}
