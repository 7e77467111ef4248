//! What a ControlNet is like, read off its tensors and the UNet it steers.

use tronie_base::{Fault, Faulty};
use tronie_weights::{TensorFile, WeightsFault};

use super::UnionConfig;
use crate::lora::LoraFitError;
use crate::{DownBlockType, LoadError, MidBlockType, PerBlock, UnetConfig, UnetConfigError};

/// A ControlNet, T2I-Adapter or IP-Adapter that was made for another UNet.
#[derive(Debug, thiserror::Error)]
pub enum ControlFitError {
    /// The two differ in a number.
    #[error("it has {what} {found:?}, the model has {expected:?}")]
    Differs {
        /// Which number, in words.
        what: &'static str,
        /// The control network's.
        found: Vec<usize>,
        /// The model's.
        expected: Vec<usize>,
    },
    /// A tensor by which the network is measured is missing.
    #[error("it has no tensor \"{name}\"")]
    Missing {
        /// Which one.
        name: String,
    },
    /// A tensor that is there and cannot be read.
    #[error("tensor \"{name}\" cannot be read: {cause}")]
    Read {
        /// Which one.
        name: String,
        /// What the file said.
        cause: WeightsFault,
    },
    /// Changes of modules that the model does not have.
    #[error(transparent)]
    Changes(Box<LoraFitError>),
    /// Tensors that do not fill the network.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// What was measured cannot be built.
    #[error(transparent)]
    Unet(#[from] UnetConfigError),
}

impl Faulty for ControlFitError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { cause, .. } => cause.fault(),
            Self::Load(error) => error.fault(),
            Self::Differs { .. } | Self::Missing { .. } | Self::Changes(_) | Self::Unet(_) => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Differs { .. } => {
                Some("take a network of the model's family (SD 1.5, SD 2.x or SDXL)".into())
            }
            Self::Missing { .. } => Some("the file is incomplete; fetch it again".into()),
            Self::Read { cause, .. } => cause.hint(),
            Self::Changes(_) => Some("take a Control-LoRA of the model's family (SDXL)".into()),
            Self::Load(error) => error.hint(),
            Self::Unet(cause) => cause.hint(),
        }
    }
}

/// Architecture of a ControlNet.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlNetConfig {
    /// The UNet whose way down it has. Its way up is not built.
    pub trunk: UnetConfig,
    /// Channels of the picture.
    pub hint_channels: usize,
    /// Channels while the picture shrinks; each but the first halves it. `conditioning_embedding_out_channels` in
    /// diffusers.
    pub hint_widths: Vec<usize>,
    /// It says what is in the picture and not where (`global_pool_conditions`; shuffle).
    pub pools: bool,
    /// It takes blue before red (`controlnet_conditioning_channel_order`).
    pub is_bgr: bool,
    /// It is told what kind of picture it gets; `None` for networks of one kind.
    pub union: Option<UnionConfig>,
}

impl ControlNetConfig {
    /// What a ControlNet for `base` with these tensors, in diffusers' names, is like. Smaller ones leave out transformers;
    /// all else is the UNet's. `pools` and `is_bgr` leave no trace in tensors and are false.
    ///
    /// # Errors
    /// [`ControlFitError`] when it is for another UNet.
    pub fn of(base: &UnetConfig, tensors: &dyn TensorFile) -> Result<Self, ControlFitError> {
        let dim = |name: &str, index: usize| -> Result<usize, ControlFitError> {
            let meta = tensors.meta(name);
            let dim = meta.and_then(|meta| meta.shape.get(index).copied());
            dim.ok_or_else(|| ControlFitError::Missing { name: name.to_owned() })
        };
        let names = tensors.names();
        let numbered = |prefix: String, suffix: &str| {
            (0..).take_while(|n| names.contains(&format!("{prefix}.{n}.{suffix}"))).count()
        };
        let blocks = numbered("down_blocks".into(), "resnets.0.conv1.weight");
        let widths: Result<Vec<_>, _> =
            (0..blocks).map(|block| dim(&format!("down_blocks.{block}.resnets.0.conv1.weight"), 0)).collect();
        same("blocks of these widths", widths?, base.block_out_channels.clone())?;
        if let Some(name) = names.iter().find(|name| name.ends_with("attn2.to_k.weight")) {
            let expected = base.cross_attention_dim.expand("cross_attention_dim", blocks)?;
            same("text of width", vec![dim(name, 1)?], expected.into_iter().take(1).collect())?;
        }
        let depth = |block: String| numbered(format!("{block}.transformer_blocks"), "norm1.weight");
        let depths: Vec<usize> =
            (0..blocks).map(|block| depth(format!("down_blocks.{block}.attentions.0"))).collect();
        let mid_depth = depth("mid_block.attentions.0".into());
        let trunk = UnetConfig {
            in_channels: dim("conv_in.weight", 1)?,
            down_block_types: depths.iter().map(|&depth| down_type(depth)).collect(),
            mid_block_type: Some(mid_type(mid_depth)),
            transformer_layers_per_block: PerBlock::Each(layers(&depths, mid_depth)),
            reverse_transformer_layers_per_block: None,
            ..base.clone()
        };
        let union = tensors.meta("task_embedding").is_some().then(|| -> Result<_, ControlFitError> {
            let n_kinds = dim("task_embedding", 0)?;
            Ok(UnionConfig { n_kinds, n_layers: numbered("transformer_layes".into(), "ln_1.weight") })
        });
        Ok(Self { union: union.transpose()?, ..Self::with_trunk(trunk, tensors)? })
    }

    /// What a Control-LoRA for `base` with these tensors makes of it: all of its way down.
    ///
    /// # Errors
    /// [`ControlFitError`] when a tensor by which it is measured is missing.
    pub fn of_changes(base: &UnetConfig, tensors: &dyn TensorFile) -> Result<Self, ControlFitError> {
        let trunk = UnetConfig { reverse_transformer_layers_per_block: None, ..base.clone() };
        Self::with_trunk(trunk, tensors)
    }

    /// Reads off how the picture shrinks.
    fn with_trunk(trunk: UnetConfig, tensors: &dyn TensorFile) -> Result<Self, ControlFitError> {
        let dim = |layer: &str, index: usize| {
            let name = format!("controlnet_cond_embedding.{layer}.weight");
            let dim = tensors.meta(&name).and_then(|meta| meta.shape.get(index).copied());
            dim.ok_or(ControlFitError::Missing { name })
        };
        let mut hint_widths = vec![dim("conv_in", 0)?];
        let blocks = (1..).step_by(2).map_while(|block| dim(&format!("blocks.{block}"), 0).ok());
        hint_widths.extend(blocks);
        let hint_channels = dim("conv_in", 1)?;
        Ok(Self { trunk, hint_channels, hint_widths, pools: false, is_bgr: false, union: None })
    }

    /// How many pixels of the picture one of the latents has on a side.
    #[must_use]
    pub fn factor(&self) -> usize {
        self.hint_widths.iter().skip(1).fold(1, |factor, _| 2 * factor)
    }

    /// Whether it shrinks the picture to the size of latents that have one pixel for `factor` of it on a side.
    ///
    /// # Errors
    /// [`ControlFitError::Differs`].
    pub fn check_factor(&self, factor: usize) -> Result<(), ControlFitError> {
        same("pixels of the picture for one of the latents", vec![self.factor()], vec![factor])
    }

    pub(super) fn hint_first(&self) -> usize {
        self.hint_widths.first().copied().unwrap_or_default()
    }
}

fn down_type(depth: usize) -> DownBlockType {
    if depth > 0 { DownBlockType::CrossAttnDownBlock2D } else { DownBlockType::DownBlock2D }
}

fn mid_type(depth: usize) -> MidBlockType {
    if depth > 0 { MidBlockType::UNetMidBlock2DCrossAttn } else { MidBlockType::UNetMidBlock2D }
}

/// The middle is as deep as the last block says, whether that block has transformers itself or not.
fn layers(depths: &[usize], mid_depth: usize) -> Vec<PerBlock<usize>> {
    let mut layers = depths.to_vec();
    if let Some(last) = layers.last_mut().filter(|last| **last == 0) {
        *last = mid_depth;
    }
    layers.into_iter().map(PerBlock::One).collect()
}

/// Refuses numbers that differ from the model's.
pub(crate) fn same(
    what: &'static str,
    found: Vec<usize>,
    expected: Vec<usize>,
) -> Result<(), ControlFitError> {
    if found == expected {
        return Ok(());
    }
    Err(ControlFitError::Differs { what, found, expected })
}
