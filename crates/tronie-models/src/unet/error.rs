//! Configurations no network can be built from.

use tronie_base::{Fault, Faulty};

/// A UNet configuration that cannot be read, does not add up, or is not supported.
#[derive(Debug, thiserror::Error)]
pub enum UnetConfigError {
    /// The text is not JSON, or a key has a value of the wrong type.
    #[error("unet/config.json is not a valid configuration: {cause}")]
    Json {
        /// Where and why.
        cause: serde_json::Error,
    },
    /// A key asks for an architecture that tronie does not have.
    #[error("unet/config.json has {key} = {value}, expected {supported}")]
    Unsupported {
        /// Key in `config.json`.
        key: &'static str,
        /// Its value, as JSON.
        value: String,
        /// The values that are supported.
        supported: String,
    },
    /// A list has not one entry per block.
    #[error("unet/config.json has {found} entries in {key}, expected {expected}")]
    ListLength {
        /// Key in `config.json`.
        key: &'static str,
        /// Entries it has.
        found: usize,
        /// Blocks, or layers of a block.
        expected: usize,
    },
    /// A size that is zero.
    #[error("unet/config.json has {key} = 0, expected at least 1")]
    Zero {
        /// Key in `config.json`.
        key: &'static str,
    },
    /// Channels that cannot be split into equal parts.
    #[error("unet/config.json has {key} = {n_parts}, which does not divide {n_channels} channels")]
    Indivisible {
        /// The key that asks for the split.
        key: &'static str,
        /// An entry of `block_out_channels`.
        n_channels: usize,
        /// Groups or heads.
        n_parts: usize,
    },
    /// A key that another key makes necessary.
    #[error("unet/config.json has no {key}, which {needed_by} needs")]
    Missing {
        /// The absent key.
        key: &'static str,
        /// The key that is there.
        needed_by: &'static str,
    },
}

impl Faulty for UnetConfigError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Json { .. } | Self::Unsupported { key: "_class_name", .. } => {
                "the file to read is unet/config.json of a diffusers folder"
            }
            Self::Unsupported { .. } => {
                "the UNets of Stable Diffusion 1.x, 2.x and XL are supported, and others of the same blocks"
            }
            Self::ListLength { .. } | Self::Zero { .. } | Self::Indivisible { .. } | Self::Missing { .. } => {
                "the configuration contradicts itself; take unet/config.json from the model's source again"
            }
        };
        Some(hint.into())
    }
}
