//! Records of faces, made of every picture of a folder and read again.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tronie_image::{ImageFormat, Pixels, encode};

use crate::overlay::overlay;
use crate::{Face, FacesError, Worker};

/// Everything found in one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Width of the picture.
    pub width_px: u32,
    /// Height of the picture.
    pub height_px: u32,
    /// Its faces, the surest first.
    pub faces: Vec<Face>,
}

impl Seen {
    /// Looks at a picture.
    ///
    /// # Errors
    /// [`FacesError`] when a network fails.
    pub fn of(worker: &Worker, pixels: &Pixels) -> Result<Self, FacesError> {
        let (width_px, height_px) = (pixels.width_px(), pixels.height_px());
        Ok(Self { width_px, height_px, faces: worker.faces(pixels)? })
    }
}

/// A line of an annotations file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    /// Name of the picture below its folder.
    pub file: String,
    /// What was found; absent when the file is no readable picture.
    #[serde(flatten)]
    pub seen: Option<Seen>,
    /// Why nothing was found.
    pub error: Option<String>,
}

/// Reads an annotations file.
///
/// # Errors
/// [`FacesError::ReadLines`], or [`FacesError::BrokenLine`] with the number of the line.
pub fn read_records(path: &Path) -> Result<Vec<Record>, FacesError> {
    let fail = |source| FacesError::ReadLines { path: path.to_owned(), source };
    let lines = BufReader::new(File::open(path).map_err(fail)?).lines().enumerate();
    let record = |(index, line): (usize, std::io::Result<String>)| {
        let broken = |source| FacesError::BrokenLine { path: path.to_owned(), line: index + 1, source };
        serde_json::from_str(&line.map_err(fail)?).map_err(broken)
    };
    lines.map(record).collect()
}

/// Writes the picture with everything found drawn on it, as PNG under its own name below `folder`.
///
/// # Errors
/// [`FacesError`] when it cannot be encoded or written.
pub fn write_overlay(folder: &Path, name: &str, pixels: &Pixels, seen: &Seen) -> Result<(), FacesError> {
    let png = encode(&overlay(pixels, &seen.faces)?, ImageFormat::Png, &[])?;
    Ok(tronie_base::write_atomic(&folder.join(name).with_extension("png"), &png)?)
}
