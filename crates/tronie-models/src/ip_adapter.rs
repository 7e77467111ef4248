//! A network by which a UNet looks at a picture beside the text.
//!
//! Ye et al. 2023 (arXiv:2308.06721): every layer that looks at text gets keys and values for the picture too, and the two
//! attentions are added. Reference: `ip_adapter/ip_adapter.py` and `resampler.py` of tencent-ailab/IP-Adapter, whose names the
//! fields have, and in diffusers `IPAdapterAttnProcessor2_0`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/attention_processor.py>.
//!
//! [`IpAdapterConfig::of`] reads off a file which kind it is, [`IpAdapterConfig::input`] says what of a picture it is given, and
//! [`IpAdapter::tokens`] makes of that, once for a run, what the UNet looks at.
//!
//! Shapes: b batch, s what a picture becomes (patches, then tokens), d width.

mod config;
mod projection;

pub use config::{ImageInput, IpAdapterConfig};

use std::collections::BTreeMap;

use tronie_tensor::burn;
use tronie_tensor::{DType, Device, Module, Tensor};

use crate::blocks::TextSite;
use crate::{ImageTokens, Linear};
use projection::Projection;

/// The network.
#[derive(Module, Debug)]
pub struct IpAdapter {
    image_proj: Projection,
    layers: Vec<KeysValues>,
    #[module(skip)]
    sites: Vec<TextSite>,
}

/// What a picture's tokens are to one layer.
#[derive(Module, Debug)]
struct KeysValues {
    to_k_ip: Linear,
    to_v_ip: Linear,
}

impl IpAdapterConfig {
    /// A network of this architecture without values; [`crate::load()`] fills it.
    #[must_use]
    pub fn init(&self, device: &Device) -> IpAdapter {
        let layer = |width: usize| KeysValues {
            to_k_ip: Linear::without_bias(self.d_context, width, device),
            to_v_ip: Linear::without_bias(self.d_context, width, device),
        };
        IpAdapter {
            image_proj: Projection::new(self, device),
            layers: self.sites.iter().map(|(_, width)| layer(*width)).collect(),
            sites: self.sites.iter().map(|(site, _)| *site).collect(),
        }
    }
}

impl IpAdapter {
    /// What a UNet looks at, of what an image encoder says of pictures. Computes in f32 whatever the weights are stored in.
    ///
    /// # Shapes
    /// `seen`: b s d, as [`IpAdapterConfig::input`] says; of an embedding s is 1.
    #[must_use]
    pub fn tokens(&self, seen: Tensor<3>) -> ImageTokens {
        let tokens = self.image_proj.forward(seen.cast(DType::F32)); // b s d_context
        let layers = self.sites.iter().zip(&self.layers).map(|(site, layer)| {
            (*site, [layer.to_k_ip.forward(tokens.clone()), layer.to_v_ip.forward(tokens.clone())])
        });
        ImageTokens::new(layers.collect::<BTreeMap<_, _>>())
    }
}

#[cfg(test)]
mod tests;
