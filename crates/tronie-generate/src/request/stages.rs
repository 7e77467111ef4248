//! What follows a first walk: a second one at a larger size, another model for the last steps, tiles, turns.

use serde::{Deserialize, Serialize};

use super::{Row, in_range};
use crate::record::model_stem;

/// A second pass at a larger size (A1111's "hires. fix"). What is left out is as in the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hires {
    /// Factor on width and height, 1 to 8; the result is rounded down to whole latents.
    pub scale: f64,
    /// What makes the first pass's picture larger.
    #[serde(default)]
    pub upscaler: Upscaler,
    /// How much of it may change, 0 to 1. All steps are walked, of a schedule so much longer.
    #[serde(default = "hires_strength")]
    pub strength: f64,
    /// Steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_steps: Option<u32>,
    /// Sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Schedule; the sampler's own when only that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What the image shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What it must not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Guidance scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
}

/// What makes a picture larger before it is walked again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upscaler {
    /// Latents, bilinear.
    #[default]
    Latent,
    /// Latents, bilinear, antialiased.
    LatentAntialiased,
    /// Latents, bicubic.
    LatentBicubic,
    /// Latents, bicubic, antialiased.
    LatentBicubicAntialiased,
    /// Latents, each repeated.
    LatentNearest,
    /// Latents, each repeated around its middle.
    LatentNearestExact,
    /// Decoded pixels.
    Lanczos,
    /// Decoded pixels, by a network (ESRGAN, Real-ESRGAN): its path, or its name in a models folder.
    #[serde(untagged)]
    Network(String),
}

impl Upscaler {
    /// All that need no network, in the order of A1111's menu.
    pub const ALL: [Self; 7] = [
        Self::Latent,
        Self::LatentAntialiased,
        Self::LatentBicubic,
        Self::LatentBicubicAntialiased,
        Self::LatentNearest,
        Self::LatentNearestExact,
        Self::Lanczos,
    ];

    /// A1111's name.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Latent => "Latent",
            Self::LatentAntialiased => "Latent (antialiased)",
            Self::LatentBicubic => "Latent (bicubic)",
            Self::LatentBicubicAntialiased => "Latent (bicubic antialiased)",
            Self::LatentNearest => "Latent (nearest)",
            Self::LatentNearestExact => "Latent (nearest-exact)",
            Self::Lanczos => "Lanczos",
            Self::Network(name) => model_stem(name),
        }
    }
}

/// Another model for the last steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refiner {
    /// As the request's own model.
    pub model: String,
    /// The share of the training schedule after which it takes over, 0 to 1.
    #[serde(default = "refiner_at")]
    pub at: f64,
}

/// The finished picture made larger and walked again in tiles, each with the whole prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upscale {
    /// Factor on width and height, 1 to 8; the result is rounded to the nearest pixel.
    pub scale: f64,
    /// Side of a tile in pixels, a multiple of 8; the checkpoint's own size when left out.
    #[serde(default)]
    pub tile_px: Option<u32>,
    /// What neighbouring tiles share, in pixels; an eighth of a tile when left out.
    #[serde(default)]
    pub overlap_px: Option<u32>,
    /// A network that enlarges the picture before its tiles are walked, as in [`Upscaler::Network`]; Lanczos when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscaler: Option<String>,
    /// How much of the picture may change, 0 to 1.
    #[serde(default = "upscale_strength")]
    pub strength: f64,
}

fn hires_strength() -> f64 {
    0.7
}

fn refiner_at() -> f64 {
    0.8
}

/// Above this, tiles begin to show pictures of their own.
fn upscale_strength() -> f64 {
    0.3
}

impl Hires {
    /// The usual second pass.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        Self {
            scale,
            upscaler: Upscaler::default(),
            strength: hires_strength(),
            n_steps: None,
            sampler: None,
            schedule: None,
            prompt: None,
            negative_prompt: None,
            guidance_scale: None,
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        vec![
            in_range("hires", self.scale, 1.0..=8.0, "a factor from 1 to 8"),
            in_range("hires_strength", self.strength, 0.0..=1.0, "0 to 1"),
            in_range("hires_steps", self.n_steps, 1..=1000, "1 to 1000"),
            in_range("hires_cfg", self.guidance_scale, 0.0..=1000.0, "a number from 0 to 1000"),
        ]
    }
}

impl Refiner {
    /// The usual hand-over to a model.
    #[must_use]
    pub fn new(model: String) -> Self {
        Self { model, at: refiner_at() }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        vec![in_range("refiner_at", self.at, 0.0..=1.0, "0 to 1")]
    }
}

impl Upscale {
    /// The usual tiles.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        Self { scale, tile_px: None, overlap_px: None, upscaler: None, strength: upscale_strength() }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        vec![
            in_range("upscale", self.scale, 1.0..=8.0, "a factor from 1 to 8"),
            super::size("tile", self.tile_px),
            in_range("tile_overlap", self.overlap_px, 0..=4096, "0 to 4096 pixels"),
            in_range("upscale_strength", self.strength, 0.0..=1.0, "0 to 1"),
        ]
    }
}
