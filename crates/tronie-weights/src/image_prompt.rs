//! Files by which a picture is looked at beside the text: IP-Adapters, and the image encoders they are made for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tronie_base::{Fault, Faulty};

use crate::checkpoint::{Weights, config_in, weights_at, weights_in};
use crate::layout::{Part, Recipe, Renamed};
use crate::{CheckpointError, TensorFile};

/// What the names of an adapter's two halves start with.
const PROJECTION: &str = "image_proj.";
const LAYERS: &str = "ip_adapter.";
/// Only encoders have this.
const ENCODER_SIGN: &str = "vision_model.embeddings.patch_embedding.weight";
/// The folder beside an adapter in which `h94/IP-Adapter` and its like have the encoder.
const ENCODER_FOLDER: &str = "image_encoder";

/// An open IP-Adapter. No tensor has been read.
pub struct IpAdapterFile {
    /// `image_proj.*` as in the file, and for each layer that looks at text `layers.N.to_k_ip.weight` and `to_v_ip.weight`; N
    /// counts down, up, middle.
    pub tensors: Box<dyn TensorFile>,
}

/// An open CLIP image tower. No tensor has been read.
pub struct ImageEncoderFile {
    /// Its tensors, in transformers' names.
    pub tensors: Box<dyn TensorFile>,
    /// Its `config.json`, where it is in a folder that has one.
    pub config: Option<Value>,
}

/// A file for pictures that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagePromptFileError {
    /// One that cannot be read.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// A file of something else.
    #[error("{} is not {expected}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What was expected, with its article.
        expected: &'static str,
    },
    /// An adapter for faces, which takes another network's numbers.
    #[error("{} is a FaceID adapter, which takes a face recogniser's numbers and no picture", path.display())]
    FaceId {
        /// Which file.
        path: PathBuf,
    },
}

impl From<CheckpointError> for ImagePromptFileError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl Faulty for ImagePromptFileError {
    fn fault(&self) -> Fault {
        match self {
            Self::Checkpoint(error) => error.fault(),
            Self::Foreign { .. } | Self::FaceId { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(error) => error.hint(),
            Self::Foreign { .. } => Some("adapters and encoders are those of h94/IP-Adapter".into()),
            Self::FaceId { .. } => Some("ip-adapter-plus-face and ip-adapter-full-face take pictures".into()),
        }
    }
}

impl IpAdapterFile {
    /// Opens a file in the names of tencent-ailab/IP-Adapter: safetensors, or a `.bin` of two dictionaries.
    ///
    /// # Errors
    /// [`ImagePromptFileError`]: it cannot be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, ImagePromptFileError> {
        let Weights { tensors: file, .. } = weights_at(path)?;
        let names = file.names();
        let has = |start: &str| names.iter().any(|name| name.starts_with(start));
        if !has(PROJECTION) || !has(LAYERS) {
            return Err(ImagePromptFileError::Foreign { path: path.to_owned(), expected: "an IP-Adapter" });
        }
        if has("image_proj.perceiver_resampler.") || has("ip_adapter.0.to_q_lora") {
            return Err(ImagePromptFileError::FaceId { path: path.to_owned() });
        }
        let recipes = names.iter().filter_map(|name| Some((renamed(name)?, Recipe::copy(name))));
        let recipes: BTreeMap<String, Recipe> = recipes.collect();
        Ok(Self { tensors: Box::new(Renamed::new(Arc::from(file), recipes)) })
    }
}

/// Layers are numbered with those that look at the picture itself between them, as in a list of all of a UNet's: 1, 3, 5.
fn renamed(name: &str) -> Option<String> {
    let Some(layer) = name.strip_prefix(LAYERS) else {
        return name.starts_with(PROJECTION).then(|| name.to_owned());
    };
    let (number, rest) = layer.split_once('.')?;
    let number: usize = number.parse().ok()?;
    (number % 2 == 1).then(|| format!("layers.{}.{rest}", number / 2))
}

impl ImageEncoderFile {
    /// Where the encoder of an adapter's file is when nobody says: beside it.
    #[must_use]
    pub fn beside(adapter: &Path) -> PathBuf {
        adapter.with_file_name(ENCODER_FOLDER)
    }

    /// Opens a file, or a folder as transformers saves it.
    ///
    /// # Errors
    /// [`ImagePromptFileError`]: it cannot be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, ImagePromptFileError> {
        let (file, config) = match path.is_dir() {
            true => (weights_in(path, Part::TextEncoder)?, config_in(path)?),
            false => (path.to_owned(), None),
        };
        let Weights { tensors, .. } = weights_at(&file)?;
        match tensors.meta(ENCODER_SIGN) {
            Some(_) => Ok(Self { tensors, config }),
            None => Err(ImagePromptFileError::Foreign { path: file, expected: "a CLIP image encoder" }),
        }
    }
}

#[cfg(test)]
mod tests;
