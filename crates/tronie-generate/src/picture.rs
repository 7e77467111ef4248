//! Pictures that a request names: read, brought to the image's size, and told apart by their hashes.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tronie_base::{Fault, Faulty};
use tronie_image::{Pixels, cover, resize};

use crate::GenerateError;

/// How a picture of another size is brought to the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Not at all: another size is an error.
    #[default]
    Exact,
    /// Its middle part of the image's shape, scaled.
    Crop,
    /// Stretched.
    Stretch,
}

/// A picture that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// A file that cannot be read.
    #[error("cannot read the picture {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A picture of another size than the image's.
    #[error(
        "the picture {} is {}x{} pixels, the image shall be {}x{}",
        path.display(), found[0], found[1], expected[0], expected[1]
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Its width and height.
        found: [u32; 2],
        /// Those of the image.
        expected: [u32; 2],
    },
    /// A picture that is not the one an image was made with.
    #[error("the picture {} has SHA-256 {found}, the request was made with {expected}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash in the request.
        expected: String,
    },
}

impl Faulty for PictureError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => Fault::Environment,
            Self::Read { .. } | Self::Size { .. } | Self::Changed { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check the path".to_owned(),
            Self::Size { expected: [w, h], .. } => {
                format!("add fit=crop or fit=stretch, or give a picture of {w}x{h}")
            }
            Self::Changed { .. } => "put the old file back, or name the new one".to_owned(),
        })
    }
}

/// SHA-256 of a file, hexadecimal, which must be the expected one if there is one.
///
/// # Errors
/// [`PictureError::Read`], [`PictureError::Changed`].
pub(crate) fn hash(path: &Path, expected: Option<&String>) -> Result<String, PictureError> {
    let bytes = fs::read(path).map_err(|source| PictureError::Read { path: path.to_owned(), source })?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match expected {
        Some(expected) if *expected != found => {
            Err(PictureError::Changed { path: path.to_owned(), found, expected: expected.clone() })
        }
        _ => Ok(found),
    }
}

/// The picture at the image's size.
///
/// # Errors
/// [`GenerateError`] naming the file: it cannot be read, or has another size.
pub(crate) fn sized(path: &Path, fit: Fit, expected: [u32; 2]) -> Result<Pixels, GenerateError> {
    let pixels = tronie_image::open(path)?;
    let found = [pixels.width_px(), pixels.height_px()];
    let [width, height] = expected;
    match fit {
        _ if found == expected => Ok(pixels),
        Fit::Crop => Ok(cover(&pixels, width, height)?),
        Fit::Stretch => Ok(resize(&pixels, width, height)?),
        Fit::Exact => Err(PictureError::Size { path: path.to_owned(), found, expected }.into()),
    }
}
