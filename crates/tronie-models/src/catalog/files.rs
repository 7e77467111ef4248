//! The configuration files of a diffusers folder: the way back from `folder.rs`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::folder::{INDEX, PADS, UNET};
use super::{AddedIds, ModelSpec, TextEncoder, UnetInput, scheduler};
use crate::config::{ConfigError, parse};

impl ModelSpec {
    /// The configuration files by their path in the folder (`unet/config.json`), from which
    /// [`ModelSpec::from_diffusers`] and diffusers itself read this model.
    ///
    /// Vocabularies are not among them: all families share CLIP's, and it is no configuration.
    ///
    /// # Errors
    /// [`ConfigError`] from serialising the UNet's, see [`UnetConfig::to_json`](crate::UnetConfig::to_json).
    pub fn to_diffusers(&self) -> Result<BTreeMap<String, Value>, ConfigError> {
        let mut files = BTreeMap::from([
            (INDEX.to_owned(), self.model_index()),
            (UNET.to_owned(), parse(UNET, &self.unet.to_json()?)?),
            ("vae/config.json".to_owned(), self.vae.to_value()),
            (scheduler::FILE.to_owned(), scheduler::to_value(&self.training)),
        ]);
        for encoder in &self.text.encoders {
            files.insert(format!("{}/config.json", encoder.folder), encoder.config.to_value());
            let path = format!("{}/tokenizer_config.json", encoder.tokenizer_folder());
            files.insert(path, tokenizer(encoder));
        }
        Ok(files)
    }

    /// The file that tells diffusers which classes the parts are.
    fn model_index(&self) -> Value {
        let takes_pooled = self.text.pooled_from.is_some();
        let is_refiner = matches!(self.added, AddedIds::Aesthetic { .. });
        let class_name = match (takes_pooled, self.input) {
            (false, UnetInput::Latents) => "StableDiffusionPipeline",
            (false, UnetInput::LatentsMaskAndImage) => "StableDiffusionInpaintPipeline",
            (true, UnetInput::Latents) if is_refiner => "StableDiffusionXLImg2ImgPipeline",
            (true, UnetInput::Latents) => "StableDiffusionXLPipeline",
            (true, UnetInput::LatentsMaskAndImage) => "StableDiffusionXLInpaintPipeline",
        };
        let mut index = json!({
            "_class_name": class_name,
            "scheduler": ["diffusers", scheduler::CLASS_NAME],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "feature_extractor": [null, null],
            "image_encoder": [null, null],
        });
        let mut set = |key: &str, value: Value| {
            if let Some(index) = index.as_object_mut() {
                index.insert(key.to_owned(), value);
            }
        };
        if takes_pooled {
            // The refiner has the second tower only; a part of the class that is not there is a pair of nulls.
            set("text_encoder", json!([null, null]));
            set("tokenizer", json!([null, null]));
            set("force_zeros_for_empty_prompt", json!(self.zero_for_empty_negative));
        } else {
            set("safety_checker", json!([null, null]));
            set("requires_safety_checker", json!(false));
        }
        if is_refiner {
            set("requires_aesthetics_score", json!(true));
        }
        for encoder in &self.text.encoders {
            set(encoder.folder, json!(["transformers", encoder.config.class_name()]));
            set(encoder.tokenizer_folder(), json!(["transformers", "CLIPTokenizer"]));
        }
        index
    }
}

/// A `tokenizer_config.json` for CLIP's vocabulary.
fn tokenizer(encoder: &TextEncoder) -> Value {
    let pad = PADS.iter().find(|row| row.1 == encoder.pad_token).map(|row| row.0);
    json!({
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": encoder.config.n_positions,
        "do_lower_case": true,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    })
}
