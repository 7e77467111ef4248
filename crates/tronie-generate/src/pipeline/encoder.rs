//! The half of the autoencoder that text to image does without, read when it is first needed.

use std::sync::OnceLock;

use tronie_base::Silent;
use tronie_models::vae::VaeEncoder;
use tronie_tensor::Device;

use crate::networks::wrong;
use crate::{GenerateError, Networks, Store};

/// An encoder that may not have been read yet.
pub(super) struct LazyEncoder {
    /// Where the checkpoint is, and its name there; `None` for networks that came without one.
    origin: Option<(Store, String)>,
    device: Device,
    loaded: OnceLock<VaeEncoder>,
}

impl LazyEncoder {
    pub(super) fn new(origin: Option<(Store, String)>, device: Device) -> Self {
        Self { origin, device, loaded: OnceLock::new() }
    }

    /// The encoder, read now if it was not.
    ///
    /// # Errors
    /// [`GenerateError`] when it cannot be had.
    pub(super) fn get(&self, networks: &Networks) -> Result<&VaeEncoder, GenerateError> {
        if let Some(encoder) = self.loaded.get() {
            return Ok(encoder);
        }
        let Some((store, model)) = &self.origin else {
            let reason = "these networks came without the half of the autoencoder that reads pictures";
            return Err(wrong("the model")(reason.to_owned(), None));
        };
        let checkpoint = store.open(model, &mut Silent)?;
        let encoder = networks.load_vae_encoder(&checkpoint, model, &self.device)?;
        Ok(self.loaded.get_or_init(|| encoder))
    }
}
