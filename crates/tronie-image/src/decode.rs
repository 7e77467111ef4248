//! Files into pixels, within limits.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use crate::format::Container;
use crate::pixels::blend;
use crate::{ImageError, Pixels};

/// Longest side that is decoded.
pub const MAX_SIDE_PX: u32 = 16_384;
/// Most pixels that are decoded.
pub const MAX_PIXELS: u64 = 100_000_000;
/// Most memory a decoder may take, its result included.
pub const MAX_ALLOC_BYTES: u64 = 512 << 20;
/// Largest file that is decoded.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Decodes a PNG, JPEG or WebP file; its first bytes say which.
///
/// An EXIF orientation is applied, 16-bit channels are rounded to 8, grey becomes equal channels, and an alpha
/// channel is dropped: the colour under transparent pixels shows.
///
/// # Errors
/// [`ImageError`] for what is not a picture, is broken, or exceeds the limits above.
pub fn decode(bytes: &[u8]) -> Result<Pixels, ImageError> {
    decode_with(bytes, None)
}

/// As [`decode`], but transparent pixels are laid on a background (red, green, blue) by their alpha.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_onto(bytes: &[u8], background: [u8; 3]) -> Result<Pixels, ImageError> {
    decode_with(bytes, Some(background))
}

fn decode_with(bytes: &[u8], background: Option<[u8; 3]>) -> Result<Pixels, ImageError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge {
            found_bytes: bytes.len() as u64,
            limit_bytes: MAX_FILE_BYTES,
        });
    }
    let container = Container::of(bytes)?;
    // The decoders of image-rs document that they may panic on malformed files.
    let result = panic::catch_unwind(AssertUnwindSafe(|| decode_as(container, bytes, background)));
    result.map_err(|_| gave_up(container))?
}

fn gave_up(container: Container) -> ImageError {
    ImageError::Broken { format: container.name(), reason: "the decoder gave up on it".to_owned() }
}

fn broken(container: Container, error: &image::ImageError) -> ImageError {
    ImageError::Broken { format: container.name(), reason: error.to_string() }
}

/// Width and height of the picture that [`decode`] makes of a file, read without its pixels.
///
/// # Errors
/// Those of [`decode`] that the head of a file can cause.
pub fn size_px(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let container = Container::of(bytes)?;
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = decoder(container, bytes)?;
        let orientation = decoder.orientation().map_err(|error| broken(container, &error))?;
        let (width_px, height_px) = decoder.dimensions();
        Ok(match orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height_px, width_px),
            _ => (width_px, height_px),
        })
    }));
    result.map_err(|_| gave_up(container))?
}

/// Reads and decodes the file at `path`, as [`decode`] does.
///
/// # Errors
/// [`ImageError::InFile`] around what went wrong.
pub fn open(path: &Path) -> Result<Pixels, ImageError> {
    decode(&read_file(path)?).map_err(|error| error.in_file(path))
}

/// The bytes of the picture file at `path`, as far as [`decode`] takes them: one byte more than allowed is enough to know
/// that a file is too large.
///
/// # Errors
/// [`ImageError::InFile`] when it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, ImageError> {
    let read = || {
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| ImageError::Read { source }.in_file(path))
}

fn decode_as(container: Container, bytes: &[u8], background: Option<[u8; 3]>) -> Result<Pixels, ImageError> {
    let mut decoder = decoder(container, bytes)?;
    let orientation = decoder.orientation().map_err(|error| broken(container, &error))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| broken(container, &error))?;
    image.apply_orientation(orientation);
    let rgb = match background {
        Some(background) if image.color().has_alpha() => laid_on(image, background),
        _ => image.into_rgb8(),
    };
    Pixels::new(rgb.width(), rgb.height(), rgb.into_raw())
}

/// A decoder that has read the head of a file and found a size within the limits.
fn decoder(container: Container, bytes: &[u8]) -> Result<impl ImageDecoder, ImageError> {
    let format = match container {
        Container::Png => image::ImageFormat::Png,
        Container::Jpeg => image::ImageFormat::Jpeg,
        Container::Webp => image::ImageFormat::WebP,
    };
    if let Some([w0, w1, w2, w3, h0, h1, h2, h3]) = bytes.get(16..24).filter(|_| container == Container::Png)
    {
        // The size is the first thing in a PNG file; its decoder would only complain about memory.
        let side = |bytes: [&u8; 4]| u32::from_be_bytes(bytes.map(|&byte| byte));
        check_size(side([w0, w1, w2, w3]), side([h0, h1, h2, h3]))?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| broken(container, &error))?;
    let (width_px, height_px) = decoder.dimensions();
    check_size(width_px, height_px)?;
    Ok(decoder)
}

/// `alpha * colour + (1 - alpha) * background`, rounded to the nearest.
fn laid_on(image: DynamicImage, background: [u8; 3]) -> RgbImage {
    let rgba = image.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = from.0;
        to.0 = blend([r, g, b], background, alpha);
    }
    rgb
}

fn check_size(width_px: u32, height_px: u32) -> Result<(), ImageError> {
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    if width_px.max(height_px) > MAX_SIDE_PX || n_pixels > MAX_PIXELS {
        return Err(ImageError::TooManyPixels { width_px, height_px });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
