//! Masks: which part of a picture is meant, and how strongly.
#![expect(clippy::indexing_slicing, reason = "pixel kernel; every row and column is clamped into the mask")]

use crate::pixels::blend;
use crate::{Fit, ImageError, Margins, Pixels, Rect, crop, fit};

/// A grey picture: 0 is outside, 255 inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    width_px: u32,
    height_px: u32,
    values: Vec<u8>,
}

/// Grey above this is inside, as in A1111's `create_binary_mask`.
const THRESHOLD: u8 = 128;

impl Mask {
    /// The light parts of a picture are inside, the dark parts outside; there is nothing between.
    ///
    /// Grey is that of ITU-R BT.601 with weights in 1/65536, as PIL converts to "L".
    #[must_use]
    pub fn of_light(pixels: &Pixels) -> Self {
        let grey = |rgb: &[u8; 3]| {
            let [r, g, b] = rgb.map(u32::from);
            (19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16
        };
        let (pixels_of_3, _) = pixels.rgb().as_chunks::<3>();
        let is_inside = pixels_of_3.iter().map(|rgb| grey(rgb) > u32::from(THRESHOLD));
        let values = is_inside.map(|is_inside| if is_inside { u8::MAX } else { 0 }).collect();
        Self { width_px: pixels.width_px(), height_px: pixels.height_px(), values }
    }

    /// The mask of what [`crate::extend`] added around a picture, and of `inside`, a mask of the picture itself.
    #[must_use]
    pub fn of_margins(size_px: (u32, u32), margins: Margins, inside: Option<&Self>) -> Self {
        let Margins { left, top, right, bottom } = margins;
        let (width_px, height_px) = (left + size_px.0 + right, top + size_px.1 + bottom);
        let value = |x: u32, y: u32| {
            let (column, row) = (x.wrapping_sub(left), y.wrapping_sub(top));
            if column < size_px.0 && row < size_px.1 {
                return inside.map_or(0, |mask| mask.values[(row * size_px.0 + column) as usize]);
            }
            u8::MAX
        };
        let values = (0..height_px).flat_map(|y| (0..width_px).map(move |x| value(x, y))).collect();
        Self { width_px, height_px, values }
    }

    /// Number of columns.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Number of rows.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// The values, rows from the top.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Inside and outside exchanged.
    #[must_use]
    pub fn inverted(&self) -> Self {
        self.mapped(|value| 255 - value)
    }

    /// Twice as strong, so that the middle of a blurred edge is all inside.
    #[must_use]
    pub fn doubled(&self) -> Self {
        self.mapped(|value| value.saturating_mul(2))
    }

    fn mapped(&self, map: impl Fn(u8) -> u8) -> Self {
        Self { values: self.values.iter().map(|&value| map(value)).collect(), ..*self }
    }

    /// The smallest rectangle that holds everything not outside; `None` when all is outside.
    #[must_use]
    pub fn bounds(&self) -> Option<Rect> {
        let inside = self.values.iter().zip(0_u32..).filter(|(value, _)| **value > 0);
        let places = inside.map(|(_, index)| (index % self.width_px, index / self.width_px));
        let ends = places.fold(None, |ends: Option<[u32; 4]>, (x, y)| {
            let [left, top, right, bottom] = ends.unwrap_or([x, y, x, y]);
            Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
        });
        let rect = |[left, top, right, bottom]: [u32; 4]| Rect {
            left,
            top,
            width: right - left + 1,
            height: bottom - top + 1,
        };
        ends.map(rect)
    }

    /// Edges softened by a Gaussian of this standard deviation, columns before rows; 0 changes nothing.
    ///
    /// A1111's call of OpenCV: a kernel of `2 int(2.5 sigma + 0.5) + 1`, the picture mirrored at its edges, and whole
    /// numbers between the two passes.
    #[must_use]
    pub fn blurred(&self, sigma_px: f64) -> Self {
        if sigma_px <= 0.0 {
            return self.clone();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some pixels wide")]
        let reach = (2.5 * sigma_px + 0.5) as usize;
        let weight = |offset: usize| (-((offset * offset) as f64) / (2.0 * sigma_px * sigma_px)).exp();
        let one_side: Vec<f64> = (0..=reach).map(weight).collect();
        let sum = 2.0 * one_side.iter().sum::<f64>() - 1.0;
        let kernel: Vec<f64> = one_side.iter().map(|weight| weight / sum).collect();
        let (width, height) = (self.width_px as usize, self.height_px as usize);
        let across = convolved(&self.values, (width, 1), (height, width), &kernel);
        let values = convolved(&across, (height, width), (width, 1), &kernel);
        Self { values, ..*self }
    }

    /// The mask at another size, as [`fit`](fit()) does it with pictures.
    ///
    /// # Errors
    /// [`ImageError::WrongLength`] when a side is zero.
    pub fn fitted(&self, width_px: u32, height_px: u32, way: Fit) -> Result<Self, ImageError> {
        Ok(Self::of_grey(&fit(&self.to_pixels()?, width_px, height_px, way)?))
    }

    /// A part of the mask.
    ///
    /// # Errors
    /// [`ImageError::Outside`] when it is not one.
    pub fn cropped(&self, rect: Rect) -> Result<Self, ImageError> {
        Ok(Self::of_grey(&crop(&self.to_pixels()?, rect)?))
    }

    fn to_pixels(&self) -> Result<Pixels, ImageError> {
        let rgb = self.values.iter().flat_map(|&value| [value; 3]).collect();
        Pixels::new(self.width_px, self.height_px, rgb)
    }

    fn of_grey(pixels: &Pixels) -> Self {
        let values = pixels.rgb().iter().step_by(3).copied().collect();
        Self { width_px: pixels.width_px(), height_px: pixels.height_px(), values }
    }
}

// A failing comparison must not print a million numbers.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({}x{})", self.width_px, self.height_px)
    }
}

/// `values` convolved along lines of `n` values `step` apart, of which there are `lines.0` beginning `lines.1` apart. `kernel` is
/// one side of a symmetric one, its middle first.
fn convolved(values: &[u8], (n, step): (usize, usize), lines: (usize, usize), kernel: &[f64]) -> Vec<u8> {
    let mirrored = |at: isize| -> usize {
        // ...2 1 0 1 2...n-2 n-1 n-2...
        let period = 2 * (n.cast_signed() - 1).max(1);
        let at = at.rem_euclid(period);
        let at = at.min(period - at);
        usize::try_from(at).unwrap_or(0).min(n - 1)
    };
    let mut out = values.to_vec();
    for line in 0..lines.0 {
        let value = |at: isize| f64::from(values[line * lines.1 + mirrored(at) * step]);
        for at in 0..n {
            let here = at.cast_signed();
            let pairs = kernel.iter().zip(0_isize..).skip(1);
            let around = pairs.map(|(weight, offset)| weight * (value(here - offset) + value(here + offset)));
            let sum = kernel[0] * value(here) + around.sum::<f64>();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of bytes")]
            let rounded = sum.round() as u8;
            out[line * lines.1 + at * step] = rounded;
        }
    }
    out
}

/// `above` where the mask is inside, `below` where it is outside, and between them in its measure. Where the mask is 0 the
/// bytes are those of `below`.
///
/// # Errors
/// [`ImageError::SizesDiffer`].
pub fn composite(below: &Pixels, above: &Pixels, mask: &Mask) -> Result<Pixels, ImageError> {
    let expected = below.size_px();
    for found in [above.size_px(), (mask.width_px, mask.height_px)] {
        if found != expected {
            return Err(ImageError::SizesDiffer { found, expected });
        }
    }
    let (of_below, of_above) = (below.rgb().as_chunks::<3>().0, above.rgb().as_chunks::<3>().0);
    let pairs = of_below.iter().zip(of_above).zip(&mask.values);
    let rgb = pairs.flat_map(|((&below, &above), &alpha)| blend(above, below, alpha));
    Pixels::new(expected.0, expected.1, rgb.collect())
}

#[cfg(test)]
mod tests;
