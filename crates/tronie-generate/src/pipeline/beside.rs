//! Networks that a request brings beside its model's: control networks, IP-Adapters, another autoencoder.

use std::sync::Arc;

use super::Pipeline;
use super::vae::OtherVae;
use crate::control::Control;
use crate::image_prompt::Seen;
use crate::{GenerateError, GenerateRequest};

/// The networks, and what they have seen.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    pub(super) controls: Vec<Control>,
    pub(super) images: Vec<Seen>,
    /// In place of the checkpoint's own.
    pub(super) vae: Option<Arc<OtherVae>>,
}

impl Beside {
    /// The request with the hashes of the pictures they have seen.
    pub(super) fn hashed(&self, request: &GenerateRequest) -> GenerateRequest {
        GenerateRequest {
            control: self.controls.iter().map(|control| control.unit().clone()).collect(),
            image_prompts: self.images.iter().map(|seen| seen.prompt().clone()).collect(),
            ..request.clone()
        }
    }
}

impl Pipeline {
    /// Reads the networks of a request for images of this size, and shows them their pictures.
    pub(super) fn beside(
        &self,
        request: &GenerateRequest,
        size_px: [u32; 2],
    ) -> Result<Beside, GenerateError> {
        let networks = self.networks.plain();
        let vae = request.vae.as_ref().map(|name| self.vaes.named(name, &networks.spec));
        Ok(Beside {
            controls: self.controls.ready(&request.control, networks, size_px)?,
            images: self.images.ready(&request.image_prompts, &networks.spec)?,
            vae: vae.transpose()?,
        })
    }
}
