//! What a text tower is built from: `text_encoder/config.json`, and the three towers of Stable Diffusion.

use serde::Deserialize;
use serde_json::{Value, json};
use tronie_tensor::Device;

use super::block::ACTIVATIONS;
use super::{Clip, ClipActivation};
use crate::config::{ConfigError, choose, parse, require};

const FILE: &str = "a text encoder's config.json";
const MODEL_TYPE: &str = "clip_text_model";
/// Stands for [`EndOfText::LargestId`] in a file.
const MISTAKEN_EOS: i64 = 2;

/// How the end of the text is found, where the pooled vector is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfText {
    /// At the largest id of the row. Files that say `eos_token_id: 2` mean this: that id was a mistake of
    /// early conversions, and taking it by its word would change every pooled vector.
    LargestId,
    /// At the first token with this id.
    FirstOf(i64),
}

/// The shape of a CLIP text tower. Values are those of `config.json`; see [`ClipConfig::from_json`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Longest text in tokens, begin and end included: 77.
    pub n_positions: usize,
    /// Width of the hidden states, `d`.
    pub d: usize,
    /// Width between the two layers of the MLP.
    pub d_mlp: usize,
    /// Number of transformer blocks.
    pub n_layers: usize,
    /// Attention heads per block.
    pub n_heads: usize,
    /// Nonlinearity of the MLP.
    pub activation: ClipActivation,
    /// Epsilon of every layer norm.
    pub layer_norm_epsilon: f64,
    /// Where the pooled vector is taken.
    pub end_of_text: EndOfText,
    /// Width of the projected pooled vector; `None` for towers without `text_projection`.
    pub d_projection: Option<usize>,
}

impl ClipConfig {
    /// OpenAI's ViT-L/14 text tower: SD 1.x, and the first of SDXL's two. 123,060,480 parameters.
    ///
    /// Source: `stable-diffusion-v1-5/text_encoder/config.json`.
    #[must_use]
    pub fn clip_l() -> Self {
        Self {
            vocab_size: 49408,
            n_positions: 77,
            d: 768,
            d_mlp: 3072,
            n_layers: 12,
            n_heads: 12,
            activation: ClipActivation::QuickGelu,
            layer_norm_epsilon: 1e-5,
            end_of_text: EndOfText::LargestId,
            d_projection: None,
        }
    }

    /// OpenCLIP's ViT-H/14 text tower with all of its 24 blocks, as the original SD 2.x files hold it.
    ///
    /// Source: `ViT-H-14.json` of `open_clip`.
    #[must_use]
    pub fn open_clip_h() -> Self {
        Self {
            d: 1024,
            d_mlp: 4096,
            n_layers: 24,
            n_heads: 16,
            activation: ClipActivation::Gelu,
            ..Self::clip_l()
        }
    }

    /// [`Self::open_clip_h`] without its last block, which SD 2.x never runs: it takes the penultimate hidden
    /// state. Folders in diffusers' layout hold these 23 blocks only; from an original file the 24th is not read.
    ///
    /// Source: `stable-diffusion-2-1/text_encoder/config.json`.
    #[must_use]
    pub fn open_clip_h_penultimate() -> Self {
        Self { n_layers: 23, ..Self::open_clip_h() }
    }

    /// OpenCLIP's ViT-bigG/14 text tower with its projection: the second of SDXL's two, the only one of the
    /// refiner. 694,659,840 parameters.
    ///
    /// Source: `stable-diffusion-xl-base-1.0/text_encoder_2/config.json`.
    #[must_use]
    pub fn open_clip_bigg() -> Self {
        Self {
            d: 1280,
            d_mlp: 5120,
            n_layers: 32,
            n_heads: 20,
            activation: ClipActivation::Gelu,
            d_projection: Some(1280),
            ..Self::clip_l()
        }
    }

    /// Reads the `config.json` of a `CLIPTextModel` or `CLIPTextModelWithProjection`; unknown keys are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no such file, or names something no tower of Stable Diffusion has.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: File = parse(FILE, text)?;
        let kind = file.model_type.as_str();
        require(kind == MODEL_TYPE, FILE, ("model_type", kind), MODEL_TYPE)?;
        let divides =
            file.num_attention_heads > 0 && file.hidden_size.is_multiple_of(file.num_attention_heads);
        let n_heads = ("num_attention_heads", file.num_attention_heads);
        require(divides, FILE, n_heads, "a divisor of hidden_size")?;
        let act = file.hidden_act.as_str();
        let activation = choose(FILE, ("hidden_act", act), &ACTIVATIONS, "quick_gelu or gelu")?;
        let projects = file.architectures.iter().any(|name| name.ends_with("WithProjection"));
        Ok(Self {
            vocab_size: file.vocab_size,
            n_positions: file.max_position_embeddings,
            d: file.hidden_size,
            d_mlp: file.intermediate_size,
            n_layers: file.num_hidden_layers,
            n_heads: file.num_attention_heads,
            activation,
            layer_norm_epsilon: file.layer_norm_eps,
            end_of_text: match file.eos_token_id {
                MISTAKEN_EOS => EndOfText::LargestId,
                id => EndOfText::FirstOf(id),
            },
            d_projection: projects.then_some(file.projection_dim),
        })
    }

    /// The `config.json` that [`ClipConfig::from_json`] and transformers read this shape from.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let activation = ACTIVATIONS.iter().find(|(_, activation)| *activation == self.activation);
        json!({
            "architectures": [self.class_name()],
            "model_type": MODEL_TYPE,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.n_positions,
            "hidden_size": self.d,
            "intermediate_size": self.d_mlp,
            "projection_dim": self.d_projection.unwrap_or(self.d),
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "hidden_act": activation.map(|(name, _)| *name),
            "layer_norm_eps": self.layer_norm_epsilon,
            "eos_token_id": match self.end_of_text {
                EndOfText::LargestId => MISTAKEN_EOS,
                EndOfText::FirstOf(id) => id,
            },
        })
    }

    /// The class of transformers that this tower is.
    #[must_use]
    pub fn class_name(&self) -> &'static str {
        if self.d_projection.is_some() { "CLIPTextModelWithProjection" } else { "CLIPTextModel" }
    }

    /// The network, its weights still to be loaded.
    #[must_use]
    pub fn init(&self, device: &Device) -> Clip {
        Clip::new(self, device)
    }
}

/// The keys that matter, with the defaults of transformers'
/// [`CLIPTextConfig`](https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/clip/configuration_clip.py).
#[derive(Deserialize)]
#[serde(default)]
struct File {
    model_type: String,
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    eos_token_id: i64,
}

impl Default for File {
    fn default() -> Self {
        Self {
            model_type: String::new(),
            architectures: Vec::new(),
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}
