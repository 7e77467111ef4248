//! Pictures with less in them: blurred, pixelated, inverted, two-tone.

use image::imageops;
use image::{ImageBuffer, Rgb, RgbImage};

use crate::{ImageError, Pixels, resize};

/// Standard deviations of the two blurred pictures whose difference is a scribble, in pixels (Winnemöller et al. 2012,
/// "XDoG", with the values of the scribble annotator).
const SCRIBBLE_SIGMAS_PX: [f32; 2] = [0.5, 5.0];

/// The picture under a Gaussian of this standard deviation.
#[must_use]
pub fn blur(pixels: &Pixels, sigma_px: f32) -> Pixels {
    match RgbImage::from_raw(pixels.width_px, pixels.height_px, pixels.rgb.clone()) {
        Some(image) => Pixels { rgb: imageops::blur(&image, sigma_px).into_raw(), ..*pixels },
        None => pixels.clone(),
    }
}

/// The picture `factor` times smaller and at its old size again: what an upscaling network is shown.
///
/// # Errors
/// [`ImageError::WrongLength`] when nothing is left.
pub fn tile(pixels: &Pixels, factor: u32) -> Result<Pixels, ImageError> {
    let smaller = |px: u32| (px / factor.max(1)).max(1);
    let small = resize(pixels, smaller(pixels.width_px), smaller(pixels.height_px))?;
    resize(&small, pixels.width_px, pixels.height_px)
}

/// White becomes black: for line drawings on paper, as networks want white lines.
#[must_use]
pub fn invert(pixels: &Pixels) -> Pixels {
    Pixels { rgb: pixels.rgb.iter().map(|byte| 255 - byte).collect(), ..*pixels }
}

/// White where every channel is above `level`, else black.
#[must_use]
pub fn threshold(pixels: &Pixels, level: u8) -> Pixels {
    two_tone(pixels, pixels.rgb.chunks_exact(3).map(|rgb| rgb.iter().all(|&byte| byte > level)))
}

/// White strokes where the picture is darker than its surroundings, black elsewhere; a lower `level` (0 to 255) gives
/// more strokes.
#[must_use]
pub fn scribble(pixels: &Pixels, level: u8) -> Pixels {
    let values: Vec<f32> = pixels.rgb.iter().map(|&byte| f32::from(byte)).collect();
    let size = (pixels.width_px, pixels.height_px);
    let Some(image) = ImageBuffer::<Rgb<f32>, _>::from_raw(size.0, size.1, values) else {
        return pixels.clone();
    };
    let [fine, coarse] = SCRIBBLE_SIGMAS_PX.map(|sigma_px| imageops::blur(&image, sigma_px).into_raw());
    let darker: Vec<f32> = coarse.iter().zip(&fine).map(|(coarse, fine)| coarse - fine).collect();
    let level = f32::from(level) / 2.0;
    let is_stroke = |rgb: &[f32]| rgb.iter().all(|&darker| darker.clamp(0.0, 255.0) > level);
    two_tone(pixels, darker.chunks_exact(3).map(is_stroke))
}

fn two_tone(like: &Pixels, is_white: impl Iterator<Item = bool>) -> Pixels {
    Pixels { rgb: is_white.flat_map(|white| [if white { 255 } else { 0 }; 3]).collect(), ..*like }
}

#[cfg(test)]
mod tests;
