//! Faces cut out and turned upright.

use std::path::Path;

use serde::Serialize;
use tronie_image::{ImageFormat, Pixels, encode};

use crate::geometry::Transform;
use crate::geometry::templates::{arcface_image_from_crop, ffhq_image_from_crop};
use crate::sample::{Outside, Sampling, crop};
use crate::{Face, FacesError, Worker};

/// How an aligned face lies in its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// As in FFHQ: with hair, neck and some background.
    Ffhq,
    /// As recognition networks take it: close, from the forehead to the chin.
    Arcface,
}

impl Template {
    /// All of them with their ids.
    pub const ALL: [(&'static str, Self); 2] = [("ffhq", Self::Ffhq), ("arcface", Self::Arcface)];

    /// From the aligned picture to the image; `None` where the points of the face coincide or are unknown.
    #[must_use]
    pub fn image_from_crop(self, face: &Face, side_px: usize) -> Option<Transform> {
        match self {
            Self::Ffhq => ffhq_image_from_crop(&face.points?, side_px),
            Self::Arcface => arcface_image_from_crop(&face.points?, side_px),
        }
    }

    /// What lies around the picture: FFHQ mirrors it, recognition networks are trained with black.
    fn outside(self) -> Outside {
        match self {
            Self::Ffhq => Outside::Mirror,
            Self::Arcface => Outside::Black,
        }
    }
}

/// An aligned face and where it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aligned {
    /// Name of the file below the folder of aligned faces.
    pub crop: String,
    /// The detector's confidence.
    pub score: f32,
    /// Two rows of three numbers: x and y in the image of (x, y, 1) in the crop.
    pub image_from_crop: [[f64; 3]; 2],
    /// Pixels of the image that one pixel of the crop covers per side; below 1 the crop is enlarged.
    pub scale: f64,
}

/// The aligned faces of one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlignedFaces {
    /// The surest first.
    pub crops: Vec<Aligned>,
}

/// Cuts a face out. Pixels are averaged where the face is larger than the crop.
///
/// # Errors
/// [`FacesError::Image`] for a side of 0.
pub fn aligned(
    pixels: &Pixels,
    image_from_crop: &Transform,
    template: Template,
    side_px: usize,
) -> Result<Pixels, FacesError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let points_per_side = image_from_crop.scale().ceil().clamp(1.0, 16.0) as usize;
    let sampling =
        Sampling { width_px: side_px, height_px: side_px, outside: template.outside(), points_per_side };
    Ok(crop(pixels, image_from_crop, sampling)?)
}

/// Writes every face of a picture as PNG below `out`: `name.png`, `name-2.png` and so on.
///
/// # Errors
/// [`FacesError`] when a network fails or a file cannot be written.
pub fn write_aligned(
    worker: &Worker,
    (pixels, name): (&Pixels, &str),
    (template, side_px): (Template, usize),
    out: &Path,
) -> Result<AlignedFaces, FacesError> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut crops = Vec::new();
    for face in worker.faces(pixels)? {
        let Some(image_from_crop) = template.image_from_crop(&face, side_px) else { continue };
        let crop = match crops.len() {
            0 => format!("{stem}.png"),
            n => format!("{stem}-{}.png", n + 1),
        };
        let picture = aligned(pixels, &image_from_crop, template, side_px)?;
        tronie_base::write_atomic(&out.join(&crop), &encode(&picture, ImageFormat::Png, &[])?)?;
        crops.push(Aligned {
            crop,
            score: face.score,
            image_from_crop: [image_from_crop.x, image_from_crop.y],
            scale: image_from_crop.scale(),
        });
    }
    Ok(AlignedFaces { crops })
}
