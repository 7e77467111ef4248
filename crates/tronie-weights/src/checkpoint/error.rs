//! What can be wrong with a model.

use std::io;
use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty, WriteError};

use crate::{DetectError, OpenError, SafetensorsError, WriteTensorsError};

/// A model that could not be opened, hashed or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A weight file that could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// Weights in memory that are broken.
    #[error("{path}: {source}")]
    Archive {
        /// Path in the archive.
        path: String,
        /// What is wrong.
        source: Box<SafetensorsError>,
    },
    /// Not what it was taken for.
    #[error("{}: {cause}", path.display())]
    Detect {
        /// Which file or folder.
        path: PathBuf,
        /// What it is.
        cause: DetectError,
    },
    /// A folder without any network.
    #[error("{} is no diffusers folder: it has no unet, vae or text_encoder", path.display())]
    NoModel {
        /// Which folder.
        path: PathBuf,
    },
    /// A diffusers folder of another kind of model.
    #[error("{} holds a {class}, which is not supported", path.display())]
    Pipeline {
        /// Which folder.
        path: PathBuf,
        /// The class its index names.
        class: String,
    },
    /// A network's folder without weights that can be read.
    #[error("{} has no weights that can be read, only {found:?}", path.display())]
    NoWeights {
        /// Which folder.
        path: PathBuf,
        /// What is in it.
        found: Vec<String>,
    },
    /// A configuration that is not JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where it fails.
        source: serde_json::Error,
    },
    /// A file that could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder cannot be written without this.
    #[error("the model has no {file}, which a diffusers folder needs")]
    MissingConfig {
        /// Path inside the folder.
        file: String,
    },
    /// Tensors a single file has no name for.
    #[error("{n} tensors of {part} have no place in a single file, first \"{name}\"")]
    NoPlace {
        /// The network's folder name.
        part: &'static str,
        /// How many.
        n: usize,
        /// The first.
        name: String,
    },
    /// The folder to be written is there already.
    #[error("{} exists already", path.display())]
    Exists {
        /// Which one.
        path: PathBuf,
    },
    /// Tensors could not be written.
    #[error(transparent)]
    WriteTensors(Box<WriteTensorsError>),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<OpenError> for CheckpointError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<WriteTensorsError> for CheckpointError {
    fn from(error: WriteTensorsError) -> Self {
        Self::WriteTensors(Box::new(error))
    }
}

impl Faulty for CheckpointError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open(error) => error.fault(),
            Self::Archive { source, .. } => source.fault(),
            Self::Detect { cause, .. } => cause.fault(),
            Self::Read { .. } => Fault::Environment,
            Self::WriteTensors(error) => error.fault(),
            Self::Write(error) => error.fault(),
            Self::Cancelled(_) => Fault::Interrupted,
            Self::NoModel { .. }
            | Self::Pipeline { .. }
            | Self::NoWeights { .. }
            | Self::Json { .. }
            | Self::MissingConfig { .. }
            | Self::NoPlace { .. }
            | Self::Exists { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open(error) => return error.hint(),
            Self::Archive { source, .. } => return source.hint(),
            Self::Detect { cause, .. } => return cause.hint(),
            Self::WriteTensors(error) => return error.hint(),
            Self::Write(error) => return error.hint(),
            Self::NoModel { .. } => "name the folder that has model_index.json in it, or a single file",
            Self::Pipeline { .. } => "tronie reads Stable Diffusion 1.x, 2.x and XL",
            Self::NoWeights { .. } => {
                "fetch the .safetensors files; onnx, flax and openvino weights are not read"
            }
            Self::Json { .. } => "fetch the file again",
            Self::MissingConfig { .. } => {
                "take the configuration from the catalog's row of the model's family"
            }
            Self::NoPlace { .. } => "keep the model as a diffusers folder",
            Self::Exists { .. } => "remove it first, or choose another name",
            Self::Read { .. } | Self::Cancelled(_) => return None,
        };
        Some(hint.to_owned())
    }
}
