//! From a picture's file to what a control network looks at.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;
use tronie_image::hints::{self, Pose};

use super::{ControlUnit, ControlUnitError};
use crate::GenerateError;
use crate::request::{Row, in_range};

/// What is made of a picture before a network looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preprocessor {
    /// Nothing: it is a map of the network's kind already.
    #[default]
    None,
    /// White edges, see [`hints::canny`].
    Canny {
        /// Slopes above this continue an edge, 0 to 2040.
        low: u32,
        /// Slopes above this start one.
        high: u32,
    },
    /// A coarser version of itself, see [`hints::tile`].
    Tile {
        /// How much coarser, 1 to 64.
        factor: u32,
    },
    /// Under a Gaussian, see [`hints::blur`].
    Blur {
        /// Its standard deviation in pixels, 0.1 to 100.
        sigma_px: f32,
    },
    /// White strokes where it is darker than around, see [`hints::scribble`].
    Scribble {
        /// Lower gives more strokes.
        level: u8,
    },
    /// White where it is bright, see [`hints::threshold`].
    Threshold {
        /// How bright.
        level: u8,
    },
    /// White and black exchanged.
    Invert,
    /// Drawn from OpenPose's JSON, see [`Pose`].
    Pose,
}

impl Preprocessor {
    /// Every one with its defaults, in A1111's names: thresholds of Canny 100 and 200, blur 9, scribble 32, threshold 127.
    pub const ALL: [(&'static str, Self); 8] = [
        ("none", Self::None),
        ("canny", Self::Canny { low: 100, high: 200 }),
        ("tile", Self::Tile { factor: 1 }),
        ("blur", Self::Blur { sigma_px: 9.0 }),
        ("scribble", Self::Scribble { level: 32 }),
        ("threshold", Self::Threshold { level: 127 }),
        ("invert", Self::Invert),
        ("pose", Self::Pose),
    ];

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &'static str {
        let same = |row: &&(&str, Self)| std::mem::discriminant(&row.1) == std::mem::discriminant(self);
        Self::ALL.iter().find(same).map_or("none", |row| row.0)
    }

    /// What of it has to lie in a range.
    pub(super) fn row(self) -> Option<Row> {
        Some(match self {
            Self::Canny { low, high } => {
                let found = format!("{low} {high}");
                Row::new("control low and high", found, low.max(high) <= 2040, "0 to 2040")
            }
            Self::Tile { factor } => in_range("control factor", factor, 1..=64, "1 to 64"),
            Self::Blur { sigma_px } => in_range("control sigma", sigma_px, 0.1..=100.0, "0.1 to 100"),
            _ => return None,
        })
    }

    fn apply(self, pixels: &Pixels) -> Result<Pixels, GenerateError> {
        Ok(match self {
            Self::None | Self::Pose => pixels.clone(),
            Self::Canny { low, high } => hints::canny(pixels, low, high),
            Self::Tile { factor } => hints::tile(pixels, factor)?,
            Self::Blur { sigma_px } => hints::blur(pixels, sigma_px),
            Self::Scribble { level } => hints::scribble(pixels, level),
            Self::Threshold { level } => hints::threshold(pixels, level),
            Self::Invert => hints::invert(pixels),
        })
    }
}

/// The picture of a unit as its network shall see it, at the image's size.
///
/// # Errors
/// [`GenerateError`] naming the file: it is no picture (or pose), or has another size.
pub(super) fn picture(unit: &ControlUnit, bytes: &[u8], size_px: [u32; 2]) -> Result<Pixels, GenerateError> {
    if unit.preprocessor == Preprocessor::Pose {
        let file = unit.image.path.display().to_string();
        let pose = Pose::from_json(&String::from_utf8_lossy(bytes))
            .map_err(|source| ControlUnitError::Pose { file, source })?;
        let [width, height] = size_px;
        return Ok(pose.draw(width, height)?);
    }
    unit.preprocessor.apply(&unit.image.sized(bytes, unit.fit, size_px)?)
}
