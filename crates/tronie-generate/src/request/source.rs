//! What a run starts from besides noise: a picture, and the part of it that is painted anew.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tronie_image::{Fit, Margins};

use super::{Row, in_range};
use crate::PictureFile;

/// A picture to start from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The picture. Its EXIF orientation is applied; 16-bit channels are rounded to 8.
    pub picture: PictureFile,
    /// How much of it may change, 0 to 1. How many steps that means is the profile's affair.
    #[serde(default = "usual_strength")]
    pub strength: f64,
    /// How the picture comes to the size of the image.
    #[serde(default)]
    pub resize: Resize,
    /// Walk as many steps as are asked for, of a schedule so much longer, where the profile would walk a part of them.
    #[serde(default)]
    pub exact_steps: bool,
    /// Factor on the noise that is laid on the picture, 0 to 2 (A1111's "noise multiplier").
    #[serde(default = "one")]
    pub noise_multiplier: f64,
    /// Red, green and blue that show through transparent pixels.
    #[serde(default = "white")]
    pub background: [u8; 3],
    /// What is added around the picture and painted (outpainting).
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub extend: Margins,
}

/// How a picture comes to the size of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Stretched.
    #[default]
    Stretch,
    /// Covering it; what sticks out is cut off.
    Crop,
    /// Inside it; the edges go on.
    Fill,
    /// Encoded at its own size, and its latents stretched.
    Latent,
}

impl Resize {
    /// What happens to the pixels.
    pub(crate) fn of_pixels(self) -> Fit {
        match self {
            Self::Stretch | Self::Latent => Fit::Stretch,
            Self::Crop => Fit::Crop,
            Self::Fill => Fit::Fill,
        }
    }
}

/// Which part of a picture is painted anew, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inpaint {
    /// A picture as large as the source, white where it is painted. May be left out where the source is extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<PictureFile>,
    /// Paint what the mask leaves out instead.
    #[serde(default)]
    pub invert: bool,
    /// Standard deviation of the blur of the mask's edge, in pixels, 0 to 64.
    #[serde(default = "usual_blur")]
    pub blur_px: f64,
    /// What the painted part starts from.
    #[serde(default)]
    pub content: MaskedContent,
    /// Paint only the surroundings of the mask, this many pixels around it, at the image's size; 0 to 1024.
    #[serde(default)]
    pub only_masked: Option<u32>,
    /// Whether the picture's own pixels are put back outside the mask. What the autoencoder makes of them stays otherwise.
    #[serde(default = "yes")]
    pub paste_back: bool,
}

/// What the painted part of a picture starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskedContent {
    /// The colours around it.
    Fill,
    /// The picture as it is.
    #[default]
    Original,
    /// Noise in place of its latents.
    LatentNoise,
    /// Latents of zero.
    LatentNothing,
}

impl Source {
    /// A picture with the usual settings.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            picture: path.into(),
            strength: usual_strength(),
            resize: Resize::default(),
            exact_steps: false,
            noise_multiplier: one(),
            background: white(),
            extend: Margins::default(),
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let Margins { left, top, right, bottom } = self.extend;
        let largest = [left, top, right, bottom].into_iter().max().unwrap_or_default();
        vec![
            in_range("strength", self.strength, 0.0..=1.0, "0 to 1"),
            in_range("noise_multiplier", self.noise_multiplier, 0.0..=2.0, "0 to 2"),
            in_range("extend", f64::from(largest), 0.0..=8192.0, "0 to 8192 pixels on each side"),
        ]
    }
}

impl Default for Inpaint {
    fn default() -> Self {
        Self {
            mask: None,
            invert: false,
            blur_px: usual_blur(),
            content: MaskedContent::default(),
            only_masked: None,
            paste_back: true,
        }
    }
}

impl Inpaint {
    pub(super) fn rows(&self) -> Vec<Row> {
        let padding = f64::from(self.only_masked.unwrap_or_default());
        vec![
            in_range("mask_blur", self.blur_px, 0.0..=64.0, "0 to 64"),
            in_range("only_masked", padding, 0.0..=1024.0, "0 to 1024 pixels"),
        ]
    }
}

/// A1111's, like the next.
fn usual_strength() -> f64 {
    0.75
}

fn usual_blur() -> f64 {
    4.0
}

fn one() -> f64 {
    1.0
}

fn white() -> [u8; 3] {
    [255; 3]
}

fn yes() -> bool {
    true
}

fn is_nothing(margins: &Margins) -> bool {
    *margins == Margins::default()
}
