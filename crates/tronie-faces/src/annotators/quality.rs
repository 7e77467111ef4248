//! How good the picture of a face is, as six numbers, without a network.
//!
//! Brightness is luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`, 0 to 255. "The face" is the detector's box cut to
//! the picture.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Rect;
use crate::sample::{Outside, Sampling, sample};
use crate::{Face, FacesError};

/// Measures of the picture of one face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Side of a square of the area of the face, in pixels.
    pub face_px: f32,
    /// Standard deviation of the Laplacian of luma, the face brought to 112x112 pixels first so that small and large faces
    /// compare: nine in ten portraits of Stable Diffusion 1.4 have 15 to 37, and blur lowers it (Pech-Pacheco et al.
    /// 2000, "Diatom autofocusing in brightfield microscopy", there as the variance).
    pub sharpness: f32,
    /// Mean luma of the face over 255, 0 to 1.
    pub brightness: f32,
    /// Part of the face's pixels with a luma up to 5 or from 250, where detail is lost, 0 to 1.
    pub clipped: f32,
    /// Standard deviation of white noise that would explain the face's fine structure, in luma levels (Immerkær 1996,
    /// "Fast noise variance estimation"). Skin and hair count as noise: 2 to 9 is usual.
    pub noise: f32,
    /// Mean step of luma across the borders of JPEG's 8x8 blocks over the mean step inside them, in the face: 1 without
    /// visible blocks, above 1.2 they show (the ratio behind Wang, Sheikh and Bovik 2002, "No-reference perceptual
    /// quality assessment of JPEG compressed images"). Only of use for pictures that were not resized after compression.
    pub blockiness: f32,
}

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "quality",
    title: "size, sharpness, exposure, noise and blockiness",
    makes: &[Part::Quality],
    reads: &[Part::Box],
    is_default: true,
    source: Source::Arithmetic(|| Box::new(FromPixels)),
};

/// Side that faces are brought to before sharpness is measured.
const SHARPNESS_SIDE_PX: usize = 112;
const DARK: f32 = 5.0;
const BRIGHT: f32 = 250.0;
/// Side of JPEG's blocks.
const BLOCK_PX: usize = 8;

struct FromPixels;

impl Annotator for FromPixels {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        for face in faces {
            face.quality = quality(picture, &face.rect);
        }
        Ok(())
    }
}

/// The measures of a box; `None` where less than 4x4 pixels of it lie in the picture.
fn quality(picture: &Pixels, rect: &Rect) -> Option<Quality> {
    let face = Luma::of_box(picture, rect)?;
    let n = face.values.len() as f32;
    let n_clipped = face.values.iter().filter(|&&value| value <= DARK || value >= BRIGHT).count();
    Some(Quality {
        face_px: rect.area().sqrt(),
        sharpness: sharpness(picture, rect),
        brightness: face.values.iter().sum::<f32>() / n / 255.0,
        clipped: n_clipped as f32 / n,
        noise: face.noise(),
        blockiness: face.blockiness(),
    })
}

fn luma(rgb: &[f32]) -> Vec<f32> {
    let (pixels, _) = rgb.as_chunks::<3>();
    pixels.iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect()
}

fn sharpness(picture: &Pixels, rect: &Rect) -> f32 {
    let side = SHARPNESS_SIDE_PX;
    let image_from_crop = rect.square(1.0).image_from_crop(side, side);
    // Large faces are averaged down: skipped pixels would look like detail.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let points_per_side = image_from_crop.scale().ceil().clamp(1.0, 64.0) as usize;
    let sampling = Sampling { width_px: side, height_px: side, outside: Outside::Edge, points_per_side };
    let values = luma(&sample(picture, &image_from_crop, sampling));
    Luma { width: side, left: 0, top: 0, values }.laplacian_deviation()
}

/// Luma of a part of a picture.
pub(crate) struct Luma {
    width: usize,
    /// Where the part begins in the picture.
    left: usize,
    top: usize,
    values: Vec<f32>,
}

impl Luma {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the picture first")]
    /// The part of a picture in a box; `None` where less than 4x4 pixels of it are there.
    pub(crate) fn of_box(picture: &Pixels, rect: &Rect) -> Option<Self> {
        let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
        let cut = |position: f32, side: usize| position.round().clamp(0.0, side as f32) as usize;
        let (left, right) = (cut(rect.left, width), cut(rect.right, width));
        let (top, bottom) = (cut(rect.top, height), cut(rect.bottom, height));
        if right < left + 4 || bottom < top + 4 {
            return None;
        }
        let rows = picture.rgb().chunks_exact(width * 3).take(bottom).skip(top);
        let rgb: Vec<f32> = rows
            .flat_map(|row| row.iter().take(right * 3).skip(left * 3))
            .map(|&byte| f32::from(byte))
            .collect();
        Some(Self { width: right - left, left, top, values: luma(&rgb) })
    }

    /// The nine values around every pixel that has all of them, rows from the top.
    fn windows(&self) -> impl Iterator<Item = [f32; 9]> {
        let rows: Vec<&[f32]> = self.values.chunks_exact(self.width).collect();
        let triples: Vec<[&[f32]; 3]> = rows.array_windows().copied().collect();
        triples.into_iter().flat_map(|[above, here, below]| {
            let columns = above.array_windows().zip(here.array_windows()).zip(below.array_windows());
            columns.map(|((&[a, b, c], &[d, e, f]), &[g, h, i])| [a, b, c, d, e, f, g, h, i])
        })
    }

    /// Standard deviation of the Laplacian, in grey levels.
    pub(crate) fn laplacian_deviation(&self) -> f32 {
        let laplacian = |[_, b, _, d, e, f, _, h, _]: [f32; 9]| f64::from(b + d + f + h - 4.0 * e);
        let values: Vec<f64> = self.windows().map(laplacian).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        narrow((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    /// `sqrt(pi / 2) / 6` times the mean absolute response to the difference of two Laplacians.
    fn noise(&self) -> f32 {
        let response = |[a, b, c, d, e, f, g, h, i]: [f32; 9]| {
            f64::from((a + c + g + i - 2.0 * (b + d + f + h) + 4.0 * e).abs())
        };
        let responses: Vec<f64> = self.windows().map(response).collect();
        let mean = responses.iter().sum::<f64>() / responses.len() as f64;
        narrow((std::f64::consts::PI / 2.0).sqrt() / 6.0 * mean)
    }

    fn blockiness(&self) -> f32 {
        let (mut across, mut inside) = ((0.0, 0_u32), (0.0, 0_u32));
        let mut step = |from: f32, to: f32, position: usize| {
            let (sum, n) = if position.is_multiple_of(BLOCK_PX) { &mut across } else { &mut inside };
            *sum += f64::from((to - from).abs());
            *n += 1;
        };
        let rows: Vec<&[f32]> = self.values.chunks_exact(self.width).collect();
        for row in &rows {
            row.array_windows().zip(self.left + 1..).for_each(|(&[from, to], x)| step(from, to, x));
        }
        for ([above, below], y) in rows.array_windows().zip(self.top + 1..) {
            above.iter().zip(*below).for_each(|(&from, &to)| step(from, to, y));
        }
        let mean = |(sum, n): (f64, u32)| sum / f64::from(n.max(1));
        // A flat face has no steps at all, and no blocks.
        if inside.0 > 0.0 && across.1 > 0 { narrow(mean(across) / mean(inside)) } else { 1.0 }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a measure of a few digits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
