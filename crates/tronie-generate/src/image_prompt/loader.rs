//! Pictures made ready to be looked at.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tronie_image::Pixels;
use tronie_models::catalog::ModelSpec;
use tronie_models::clip::vision::{ClipVision, ClipVisionConfig};
use tronie_models::{ImageInput, ImageTokens, IpAdapter, IpAdapterConfig, LoadError, load};
use tronie_tensor::{Device, Tensor};
use tronie_weights::{ImageEncoderFile, ImagePromptFileError, IpAdapterFile};

use super::{ImagePrompt, ImagePromptError, Seen};
use crate::{GenerateError, Store};

/// Looks at pictures, and keeps what came of those of the last request, so that a batch or a dataset looks once. Adapter and
/// encoder are in memory only while a picture is looked at: a UNet needs nothing of them but the tokens.
pub(crate) struct ImagePromptLoader {
    store: Store,
    device: Device,
    last: Mutex<Vec<Seen>>,
}

/// An adapter, its encoder, and where the latter is.
struct Opened {
    adapter: IpAdapter,
    input: ImageInput,
    encoder: ClipVision,
    encoder_config: ClipVisionConfig,
}

impl ImagePromptLoader {
    pub(crate) fn new(store: Store, device: Device) -> Self {
        Self { store, device, last: Mutex::default() }
    }

    /// The pictures of a request, ready, and the same prompts with their pictures' hashes.
    ///
    /// # Errors
    /// [`GenerateError`] naming the picture or the network that cannot be used.
    pub(crate) fn ready(
        &self,
        prompts: &[ImagePrompt],
        spec: &ModelSpec,
    ) -> Result<Vec<Seen>, GenerateError> {
        // A poisoned lock only means that a thread died while looking; entries are whole or absent.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        for prompt in prompts {
            let (bytes, image) = prompt.image.read()?;
            let prompt = ImagePrompt { image, ..prompt.clone() };
            let of_same = |row: &&Seen| {
                let known = &row.prompt;
                let networks = |prompt: &ImagePrompt| (prompt.model.clone(), prompt.encoder.clone());
                known.image.sha256 == prompt.image.sha256 && networks(known) == networks(&prompt)
            };
            let tokens = match last.iter().find(of_same) {
                Some(known) => known.tokens.clone(),
                None => {
                    let pixels =
                        tronie_image::decode(&bytes).map_err(|error| error.in_file(&prompt.image.path))?;
                    self.open(&prompt, spec)?.look(&pixels, &self.device)?
                }
            };
            seen.push(Seen { prompt, tokens });
        }
        last.clone_from(&seen);
        Ok(seen)
    }

    fn open(&self, prompt: &ImagePrompt, spec: &ModelSpec) -> Result<Opened, GenerateError> {
        let name = &prompt.model;
        let path = self.store.ip_adapter(name).map_err(ImagePromptError::from)?;
        let open = |source: ImagePromptFileError| ImagePromptError::Open {
            name: name.clone(),
            source: Box::new(source),
        };
        let file = IpAdapterFile::open(&path).map_err(open)?;
        let config = IpAdapterConfig::of(&spec.unet, file.tensors.as_ref());
        let config = config.map_err(|source| ImagePromptError::Fit {
            name: name.clone(),
            family: spec.id,
            source: Box::new(source),
        })?;
        let encoder_path = self.encoder(prompt, &path)?;
        let encoder = ImageEncoderFile::open(&encoder_path).map_err(open)?;
        let encoder_config = measures(&encoder, &encoder_path)?;
        let (expected, found) = match config.input() {
            ImageInput::Embedding(width) => (width, encoder_config.d_projection),
            ImageInput::Hidden(width) => (width, encoder_config.d),
        };
        if found != expected {
            let name = name.clone();
            return Err(ImagePromptError::Width { name, path: encoder_path, found, expected }.into());
        }
        let wrong = |part| move |source: LoadError| GenerateError::Load { model: name.clone(), part, source };
        let adapter = load(config.init(&self.device), file.tensors.as_ref(), &self.device);
        let tower = load(encoder_config.init(&self.device), encoder.tensors.as_ref(), &self.device);
        Ok(Opened {
            adapter: adapter.map_err(wrong("IP-Adapter"))?,
            input: config.input(),
            encoder: tower.map_err(wrong("image encoder"))?,
            encoder_config,
        })
    }

    /// Where the encoder is.
    fn encoder(&self, prompt: &ImagePrompt, adapter: &Path) -> Result<PathBuf, ImagePromptError> {
        match &prompt.encoder {
            Some(name) => Ok(self.store.image_encoder(name)?),
            None => {
                let looked_for = ImageEncoderFile::beside(adapter);
                let name = prompt.model.clone();
                looked_for
                    .exists()
                    .then_some(looked_for.clone())
                    .ok_or(ImagePromptError::NoEncoder { name, looked_for })
            }
        }
    }
}

/// What an encoder is like, by its configuration or else by its tensors.
fn measures(file: &ImageEncoderFile, path: &Path) -> Result<ClipVisionConfig, ImagePromptError> {
    match &file.config {
        Some(config) => ClipVisionConfig::from_json(&config.to_string())
            .map_err(|source| ImagePromptError::Config { path: path.to_owned(), source }),
        None => ClipVisionConfig::of(file.tensors.as_ref())
            .ok_or_else(|| ImagePromptError::Encoder { path: path.to_owned() }),
    }
}

impl Opened {
    /// What a UNet looks at where it is asked with the prompt, and where it is asked without.
    fn look(&self, pixels: &Pixels, device: &Device) -> Result<[ImageTokens; 2], GenerateError> {
        let pixel_values = self.encoder_config.pixel_values(pixels, device)?;
        let [seen, unseen] = match self.input {
            ImageInput::Embedding(width) => {
                let embedding: Tensor<3> = self.encoder.embedding(pixel_values).reshape([1, 1, width]); // b s d
                [embedding.clone(), embedding.zeros_like()]
            }
            ImageInput::Hidden(_) => {
                [pixel_values.clone(), pixel_values.zeros_like()].map(|values| self.encoder.hidden(values, 2))
            }
        };
        Ok([self.adapter.tokens(seen), self.adapter.tokens(unseen)])
    }
}
