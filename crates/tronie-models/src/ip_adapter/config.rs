//! What an IP-Adapter is like, read off its tensors and the UNet it is for.

use tronie_weights::TensorFile;

use crate::blocks::TextSite;
use crate::controlnet::same;
use crate::{ControlFitError, UnetConfig};

/// Tokens a plain adapter makes of a picture, in every published one.
const N_PLAIN: usize = 4;
/// Width of the heads of every published resampler.
pub(super) const D_HEAD: usize = 64;

/// What an adapter is given of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageInput {
    /// The tower's vector ([`ClipVision::embedding`](crate::clip::vision::ClipVision::embedding)), this wide. Where there is no
    /// picture: zeros.
    Embedding(usize),
    /// What the tower's last block but one gives ([`ClipVision::hidden`](crate::clip::vision::ClipVision::hidden)), this wide.
    /// Where there is no picture: the same of pixel values that are all zero.
    Hidden(usize),
}

/// Architecture of an IP-Adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct IpAdapterConfig {
    pub(super) projection: ProjectionConfig,
    /// Width of what the encoder gives.
    pub(super) d_image: usize,
    /// Width of the tokens, as the UNet's text.
    pub(super) d_context: usize,
    /// The UNet's layers that look at text, with their widths.
    pub(super) sites: Vec<(TextSite, usize)>,
}

/// How what the encoder gives becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProjectionConfig {
    /// One layer (`ip-adapter_*`).
    Plain,
    /// Two layers, patch by patch (`ip-adapter-full-face_*`).
    Full,
    /// Learnt questions to the patches (`ip-adapter-plus*`).
    Resampler {
        n_queries: usize,
        /// Width inside.
        d: usize,
        /// Width of all heads.
        d_heads: usize,
        d_mlp: usize,
        n_layers: usize,
    },
}

impl IpAdapterConfig {
    /// What an adapter for `base` with these tensors is like.
    ///
    /// # Errors
    /// [`ControlFitError`] when it is for another UNet, or of a kind that is not read.
    pub fn of(base: &UnetConfig, tensors: &dyn TensorFile) -> Result<Self, ControlFitError> {
        let shape = |name: &str| tensors.meta(name).map(|meta| meta.shape);
        let dim = |name: &str, index: usize| {
            let dim = shape(name).and_then(|shape| shape.get(index).copied());
            dim.ok_or_else(|| ControlFitError::Missing { name: name.to_owned() })
        };
        let (projection, d_image, d_context) = if shape("image_proj.latents").is_some() {
            let layer = |n: usize| format!("image_proj.layers.{n}.0.to_q.weight");
            let resampler = ProjectionConfig::Resampler {
                n_queries: dim("image_proj.latents", 1)?,
                d: dim("image_proj.latents", 2)?,
                d_heads: dim(&layer(0), 0)?,
                d_mlp: dim("image_proj.layers.0.1.1.weight", 0)?,
                n_layers: (0..).take_while(|&n| shape(&layer(n)).is_some()).count(),
            };
            (resampler, dim("image_proj.proj_in.weight", 1)?, dim("image_proj.proj_out.weight", 0)?)
        } else if shape("image_proj.proj.3.weight").is_some() {
            let d_context = dim("image_proj.proj.3.weight", 0)?;
            (ProjectionConfig::Full, dim("image_proj.proj.0.weight", 1)?, d_context)
        } else {
            let d_context = dim("image_proj.norm.weight", 0)?;
            let n = dim("image_proj.proj.weight", 0)?;
            same("numbers for the tokens of a picture", vec![n], vec![N_PLAIN * d_context])?;
            (ProjectionConfig::Plain, dim("image_proj.proj.weight", 1)?, d_context)
        };
        let sites = base.plan()?.text_sites();
        let text = base.cross_attention_dim.expand("cross_attention_dim", base.block_out_channels.len())?;
        same("text of width", vec![d_context], text.into_iter().take(1).collect())?;
        let layer = |n: usize| format!("layers.{n}.to_k_ip.weight");
        let widths: Vec<usize> = (0..).map_while(|n| shape(&layer(n))?.first().copied()).collect();
        same("layers of widths", widths, sites.iter().map(|(_, width)| *width).collect())?;
        Ok(Self { projection, d_image, d_context, sites })
    }

    /// What it is given of a picture.
    #[must_use]
    pub fn input(&self) -> ImageInput {
        match self.projection {
            ProjectionConfig::Plain => ImageInput::Embedding(self.d_image),
            ProjectionConfig::Full | ProjectionConfig::Resampler { .. } => ImageInput::Hidden(self.d_image),
        }
    }

    pub(super) fn n_plain_tokens() -> usize {
        N_PLAIN
    }
}
