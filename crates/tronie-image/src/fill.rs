//! What to put where something is to be painted anew: the colours around it, flowing in.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixel kernel; means of bytes, and radii of some hundred pixels"
)]

use image::Rgba32FImage;
use image::imageops::fast_blur;

use crate::{ImageError, Mask, Pixels};

/// (radius in pixels, how often the blurred picture is laid on): from the far surroundings to the edge. A1111's `fill`.
const ROUNDS: [(f32, usize); 6] = [(256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2), (0.0, 1)];

/// The picture with everything the mask does not leave outside replaced by a blur of the rest; the picture itself where all
/// is inside.
///
/// The rest is blurred at falling radii, each laid on the one before by how much of it there is at a pixel. The reference
/// blurs with PIL's box filters, this does with another three, so single bytes may differ.
///
/// # Errors
/// [`ImageError::SizesDiffer`].
pub fn fill_masked(pixels: &Pixels, mask: &Mask) -> Result<Pixels, ImageError> {
    let found = (mask.width_px(), mask.height_px());
    if found != pixels.size_px() {
        return Err(ImageError::SizesDiffer { found, expected: pixels.size_px() });
    }
    if mask.values().iter().all(|&value| value == u8::MAX) {
        return Ok(pixels.clone());
    }
    let rest = outside(pixels, mask);
    let mut filled = Rgba32FImage::new(found.0, found.1); // all transparent
    for (radius, times) in ROUNDS {
        let blurred = if radius > 0.0 { fast_blur(&rest, radius) } else { rest.clone() };
        for _ in 0..times {
            for (below, above) in filled.pixels_mut().zip(blurred.pixels()) {
                let share = 1.0 - above.0[3].clamp(0.0, 1.0);
                for (below, above) in below.0.iter_mut().zip(above.0) {
                    *below = above + *below * share;
                }
            }
        }
    }
    let byte = |value: f32, alpha: f32| (value / alpha.max(f32::MIN_POSITIVE) * 255.0).round() as u8;
    let rgb = filled.pixels().flat_map(|pixel| {
        let [r, g, b, alpha] = pixel.0;
        [byte(r, alpha), byte(g, alpha), byte(b, alpha)]
    });
    Pixels::new(found.0, found.1, rgb.collect())
}

/// The picture with its colours weighted by how far a pixel is outside, 0 to 1; that weight is alpha.
fn outside(pixels: &Pixels, mask: &Mask) -> Rgba32FImage {
    let mut rest = Rgba32FImage::new(pixels.width_px(), pixels.height_px());
    let (rgb, _) = pixels.rgb().as_chunks::<3>();
    for ((to, from), &inside) in rest.pixels_mut().zip(rgb).zip(mask.values()) {
        let alpha = f32::from(255 - inside) / 255.0;
        let [r, g, b] = from.map(|byte| f32::from(byte) / 255.0 * alpha);
        to.0 = [r, g, b, alpha];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Margins, extend};

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> Pixels {
        Pixels::new(width, height, colour.repeat((width * height) as usize)).unwrap()
    }

    #[test]
    fn one_colour_flows_in_unchanged_and_the_outside_stays() {
        let margins = Margins { left: 40, top: 0, right: 8, bottom: 24 };
        let picture = plain(16, 40, [200, 90, 30]);
        let mask = Mask::of_margins((16, 40), margins, None);
        let black = plain(64, 64, [0, 0, 0]);
        let given = crate::composite(&extend(&picture, margins).unwrap(), &black, &mask).unwrap();
        let filled = fill_masked(&given, &mask).unwrap();
        let worst =
            filled.rgb().iter().zip([200, 90, 30].iter().cycle()).map(|(a, b): (&u8, &u8)| a.abs_diff(*b));
        assert!(worst.max().unwrap() <= 1, "no black is left");
    }

    #[test]
    fn a_picture_that_is_all_inside_stays() {
        let picture = plain(8, 8, [1, 2, 3]);
        let mask = Mask::of_light(&plain(8, 8, [255; 3]));
        assert_eq!(fill_masked(&picture, &mask).unwrap(), picture);
    }
}
