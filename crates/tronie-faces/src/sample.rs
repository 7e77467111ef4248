//! Parts of pictures at another size and angle, as numbers.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "pixel kernel: every index is clamped to the picture before it is used"
)]

use tronie_image::{ImageError, Pixels};

use crate::geometry::Transform;

/// What lies around a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Black pixels.
    Black,
    /// The nearest pixel of the picture.
    Edge,
    /// The picture mirrored at its edges, edge pixels included.
    Mirror,
}

/// How a crop is read from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Width of the crop.
    pub width_px: usize,
    /// Height of the crop.
    pub height_px: usize,
    /// What lies around the picture.
    pub outside: Outside,
    /// Each pixel of the crop is the mean of `n` by `n` points in it; 1 is plain bilinear interpolation, which is how
    /// face networks are fed, more keep a picture from aliasing when it is reduced.
    pub points_per_side: usize,
}

/// Reads a crop by bilinear interpolation: red, green, blue of each pixel, 0 to 255, rows from the top.
#[must_use]
pub fn sample(pixels: &Pixels, image_from_crop: &Transform, sampling: Sampling) -> Vec<f32> {
    let Sampling { width_px, height_px, outside, points_per_side } = sampling;
    let n = points_per_side.max(1);
    let weight = 1.0 / (n * n) as f32;
    let picture = Picture { pixels, outside };
    let mut crop = Vec::with_capacity(width_px * height_px * 3);
    for row in 0..height_px {
        for column in 0..width_px {
            let mut sum = [0.0; 3];
            for index in 0..n * n {
                let part = |index: usize| (index as f64 + 0.5) / n as f64;
                let (x, y) =
                    image_from_crop.at(column as f64 + part(index % n), row as f64 + part(index / n));
                let color = picture.bilinear(x - 0.5, y - 0.5);
                sum = std::array::from_fn(|channel| sum[channel] + color[channel] * weight);
            }
            crop.extend(sum);
        }
    }
    crop
}

/// [`sample`], rounded to a picture.
///
/// # Errors
/// [`ImageError::WrongLength`] for a crop without pixels.
pub fn crop(pixels: &Pixels, image_from_crop: &Transform, sampling: Sampling) -> Result<Pixels, ImageError> {
    let values = sample(pixels, image_from_crop, sampling);
    let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
    let bytes = values.into_iter().map(|value| value.round() as u8).collect();
    Pixels::new(side(sampling.width_px), side(sampling.height_px), bytes)
}

struct Picture<'a> {
    pixels: &'a Pixels,
    outside: Outside,
}

impl Picture<'_> {
    /// The color at (x, y), where whole numbers are the centers of pixels.
    fn bilinear(&self, x: f64, y: f64) -> [f32; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (right_part, bottom_part) = ((x - left) as f32, (y - top) as f32);
        let (left, top) = (left as i64, top as i64);
        let [a, b] = [self.color(left, top), self.color(left.saturating_add(1), top)];
        let below = top.saturating_add(1);
        let [c, d] = [self.color(left, below), self.color(left.saturating_add(1), below)];
        std::array::from_fn(|channel| {
            let top = a[channel] + (b[channel] - a[channel]) * right_part;
            let bottom = c[channel] + (d[channel] - c[channel]) * right_part;
            top + (bottom - top) * bottom_part
        })
    }

    fn color(&self, x: i64, y: i64) -> [f32; 3] {
        let (width, height) = (i64::from(self.pixels.width_px()), i64::from(self.pixels.height_px()));
        let is_inside = (0..width).contains(&x) && (0..height).contains(&y);
        let (x, y) = match self.outside {
            _ if is_inside => (x, y),
            Outside::Black => return [0.0; 3],
            Outside::Edge => (x.clamp(0, width - 1), y.clamp(0, height - 1)),
            Outside::Mirror => (mirror(x, width), mirror(y, height)),
        };
        let start = (y * width + x) as usize * 3;
        std::array::from_fn(|channel| f32::from(self.pixels.rgb()[start + channel]))
    }
}

/// `... 1 0 | 0 1 2 | 2 1 ...`
fn mirror(position: i64, n: i64) -> i64 {
    let folded = position.rem_euclid(2 * n);
    folded.min(2 * n - 1 - folded)
}

#[cfg(test)]
mod tests;
