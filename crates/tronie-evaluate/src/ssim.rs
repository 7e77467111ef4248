//! Structural similarity of pictures.
//!
//! Wang et al. 2004 (doi:10.1109/TIP.2003.819861), equation 13, with K1 = 0.01, K2 = 0.03 and a range of 255, over all windows that lie
//! fully inside, as `structural_similarity` of scikit-image 0.26 computes it.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "pixel kernel: every place is clamped into its picture, every value is at most 255 times a weight"
)]

use serde::Serialize;
use tronie_base::Progress;
use tronie_image::Pixels;

use crate::EvaluateError;

const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
/// Side that the coursework resizes to.
const COURSEWORK_PX: usize = 256;

/// How pictures are prepared and windows weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SsimSettings {
    /// Those of the paper: a Gaussian window of deviation 1.5 (11x11), weights that add up to 1; pictures at their own size.
    Standard,
    /// Those of dennis-fast/LFI_StableDiffusion at 7a4cce06: pictures squeezed to 256x256 by OpenCV's bilinear rule, a uniform 7x7
    /// window with covariances over n - 1, values rounded to two decimals before they are averaged.
    Coursework,
}

impl SsimSettings {
    /// Both with their ids.
    pub const ALL: [(&'static str, Self); 2] =
        [("standard", Self::Standard), ("coursework", Self::Coursework)];

    /// Weights of the window along one side.
    fn window(self) -> Vec<f64> {
        match self {
            Self::Coursework => vec![1.0 / 7.0; 7],
            Self::Standard => {
                let weight = |offset: i32| (-f64::from(offset * offset) / (2.0 * 1.5 * 1.5)).exp();
                let total: f64 = (-5..=5).map(weight).sum();
                (-5..=5).map(|offset| weight(offset) / total).collect()
            }
        }
    }

    /// What a mean of squares is multiplied with to make a covariance.
    fn covariance_scale(self) -> f64 {
        match self {
            Self::Coursework => 49.0 / 48.0,
            Self::Standard => 1.0,
        }
    }
}

/// Grey levels of a picture.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

/// Similarities of all pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SsimMatrix {
    /// How they were computed.
    pub settings: SsimSettings,
    /// The pictures.
    pub names: Vec<String>,
    /// Rows of similarities, -1 to 1; 1 on the diagonal.
    pub values: Vec<Vec<f64>>,
    /// Mean of all pairs of different pictures.
    pub mean: f64,
}

/// Structural similarity of two pictures, -1 to 1.
///
/// # Errors
/// [`EvaluateError::OtherSize`], [`EvaluateError::TooSmall`].
pub fn ssim(a: &Pixels, b: &Pixels, settings: SsimSettings) -> Result<f64, EvaluateError> {
    let (a, b) = (prepared(a, settings), prepared(b, settings));
    similarity(&a, &b, settings)
}

/// Similarities of all pairs of pictures.
///
/// # Errors
/// [`EvaluateError`] for pictures of different sizes, and for a stop.
pub fn ssim_matrix(
    pictures: &[(String, Pixels)],
    settings: SsimSettings,
    progress: &mut dyn Progress,
) -> Result<SsimMatrix, EvaluateError> {
    let planes: Vec<Plane> = pictures.iter().map(|(_, pixels)| prepared(pixels, settings)).collect();
    let n = planes.len();
    let mut values = vec![vec![1.0; n]; n];
    let (mut sum, mut n_pairs) = (0.0, 0_usize);
    progress.begin("comparing pictures", (n * n.saturating_sub(1) / 2) as u64);
    for row in 0..n {
        for column in 0..row {
            progress.check()?;
            let exact = similarity(&planes[row], &planes[column], settings)?;
            let value = match settings {
                SsimSettings::Standard => exact,
                SsimSettings::Coursework => (exact * 100.0).round() / 100.0,
            };
            (values[row][column], values[column][row]) = (value, value);
            (sum, n_pairs) = (sum + value, n_pairs + 1);
            progress.advance(1);
        }
    }
    let names = pictures.iter().map(|(name, _)| name.clone()).collect();
    Ok(SsimMatrix { settings, names, values, mean: sum / n_pairs.max(1) as f64 })
}

fn prepared(pixels: &Pixels, settings: SsimSettings) -> Plane {
    let (width, height) = (pixels.width_px() as usize, pixels.height_px() as usize);
    match settings {
        SsimSettings::Standard => grey(pixels.rgb(), width, height),
        SsimSettings::Coursework => {
            grey(&squeezed(pixels.rgb(), (width, height), COURSEWORK_PX), COURSEWORK_PX, COURSEWORK_PX)
        }
    }
}

/// The grey of OpenCV's `COLOR_BGR2GRAY`: weights of ITU-R BT.601 in 1/32768, rounded (`RGB2Gray` in
/// modules/imgproc/src/color_rgb.simd.hpp of OpenCV 4 and 5).
fn grey(rgb: &[u8], width: usize, height: usize) -> Plane {
    let level = |pixel: &[u8; 3]| {
        let [r, g, b] = pixel.map(u32::from);
        f64::from((9_798 * r + 19_235 * g + 3_735 * b + 16_384) >> 15)
    };
    Plane { width, height, values: rgb.as_chunks().0.iter().map(level).collect() }
}

/// OpenCV's `resize` with `INTER_LINEAR` for bytes: weights of 11 bits, one rounding after each direction (`HResizeLinear` and
/// `VResizeLinear` in modules/imgproc/src/resize.cpp).
fn squeezed(rgb: &[u8], (width, height): (usize, usize), side: usize) -> Vec<u8> {
    let columns: Vec<Tap> = (0..side).map(|to| tap(to, width, side)).collect();
    let across = |row: usize, tap: &Tap, channel: usize| {
        let at = |column: usize| i64::from(rgb[(row * width + column) * 3 + channel]);
        at(tap.first) * tap.weights[0] + at(tap.second) * tap.weights[1]
    };
    let mut squeezed = Vec::with_capacity(side * side * 3);
    for row in 0..side {
        let down = tap(row, height, side);
        for column in &columns {
            for channel in 0..3 {
                let part = |row, weight: i64| (weight * (across(row, column, channel) >> 4)) >> 16;
                let sum = part(down.first, down.weights[0]) + part(down.second, down.weights[1]);
                squeezed.push(((sum + 2) >> 2).clamp(0, 255) as u8);
            }
        }
    }
    squeezed
}

/// The two places that a new one is made of, and their weights in 1/2048.
struct Tap {
    first: usize,
    second: usize,
    weights: [i64; 2],
}

fn tap(to: usize, from_side: usize, to_side: usize) -> Tap {
    let place = ((to as f64 + 0.5) * (from_side as f64 / to_side as f64) - 0.5) as f32;
    let share = place - place.floor();
    // Beyond the edges both places are the edge; its two parts are still rounded one by one.
    let inside = |index: isize| index.clamp(0, from_side as isize - 1) as usize;
    let first = place.floor() as isize;
    let weight = |share: f32| f64::from(share * 2048.0).round_ties_even() as i64;
    Tap { first: inside(first), second: inside(first + 1), weights: [weight(1.0 - share), weight(share)] }
}

fn similarity(a: &Plane, b: &Plane, settings: SsimSettings) -> Result<f64, EvaluateError> {
    let size = |plane: &Plane| format!("{}x{}", plane.width, plane.height);
    if (a.width, a.height) != (b.width, b.height) {
        return Err(EvaluateError::OtherSize { found: size(a), expected: size(b) });
    }
    let window = settings.window();
    if a.width.min(a.height) < window.len() {
        return Err(EvaluateError::TooSmall {
            width_px: a.width,
            height_px: a.height,
            side_px: window.len(),
        });
    }
    let mean_of = |value: &dyn Fn(usize) -> f64| {
        let values = (0..a.values.len()).map(value).collect();
        averaged(&Plane { values, ..*a }, &window)
    };
    let (mean_a, mean_b) = (averaged(a, &window), averaged(b, &window));
    let square_a = mean_of(&|index| a.values[index] * a.values[index]);
    let square_b = mean_of(&|index| b.values[index] * b.values[index]);
    let product = mean_of(&|index| a.values[index] * b.values[index]);
    let scale = settings.covariance_scale();
    let sum: f64 = (0..mean_a.len())
        .map(|index| {
            let (a, b) = (mean_a[index], mean_b[index]);
            let (var_a, var_b) = (scale * (square_a[index] - a * a), scale * (square_b[index] - b * b));
            let covariance = scale * (product[index] - a * b);
            (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (var_a + var_b + C2))
        })
        .sum();
    Ok(sum / mean_a.len() as f64)
}

/// Weighted means of all windows that lie fully inside, rows from the top.
fn averaged(plane: &Plane, window: &[f64]) -> Vec<f64> {
    let (width, height) = (plane.width - window.len() + 1, plane.height - window.len() + 1);
    let mut across = Vec::with_capacity(width * plane.height);
    for row in plane.values.chunks_exact(plane.width) {
        across.extend(row.windows(window.len()).map(|part| dot(part, window)));
    }
    let mut means = vec![0.0; width * height];
    for (offset, weight) in window.iter().enumerate() {
        for (mean, value) in means.iter_mut().zip(&across[offset * width..]) {
            *mean += weight * value;
        }
    }
    means
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;
