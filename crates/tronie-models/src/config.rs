//! Reading `config.json` files: what is understood is taken, what cannot be honoured is an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tronie_base::{Fault, Faulty};

use crate::UnetConfigError;
use crate::catalog::UnknownFamily;

/// A `config.json` that this program cannot honour.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a value of another type than expected.
    #[error("{file} is not a valid configuration: {source}")]
    Syntax {
        /// Which file ("vae/config.json").
        file: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value that is valid, and that no network here implements.
    #[error("{file} has {key} = {found}, expected {expected}")]
    Unsupported {
        /// Which file.
        file: &'static str,
        /// Its key.
        key: &'static str,
        /// The value there.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// What `unet/config.json` says cannot be built.
    #[error(transparent)]
    Unet(#[from] UnetConfigError),
    /// A file without configurations of a family that has no row to take them from.
    #[error(transparent)]
    Family(#[from] UnknownFamily),
    /// A part that the kind of pipeline needs.
    #[error("the model folder has no {part}, which {needed_by} needs")]
    PartMissing {
        /// "text_encoder_2"
        part: &'static str,
        /// The pipeline class, or what else asks for it.
        needed_by: String,
    },
}

impl Faulty for ConfigError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } => Some("download the file again from where the model came from".into()),
            Self::Unsupported { .. } => {
                Some("tronie runs Stable Diffusion 1.x, 2.x and SDXL; this is another kind of model".into())
            }
            Self::Unet(cause) => cause.hint(),
            Self::Family(cause) => cause.hint(),
            Self::PartMissing { .. } => Some("the download of this model is incomplete".into()),
        }
    }
}

/// Parses the text of `file`; unknown keys are ignored.
pub(crate) fn parse<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, ConfigError> {
    serde_json::from_str(text).map_err(|source| ConfigError::Syntax { file, source })
}

/// Refuses a value unless `supported`.
pub(crate) fn require(
    supported: bool,
    file: &'static str,
    (key, found): (&'static str, impl Serialize),
    expected: &'static str,
) -> Result<(), ConfigError> {
    if supported {
        return Ok(());
    }
    Err(unsupported(file, (key, found), expected))
}

/// What the name `found` stands for in `known`.
pub(crate) fn choose<T: Copy>(
    file: &'static str,
    (key, found): (&'static str, &str),
    known: &[(&str, T)],
    expected: &'static str,
) -> Result<T, ConfigError> {
    let row = known.iter().find(|(name, _)| *name == found);
    row.map(|(_, value)| *value).ok_or_else(|| unsupported(file, (key, found), expected))
}

/// The value as the file shows it.
fn unsupported(
    file: &'static str,
    (key, found): (&'static str, impl Serialize),
    expected: &'static str,
) -> ConfigError {
    ConfigError::Unsupported { file, key, found: serde_json::to_string(&found).unwrap_or_default(), expected }
}
