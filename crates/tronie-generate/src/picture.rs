//! Pictures that a request names: read, told apart by their hashes, brought to the image's size.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tronie_base::{Fault, Faulty, sha256_hex};
use tronie_image::{Fit, Pixels, fit, read_file};

use crate::GenerateError;

/// A file a request needs, and what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the file, hexadecimal. Filled in when the request is resolved; a file that is another by then is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl From<PathBuf> for PictureFile {
    fn from(path: PathBuf) -> Self {
        Self { path, sha256: None }
    }
}

impl PictureFile {
    /// Its bytes, and the same file with its hash.
    ///
    /// # Errors
    /// [`GenerateError`] naming the file: it cannot be read, or is not the one whose hash is known.
    pub(crate) fn read(&self) -> Result<(Vec<u8>, Self), GenerateError> {
        let path = self.path.clone();
        let bytes = read_file(&path)?;
        let found = sha256_hex(&bytes);
        match &self.sha256 {
            Some(expected) if *expected != found => {
                Err(PictureError::Changed { path, found, expected: expected.clone() }.into())
            }
            _ => Ok((bytes, Self { path, sha256: Some(found) })),
        }
    }

    /// What its bytes show, at the image's size (width, height); without a way to fit it must have that size.
    ///
    /// # Errors
    /// [`GenerateError`] naming the file: it is no picture, or has another size.
    pub(crate) fn sized(
        &self,
        bytes: &[u8],
        way: Option<Fit>,
        [width, height]: [u32; 2],
    ) -> Result<Pixels, GenerateError> {
        let pixels = tronie_image::decode(bytes).map_err(|error| error.in_file(&self.path))?;
        let found = [pixels.width_px(), pixels.height_px()];
        match way {
            _ if found == [width, height] => Ok(pixels),
            Some(way) => Ok(fit(&pixels, width, height, way)?),
            None => {
                let (path, expected) = (self.path.clone(), [width, height]);
                Err(PictureError::Size { path, found, expected }.into())
            }
        }
    }
}

/// A picture that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
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
    #[error("the picture {} has the SHA-256 {found}, expected {expected}", path.display())]
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
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Size { expected: [w, h], .. } => {
                format!("add fit=crop, fit=fill or fit=stretch, or give a picture of {w}x{h}")
            }
            Self::Changed { .. } => "name the file the image was made from, or give this one anew".to_owned(),
        })
    }
}
