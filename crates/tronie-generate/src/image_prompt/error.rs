//! What can keep a picture from being looked at.

use std::path::PathBuf;

use tronie_base::{Fault, Faulty};
use tronie_models::{ConfigError, ControlFitError};
use tronie_weights::{ImagePromptFileError, LibraryError};

/// A picture prompt that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagePromptError {
    /// A network that no place has, or that several places have.
    #[error("IP-Adapter: {0}")]
    Library(#[from] LibraryError),
    /// A file that cannot be opened.
    #[error("IP-Adapter \"{name}\": {source}")]
    Open {
        /// The adapter's name.
        name: String,
        /// What is wrong with it or with its encoder.
        source: Box<ImagePromptFileError>,
    },
    /// An adapter for another model.
    #[error("IP-Adapter \"{name}\" is not for this model ({family}): {source}")]
    Fit {
        /// Its name.
        name: String,
        /// The model's family.
        family: &'static str,
        /// In what they differ.
        source: Box<ControlFitError>,
    },
    /// No encoder beside the adapter.
    #[error("IP-Adapter \"{name}\" has no image encoder beside it, looked for {}", looked_for.display())]
    NoEncoder {
        /// The adapter's name.
        name: String,
        /// Where it was expected.
        looked_for: PathBuf,
    },
    /// An encoder whose measures are not known.
    #[error("the image encoder {} is of no published size and has no config.json", path.display())]
    Encoder {
        /// Where it is.
        path: PathBuf,
    },
    /// A configuration that cannot be honoured.
    #[error("the image encoder {}: {source}", path.display())]
    Config {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// An adapter for another encoder.
    #[error("IP-Adapter \"{name}\" takes {expected} numbers of a picture, the image encoder {} gives {found}", path.display())]
    Width {
        /// The adapter's name.
        name: String,
        /// The encoder.
        path: PathBuf,
        /// What it gives.
        found: usize,
        /// What the adapter takes.
        expected: usize,
    },
}

impl Faulty for ImagePromptError {
    fn fault(&self) -> Fault {
        match self {
            Self::Library(LibraryError::Unknown { .. }) | Self::NoEncoder { .. } => Fault::Environment,
            Self::Library(error) => error.fault(),
            Self::Open { source, .. } => source.fault(),
            Self::Fit { source, .. } => source.fault(),
            Self::Config { source, .. } => source.fault(),
            Self::Encoder { .. } | Self::Width { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Library(error) => error.hint(),
            Self::Open { source, .. } => source.hint(),
            Self::Fit { source, .. } => source.hint(),
            Self::Config { source, .. } => source.hint(),
            Self::NoEncoder { .. } => Some("name one with encoder=NAME, a file or a folder".into()),
            Self::Encoder { .. } => Some("name its folder, with config.json in it".into()),
            Self::Width { .. } => Some(
                "adapters for SD 1.5 and those with vit-h in their names take ViT-H, others for SDXL ViT-bigG; name the right \
                 one with encoder=NAME"
                    .into(),
            ),
        }
    }
}
