//! An autoencoder in place of the checkpoint's own.

use std::sync::{Arc, Mutex, PoisonError};

use tronie_base::{Faulty as _, Silent};
use tronie_models::catalog::ModelSpec;
use tronie_models::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use tronie_tensor::Device;
use tronie_weights::{Checkpoint, LibraryError, Part};

use crate::networks::{fill, wrong};
use crate::{GenerateError, Store};

/// Another autoencoder, both halves.
#[derive(Debug)]
pub(super) struct OtherVae {
    name: String,
    pub(super) decoder: VaeDecoder,
    pub(super) encoder: VaeEncoder,
    /// Of its file, hexadecimal.
    pub(super) sha256: String,
}

/// The last one that was read, so that a batch or a dataset reads it once.
pub(super) struct OtherVaes {
    store: Store,
    device: Device,
    last: Mutex<Option<Arc<OtherVae>>>,
}

impl OtherVaes {
    pub(super) fn new(store: Store, device: Device) -> Self {
        Self { store, device, last: Mutex::default() }
    }

    /// The autoencoder of that name, for a model.
    ///
    /// # Errors
    /// [`GenerateError`] when it cannot be had, or has other latents than the model.
    pub(super) fn named(&self, name: &str, spec: &ModelSpec) -> Result<Arc<OtherVae>, GenerateError> {
        // A poisoned lock only means that a thread died while reading; the entry is whole or absent.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|known| known.name == name) {
            return Ok(Arc::clone(known));
        }
        *last = None; // never two of them in memory
        let read = self.read(name, spec)?;
        Ok(Arc::clone(last.insert(Arc::new(read))))
    }

    fn read(&self, name: &str, spec: &ModelSpec) -> Result<OtherVae, GenerateError> {
        let path = self.store.vae(name).map_err(|error| match error {
            LibraryError::Unknown { .. } => {
                GenerateError::UnknownModel { name: name.to_owned(), hint: error.hint().unwrap_or_default() }
            }
            LibraryError::Ambiguous { .. } => GenerateError::Library(error),
        })?;
        let unreadable = |error| GenerateError::Weights(Box::new(error));
        let checkpoint = Checkpoint::open(&path).map_err(unreadable)?;
        let Some(part) = checkpoint.parts.get(&Part::Vae) else {
            let hint = "name the file of an autoencoder, or of a model with one in it".to_owned();
            return Err(wrong(name)("it has no autoencoder".to_owned(), Some(hint)));
        };
        let config = match &part.config {
            Some(config) => VaeConfig::from_json(&config.to_string())
                .map_err(|error| wrong(name)(error.to_string(), error.hint()))?,
            None => spec.vae.clone(),
        };
        let (found, expected) =
            ((config.c_latent, config.factor()), (spec.latents.n_channels, spec.latents.factor));
        if found != expected {
            let reason = format!(
                "its latents have {} channels of {} pixels, the model's {} of {}",
                found.0, found.1, expected.0, expected.1
            );
            return Err(wrong(name)(reason, Some("take an autoencoder of the model's family".to_owned())));
        }
        let tensors = part.tensors.as_ref();
        Ok(OtherVae {
            decoder: fill(config.init_decoder(&self.device), tensors, (name, "vae"), &self.device)?,
            encoder: fill(config.init_encoder(&self.device), tensors, (name, "vae"), &self.device)?,
            sha256: checkpoint.hash(&mut Silent).map_err(unreadable)?,
            name: name.to_owned(),
        })
    }
}
