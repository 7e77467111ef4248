//! What a `unet/config.json` says, and what of it is supported.
//!
//! Keys, defaults and meanings are those of `UNet2DConditionModel.__init__`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/unets/unet_2d_condition.py>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::UnetConfigError;
use super::supported;

/// One value for all blocks of a network, or one for each. In a file: a value or a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerBlock<T> {
    /// From the highest resolution to the lowest.
    Each(Vec<T>),
    /// The same everywhere.
    One(T),
}

impl<T: Clone> PerBlock<T> {
    /// One value per block.
    pub(crate) fn expand(&self, key: &'static str, n_blocks: usize) -> Result<Vec<T>, UnetConfigError> {
        match self {
            Self::One(value) => Ok(vec![value.clone(); n_blocks]),
            Self::Each(values) if values.len() == n_blocks => Ok(values.clone()),
            Self::Each(values) => {
                Err(UnetConfigError::ListLength { key, found: values.len(), expected: n_blocks })
            }
        }
    }
}

/// Kind of a block on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownBlockType {
    /// Residual blocks, each followed by a transformer.
    CrossAttnDownBlock2D,
    /// Residual blocks.
    DownBlock2D,
}

/// Kind of the block between the way down and the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MidBlockType {
    /// A transformer between two residual blocks.
    UNetMidBlock2DCrossAttn,
    /// One residual block.
    UNetMidBlock2D,
}

/// Kind of a block on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpBlockType {
    /// Residual blocks, each followed by a transformer.
    CrossAttnUpBlock2D,
    /// Residual blocks.
    UpBlock2D,
}

/// What is added to the timestep embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdditionEmbedType {
    /// SDXL: the pooled text and the image's sizes.
    #[serde(rename = "text_time")]
    TextTime,
}

/// Architecture of a UNet, as plain data in the words of diffusers' `config.json`.
///
/// Lists run from the highest resolution to the lowest, except `up_block_types` and
/// `reverse_transformer_layers_per_block`, which run in the order of the way up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnetConfig {
    /// Height and width of the latents it was trained on; says nothing about what it accepts.
    pub sample_size: Option<usize>,
    /// Channels that come in: 4, or 9 with an inpainting mask and image, or 8 with an image to edit.
    pub in_channels: usize,
    /// Channels that go out.
    pub out_channels: usize,
    /// Cosines come before sines in the timestep embedding.
    pub flip_sin_to_cos: bool,
    /// How far the lowest frequency of the timestep embedding is shifted.
    pub freq_shift: f64,
    /// Width of the timestep embedding; four times the first of `block_out_channels` when absent.
    pub time_embedding_dim: Option<usize>,
    /// Kinds of the blocks on the way down.
    pub down_block_types: Vec<DownBlockType>,
    /// Kind of the middle block; `None` for none (distilled networks).
    pub mid_block_type: Option<MidBlockType>,
    /// Kinds of the blocks on the way up.
    pub up_block_types: Vec<UpBlockType>,
    /// Transformers look only at the context, not at the image (except in the middle).
    pub only_cross_attention: PerBlock<bool>,
    /// Channels of the blocks.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks in each block on the way down; there is one more on the way up.
    pub layers_per_block: PerBlock<usize>,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Epsilon of the group norms.
    pub norm_eps: f64,
    /// Width of the context.
    pub cross_attention_dim: PerBlock<usize>,
    /// Transformer blocks in a transformer; may differ between the transformers of one block.
    pub transformer_layers_per_block: PerBlock<PerBlock<usize>>,
    /// The same on the way up, where it is not the mirror image.
    pub reverse_transformer_layers_per_block: Option<Vec<PerBlock<usize>>>,
    /// The number of heads, despite its name
    /// (<https://github.com/huggingface/diffusers/issues/2011#issuecomment-1547958131>).
    pub attention_head_dim: PerBlock<usize>,
    /// Transformers are entered and left through matrices, not through 1x1 convolutions.
    pub use_linear_projection: bool,
    /// Attention must not be computed in f16. Kept for the file's sake: the softmax is in f32 always.
    pub upcast_attention: Option<bool>,
    /// What is added to the timestep embedding.
    pub addition_embed_type: Option<AdditionEmbedType>,
    /// Width of the embedding of each added number.
    pub addition_time_embed_dim: Option<usize>,
    /// Width of all that is added, before its two layers.
    pub projection_class_embeddings_input_dim: Option<usize>,
}

impl Default for UnetConfig {
    /// The defaults of `UNet2DConditionModel`, which hold for every key a file leaves out.
    fn default() -> Self {
        use {DownBlockType as Down, UpBlockType as Up};
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            time_embedding_dim: None,
            down_block_types: vec![
                Down::CrossAttnDownBlock2D,
                Down::CrossAttnDownBlock2D,
                Down::CrossAttnDownBlock2D,
                Down::DownBlock2D,
            ],
            mid_block_type: Some(MidBlockType::UNetMidBlock2DCrossAttn),
            up_block_types: vec![
                Up::UpBlock2D,
                Up::CrossAttnUpBlock2D,
                Up::CrossAttnUpBlock2D,
                Up::CrossAttnUpBlock2D,
            ],
            only_cross_attention: PerBlock::One(false),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerBlock::One(2),
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: PerBlock::One(1280),
            transformer_layers_per_block: PerBlock::One(PerBlock::One(1)),
            reverse_transformer_layers_per_block: None,
            attention_head_dim: PerBlock::One(8),
            use_linear_projection: false,
            upcast_attention: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
        }
    }
}

impl UnetConfig {
    /// Stable Diffusion 1.1 to 1.5.
    ///
    /// <https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5/blob/451f4fe16113bff5a5d2269ed5ad43b0592e9a14/unet/config.json>
    #[must_use]
    pub fn sd15() -> Self {
        Self { sample_size: Some(64), cross_attention_dim: PerBlock::One(768), ..Self::default() }
    }

    /// Stable Diffusion 2.1 at 768 pixels. 2.0 and the 512 pixel versions differ in `sample_size` and
    /// `upcast_attention` only.
    ///
    /// <https://huggingface.co/stabilityai/stable-diffusion-2-1/blob/5cae40e6a2745ae2b01ad92ae5043f95f23644d6/unet/config.json>
    #[must_use]
    pub fn sd21() -> Self {
        Self {
            sample_size: Some(96),
            cross_attention_dim: PerBlock::One(1024),
            attention_head_dim: PerBlock::Each(vec![5, 10, 20, 20]),
            use_linear_projection: true,
            upcast_attention: Some(true),
            ..Self::default()
        }
    }

    /// Stable Diffusion XL 1.0, base.
    ///
    /// <https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/462165984030d82259a11f4367a4eed129e94a7b/unet/config.json>
    #[must_use]
    pub fn sdxl_base() -> Self {
        use {DownBlockType as Down, UpBlockType as Up};
        let layers = [1, 2, 10].map(PerBlock::One);
        Self {
            sample_size: Some(128),
            down_block_types: vec![Down::DownBlock2D, Down::CrossAttnDownBlock2D, Down::CrossAttnDownBlock2D],
            up_block_types: vec![Up::CrossAttnUpBlock2D, Up::CrossAttnUpBlock2D, Up::UpBlock2D],
            block_out_channels: vec![320, 640, 1280],
            cross_attention_dim: PerBlock::One(2048),
            transformer_layers_per_block: PerBlock::Each(layers.to_vec()),
            attention_head_dim: PerBlock::Each(vec![5, 10, 20]),
            use_linear_projection: true,
            addition_embed_type: Some(AdditionEmbedType::TextTime),
            addition_time_embed_dim: Some(256),
            projection_class_embeddings_input_dim: Some(2816), // pooled 1280 + 6 sizes of 256
            ..Self::default()
        }
    }

    /// Stable Diffusion XL 1.0, refiner.
    ///
    /// <https://huggingface.co/stabilityai/stable-diffusion-xl-refiner-1.0/blob/5d4cfe854c9a9a87939ff3653551c2b3c99a4356/unet/config.json>
    #[must_use]
    pub fn sdxl_refiner() -> Self {
        use {DownBlockType as Down, UpBlockType as Up};
        Self {
            sample_size: Some(128),
            down_block_types: vec![
                Down::DownBlock2D,
                Down::CrossAttnDownBlock2D,
                Down::CrossAttnDownBlock2D,
                Down::DownBlock2D,
            ],
            up_block_types: vec![
                Up::UpBlock2D,
                Up::CrossAttnUpBlock2D,
                Up::CrossAttnUpBlock2D,
                Up::UpBlock2D,
            ],
            block_out_channels: vec![384, 768, 1536, 1536],
            cross_attention_dim: PerBlock::One(1280),
            transformer_layers_per_block: PerBlock::One(PerBlock::One(4)),
            attention_head_dim: PerBlock::Each(vec![6, 12, 24, 24]),
            use_linear_projection: true,
            addition_embed_type: Some(AdditionEmbedType::TextTime),
            addition_time_embed_dim: Some(256),
            projection_class_embeddings_input_dim: Some(2560), // pooled 1280 + 5 sizes of 256
            ..Self::default()
        }
    }

    /// Reads a `unet/config.json`. Keys that do not shape the network are ignored.
    ///
    /// # Errors
    /// [`UnetConfigError`] when the text is no such file, or asks for something that is not supported.
    pub fn from_json(text: &str) -> Result<Self, UnetConfigError> {
        let json = |cause| UnetConfigError::Json { cause };
        let keys: Map<String, Value> = serde_json::from_str(text).map_err(json)?;
        supported::check(&keys)?;
        let config: Self = serde_json::from_value(Value::Object(keys)).map_err(json)?;
        config.plan()?;
        Ok(config)
    }

    /// The text of a `unet/config.json` that diffusers and [`UnetConfig::from_json`] read.
    ///
    /// # Errors
    /// None that a value of this type is known to cause; serialising is fallible by its signature.
    pub fn to_json(&self) -> Result<String, UnetConfigError> {
        #[derive(Serialize)]
        struct File<'a> {
            _class_name: &'static str,
            #[serde(flatten)]
            config: &'a UnetConfig,
        }
        let file = File { _class_name: supported::CLASS_NAME, config: self };
        serde_json::to_string_pretty(&file).map_err(|cause| UnetConfigError::Json { cause })
    }
}
