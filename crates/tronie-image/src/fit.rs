//! Pictures at a size with other proportions, parts of pictures, and pictures with more around them.
#![expect(
    clippy::indexing_slicing,
    reason = "pixel kernel; every row and column is clamped into the picture"
)]

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ImageError, Pixels, resize};

/// What happens when proportions differ; all resample as [`resize`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The picture is stretched.
    #[default]
    Stretch,
    /// It covers the size; what sticks out is cut off on both sides.
    Crop,
    /// It lies inside the size; its outermost rows or columns go on to the edges.
    Fill,
}

/// A part of a picture, in pixels from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.left, self.top)
    }
}

/// Pixels on each side of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Margins {
    /// Columns on the left.
    pub left: u32,
    /// Rows above.
    pub top: u32,
    /// Columns on the right.
    pub right: u32,
    /// Rows below.
    pub bottom: u32,
}

/// The picture at another size and other proportions.
///
/// Sizes and places are those of A1111's `resize_image`: the side that follows the proportions is rounded down, and so are the
/// offsets that centre it.
///
/// # Errors
/// [`ImageError::WrongLength`] when a side is zero.
pub fn fit(pixels: &Pixels, width_px: u32, height_px: u32, fit: Fit) -> Result<Pixels, ImageError> {
    let [w, h] = [pixels.width_px(), pixels.height_px()].map(u64::from);
    let [to_w, to_h] = [width_px, height_px].map(u64::from);
    let is_wider = to_w * h > w * to_h; // the size, than the picture
    let follows_width = match fit {
        Fit::Stretch => return resize(pixels, width_px, height_px),
        Fit::Crop => is_wider,
        Fit::Fill => !is_wider,
    };
    let side = |px: u64| u32::try_from(px).unwrap_or(u32::MAX).max(1);
    let (scaled_w, scaled_h) = match follows_width {
        true => (width_px, side(h * to_w / w)),
        false => (side(w * to_h / h), height_px),
    };
    let scaled = resize(pixels, scaled_w, scaled_h)?;
    let offset = |to: u32, scaled: u32| i64::from(to / 2) - i64::from(scaled / 2);
    placed(&scaled, (width_px, height_px), (offset(width_px, scaled_w), offset(height_px, scaled_h)))
}

/// The picture with margins around it that go on with its outermost rows and columns.
///
/// # Errors
/// [`ImageError::TooManyPixels`] when it would be larger than what [`crate::decode()`] reads.
pub fn extend(pixels: &Pixels, margins: Margins) -> Result<Pixels, ImageError> {
    let Margins { left, top, right, bottom } = margins;
    let side = |before: u32, px: u32, after: u32| before.saturating_add(px).saturating_add(after);
    let (width_px, height_px) = (side(left, pixels.width_px(), right), side(top, pixels.height_px(), bottom));
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    if width_px.max(height_px) > crate::MAX_SIDE_PX || n_pixels > crate::MAX_PIXELS {
        return Err(ImageError::TooManyPixels { width_px, height_px });
    }
    placed(pixels, (width_px, height_px), (i64::from(left), i64::from(top)))
}

/// A part of the picture.
///
/// # Errors
/// [`ImageError::Outside`] when it is not one.
pub fn crop(pixels: &Pixels, rect: Rect) -> Result<Pixels, ImageError> {
    check_inside(pixels, rect)?;
    placed(pixels, (rect.width, rect.height), (-i64::from(rect.left), -i64::from(rect.top)))
}

/// The picture with another laid on it, its top left at `place`.
///
/// # Errors
/// [`ImageError::Outside`] when it sticks out.
pub fn paste(below: &Pixels, above: &Pixels, place: (u32, u32)) -> Result<Pixels, ImageError> {
    let (left, top) = place;
    let rect = Rect { left, top, width: above.width_px(), height: above.height_px() };
    check_inside(below, rect)?;
    let (row_bytes, above_bytes) = (below.width_px() as usize * 3, above.width_px() as usize * 3);
    let mut rgb = below.rgb().to_vec();
    for (row, from) in above.rgb().chunks_exact(above_bytes).enumerate() {
        let start = (top as usize + row) * row_bytes + left as usize * 3;
        rgb[start..start + above_bytes].copy_from_slice(from);
    }
    Pixels::new(below.width_px(), below.height_px(), rgb)
}

fn check_inside(pixels: &Pixels, rect: Rect) -> Result<(), ImageError> {
    let (width_px, height_px) = (pixels.width_px(), pixels.height_px());
    let ends_inside = |start: u32, n: u32, side: u32| n > 0 && u64::from(start) + u64::from(n) <= side.into();
    if !ends_inside(rect.left, rect.width, width_px) || !ends_inside(rect.top, rect.height, height_px) {
        return Err(ImageError::Outside { rect, width_px, height_px });
    }
    Ok(())
}

/// A canvas of `size` with the picture's top left at `offset`; what the picture does not cover repeats its edge.
fn placed(pixels: &Pixels, size: (u32, u32), offset: (i64, i64)) -> Result<Pixels, ImageError> {
    let clamped = |to: u32, offset: i64, side: u32| -> Vec<usize> {
        let last = i64::from(side) - 1;
        (0..to).map(|at| usize::try_from((i64::from(at) - offset).clamp(0, last)).unwrap_or(0)).collect()
    };
    let columns = clamped(size.0, offset.0, pixels.width_px());
    let row_bytes = pixels.width_px() as usize * 3;
    let mut rgb = Vec::with_capacity(columns.len() * size.1 as usize * 3);
    for row in clamped(size.1, offset.1, pixels.height_px()) {
        let row = &pixels.rgb()[row * row_bytes..][..row_bytes];
        rgb.extend(columns.iter().flat_map(|column| &row[column * 3..][..3]));
    }
    Pixels::new(size.0, size.1, rgb)
}

#[cfg(test)]
mod tests;
