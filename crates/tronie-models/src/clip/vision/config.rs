//! What an image tower is built from: `image_encoder/config.json`, or a file's tensors.

use serde::Deserialize;
use tronie_weights::TensorFile;

use super::super::ClipActivation;
use super::super::block::ACTIVATIONS;
use crate::config::{ConfigError, choose, parse, require};

const FILE: &str = "an image encoder's config.json";
const MODEL_TYPES: &str = "clip_vision_model";

/// The shape of a CLIP image tower. Values are those of `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipVisionConfig {
    /// Sides of the pictures it looks at, in pixels.
    pub image_px: usize,
    /// Sides of a patch.
    pub patch_px: usize,
    /// Width of the hidden states.
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
    /// Width of the vectors it shares with a text tower.
    pub d_projection: usize,
}

/// Width, heads and nonlinearity of the published towers, which leave no trace in tensors: OpenAI's ViT-B and ViT-L/14
/// (`openai/clip-vit-*`), `OpenCLIP`'s ViT-H/14 and ViT-bigG/14 (`laion/CLIP-ViT-*`, the encoders of `h94/IP-Adapter`).
const PUBLISHED: [(usize, usize, ClipActivation); 4] = [
    (768, 12, ClipActivation::QuickGelu),
    (1024, 16, ClipActivation::QuickGelu),
    (1280, 16, ClipActivation::Gelu),
    (1664, 16, ClipActivation::Gelu),
];

impl ClipVisionConfig {
    /// Patches of a picture, and the class token.
    pub(super) fn n_positions(&self) -> usize {
        let side = self.image_px / self.patch_px;
        side * side + 1
    }

    /// Reads the `config.json` of a `CLIPVisionModelWithProjection`; unknown keys are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no such file, or names something no such tower has.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: File = parse(FILE, text)?;
        let kind = file.model_type.as_str();
        require(kind == MODEL_TYPES, FILE, ("model_type", kind), MODEL_TYPES)?;
        let divides = |n: usize, whole: usize| n > 0 && whole.is_multiple_of(n);
        let n_heads = ("num_attention_heads", file.num_attention_heads);
        require(divides(n_heads.1, file.hidden_size), FILE, n_heads, "a divisor of hidden_size")?;
        let patch = ("patch_size", file.patch_size);
        require(divides(patch.1, file.image_size), FILE, patch, "a divisor of image_size")?;
        let act = file.hidden_act.as_str();
        Ok(Self {
            image_px: file.image_size,
            patch_px: file.patch_size,
            d: file.hidden_size,
            d_mlp: file.intermediate_size,
            n_layers: file.num_hidden_layers,
            n_heads: file.num_attention_heads,
            activation: choose(FILE, ("hidden_act", act), &ACTIVATIONS, "quick_gelu or gelu")?,
            layer_norm_epsilon: file.layer_norm_eps,
            d_projection: file.projection_dim,
        })
    }

    /// What a published tower with these tensors is like, for single files; `None` where they are no such tower's.
    #[must_use]
    pub fn of(tensors: &dyn TensorFile) -> Option<Self> {
        let dim = |name: &str, index: usize| tensors.meta(name)?.shape.get(index).copied();
        let patch = "vision_model.embeddings.patch_embedding.weight";
        let (d, patch_px) = (dim(patch, 0)?, dim(patch, 2)?);
        let &(_, n_heads, activation) = PUBLISHED.iter().find(|row| row.0 == d)?;
        let n_patches = dim("vision_model.embeddings.position_embedding.weight", 0)?.checked_sub(1)?;
        let layer = |n: usize| format!("vision_model.encoder.layers.{n}.mlp.fc1.weight");
        Some(Self {
            image_px: n_patches.isqrt() * patch_px,
            patch_px,
            d,
            d_mlp: dim(&layer(0), 0)?,
            n_layers: (0..).take_while(|&n| tensors.meta(&layer(n)).is_some()).count(),
            n_heads,
            activation,
            layer_norm_epsilon: 1e-5,
            d_projection: dim("visual_projection.weight", 0)?,
        })
    }
}

/// The keys that matter, with the defaults of transformers'
/// [`CLIPVisionConfig`](https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/clip/configuration_clip.py).
#[derive(Deserialize)]
#[serde(default)]
struct File {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for File {
    fn default() -> Self {
        Self {
            model_type: String::new(),
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}
