//! 8-bit RGB pixels, resizing and comparing them.
#![expect(clippy::cast_precision_loss, reason = "sums of squared 8-bit differences stay far below 2^53")]

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::ImageError;

/// A picture: 8-bit sRGB, three bytes per pixel, rows from the top (HWC).
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Three bytes for each pixel: what changes them keeps their number.
    pub(crate) rgb: Vec<u8>,
}

impl Pixels {
    /// A picture from its bytes, `3 * width_px * height_px` of them.
    ///
    /// # Errors
    /// [`ImageError::WrongLength`] for any other length, and for a picture without pixels.
    pub fn new(width_px: u32, height_px: u32, rgb: Vec<u8>) -> Result<Self, ImageError> {
        let expected = u64::from(width_px) * u64::from(height_px) * 3;
        if expected == 0 || expected != rgb.len() as u64 {
            return Err(ImageError::WrongLength { width_px, height_px, found_bytes: rgb.len() });
        }
        Ok(Self { width_px, height_px, rgb })
    }

    /// Number of columns, at least 1.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Number of rows, at least 1.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// The bytes: red, green, blue of the top left pixel, then of its right neighbour.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes, without copying them.
    #[must_use]
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    pub(crate) fn size_px(&self) -> (u32, u32) {
        (self.width_px, self.height_px)
    }
}

/// `(alpha * above + (255 - alpha) * below) / 255` per channel, rounded to the nearest.
pub(crate) fn blend(above: [u8; 3], below: [u8; 3], alpha: u8) -> [u8; 3] {
    let alpha = u32::from(alpha);
    let mixed = |above: u8, below: u8| {
        let sum = alpha * u32::from(above) + (255 - alpha) * u32::from(below);
        u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
    };
    let ([r, g, b], [r_below, g_below, b_below]) = (above, below);
    [mixed(r, r_below), mixed(g, g_below), mixed(b, b_below)]
}

// A failing comparison must not print a million numbers.
impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({}x{})", self.width_px, self.height_px)
    }
}

/// The picture at another size, by Lanczos resampling with a window of 3.
///
/// When shrinking, the window grows with the factor, so nothing aliases.
///
/// # Errors
/// [`ImageError::WrongLength`] when a side is zero.
pub fn resize(pixels: &Pixels, width_px: u32, height_px: u32) -> Result<Pixels, ImageError> {
    resampled(pixels, (width_px, height_px), FilterType::Lanczos3)
}

/// The picture at another size, by Keys's cubic with a = -0.5, for networks that were trained on pictures made so: columns first,
/// rounded to whole levels, then rows, as Pillow and torchvision resample. The window grows as that of [`resize`] does.
///
/// # Errors
/// [`ImageError::WrongLength`] when a side is zero.
pub fn resize_bicubic(pixels: &Pixels, width_px: u32, height_px: u32) -> Result<Pixels, ImageError> {
    let narrowed = resampled(pixels, (width_px, pixels.height_px), FilterType::CatmullRom)?;
    resampled(&narrowed, (width_px, height_px), FilterType::CatmullRom)
}

fn resampled(
    pixels: &Pixels,
    (width_px, height_px): (u32, u32),
    filter: FilterType,
) -> Result<Pixels, ImageError> {
    if pixels.size_px() == (width_px, height_px) {
        return Ok(pixels.clone());
    }
    let Some(image) = RgbImage::from_raw(pixels.width_px, pixels.height_px, pixels.rgb.clone()) else {
        return Err(ImageError::WrongLength {
            width_px: pixels.width_px,
            height_px: pixels.height_px,
            found_bytes: pixels.rgb.len(),
        });
    };
    let resized = imageops::resize(&image, width_px, height_px, filter);
    Pixels::new(width_px, height_px, resized.into_raw())
}

/// The picture scaled so that its longer side is `side_px`, larger or smaller, as [`resize`] does.
///
/// # Errors
/// [`ImageError::WrongLength`] when `side_px` is zero.
pub fn thumbnail(pixels: &Pixels, side_px: u32) -> Result<Pixels, ImageError> {
    let longer = u64::from(pixels.width_px.max(pixels.height_px));
    let scaled = |side: u32| {
        let scaled = (u64::from(side) * u64::from(side_px) + longer / 2) / longer;
        u32::try_from(scaled).unwrap_or(side_px).clamp(1, side_px.max(1))
    };
    let side = |px: u32| if side_px == 0 { 0 } else { scaled(px) };
    resize(pixels, side(pixels.width_px), side(pixels.height_px))
}

/// Peak signal-to-noise ratio over all bytes, `10 log10(255^2 / mean squared difference)`, in decibels.
///
/// Infinite for equal pictures; above 40 nobody sees a difference.
///
/// # Errors
/// [`ImageError::SizesDiffer`].
pub fn psnr_db(a: &Pixels, b: &Pixels) -> Result<f64, ImageError> {
    if a.size_px() != b.size_px() {
        return Err(ImageError::SizesDiffer { found: a.size_px(), expected: b.size_px() });
    }
    let squares = a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2));
    let mean = squares.sum::<u64>() as f64 / a.rgb.len() as f64;
    Ok(10.0 * (255.0 * 255.0 / mean).log10())
}

/// The largest difference of two bytes at the same place, 0 to 255.
///
/// # Errors
/// [`ImageError::SizesDiffer`].
pub fn largest_difference(a: &Pixels, b: &Pixels) -> Result<u8, ImageError> {
    if a.size_px() != b.size_px() {
        return Err(ImageError::SizesDiffer { found: a.size_px(), expected: b.size_px() });
    }
    Ok(a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| a.abs_diff(b)).max().unwrap_or_default())
}

#[cfg(test)]
mod tests;
