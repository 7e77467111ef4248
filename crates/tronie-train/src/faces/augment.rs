//! Pictures as cameras, hands and compressors spoil them: moved, badly lit, blurred, covered, noisy.
//!
//! Every choice is a function of a [`Draw`]; strengths are such that a person still sees what the picture shows.

use tronie_faces::geometry::Transform;

use crate::data::Draw;

/// How far a crop may be from where it belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter {
    /// Largest turn to either side, in degrees.
    pub(crate) turn_deg: f64,
    /// Largest shift in each direction, as part of the side.
    pub(crate) shift: f64,
    /// Largest factor on the size of what the crop shows, up and down.
    pub(crate) zoom: f64,
}

/// From a crop to the crop of the same side that it stands for, and whether it is mirrored.
pub(crate) fn jittered(draw: Draw, side_px: usize, jitter: Jitter) -> (Transform, bool) {
    let side = side_px as f64;
    let half = side / 2.0;
    let is_mirrored = draw.happens("mirror", 0.5);
    let turn = draw.between("turn", -jitter.turn_deg, jitter.turn_deg).to_radians();
    let zoom = draw.between("zoom", -jitter.zoom.ln(), jitter.zoom.ln()).exp();
    let shift = |purpose: &str| draw.between(purpose, -jitter.shift, jitter.shift) * side + half;
    let (cos, sin) = (turn.cos() * zoom, turn.sin() * zoom);
    let mirror = if is_mirrored { -1.0 } else { 1.0 };
    let about_center =
        Transform { x: [cos * mirror, -sin, shift("shift x")], y: [sin * mirror, cos, shift("shift y")] };
    (about_center.after(&Transform::translation(-half, -half)), is_mirrored)
}

/// Spoils a square picture of `side_px`: red, green, blue of each pixel, 0 to 255.
pub(crate) fn spoil(rgb: &mut [f32], side_px: usize, draw: Draw) {
    if draw.happens("cover", 0.25) {
        cover(rgb, side_px, draw);
    }
    light(rgb, side_px, draw);
    if draw.happens("blur", 0.3) {
        (0..=draw.below("blurs", 3)).for_each(|_| blur(rgb, side_px));
    }
    if draw.happens("noise", 0.4) {
        let deviation = between(draw, "deviation", 2.0, 16.0);
        let noise = draw.normal("pixels", rgb.len());
        rgb.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise * deviation);
    }
    rgb.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
}

#[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
fn between(draw: Draw, purpose: &str, low: f64, high: f64) -> f32 {
    draw.between(purpose, low, high) as f32
}

/// A rectangle of one color over a part, as a hand, a microphone or a black bar would be.
fn cover(rgb: &mut [f32], side_px: usize, draw: Draw) {
    let side = side_px as f32;
    let part = |purpose: &str, low: f64, high: f64| between(draw, purpose, low, high) * side;
    let (width, height) = (part("cover width", 0.1, 0.45), part("cover height", 0.1, 0.45));
    let (left, top) = (part("cover left", -0.2, 1.0), part("cover top", -0.2, 1.0));
    let color = ["cover red", "cover green", "cover blue"].map(|purpose| between(draw, purpose, 0.0, 255.0));
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    for (y, row) in pixels.chunks_exact_mut(side_px).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (x, y) = (x as f32, y as f32);
            if (left..left + width).contains(&x) && (top..top + height).contains(&y) {
                *pixel = color;
            }
        }
    }
}

/// Exposure, contrast, color of the light, saturation, and light from one side.
fn light(rgb: &mut [f32], side_px: usize, draw: Draw) {
    let mean = rgb.iter().sum::<f32>() / rgb.len().max(1) as f32;
    let contrast = between(draw, "contrast", -0.5, 0.35).exp();
    let shift = between(draw, "brightness", -45.0, 45.0);
    let color = ["red", "green", "blue"].map(|purpose| between(draw, purpose, -0.15, 0.15).exp());
    let is_gray = draw.happens("gray", 0.12);
    let saturation = if is_gray { 0.0 } else { between(draw, "saturation", 0.5, 1.4) };
    let slope = ["across", "down"].map(|purpose| between(draw, purpose, -40.0, 40.0) / side_px as f32);
    let half = side_px as f32 / 2.0;
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    for (y, row) in pixels.chunks_exact_mut(side_px).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let [r, g, b] = *pixel;
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            let side_light = slope[0] * (x as f32 - half) + slope[1] * (y as f32 - half);
            for (value, gain) in pixel.iter_mut().zip(color) {
                let colored = luma + (*value - luma) * saturation;
                *value = ((colored - mean) * contrast + mean) * gain + shift + side_light;
            }
        }
    }
}

/// The binomial filter of three places, across and then down; edge pixels stay.
fn blur(rgb: &mut [f32], side_px: usize) {
    for step in [3, side_px * 3] {
        let before = rgb.to_vec();
        let around = before.iter().zip(before.iter().skip(step)).zip(before.iter().skip(2 * step));
        for (value, ((a, b), c)) in rgb.iter_mut().skip(step).zip(around) {
            *value = (a + 2.0 * b + c) / 4.0;
        }
    }
}
