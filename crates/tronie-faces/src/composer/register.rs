//! Bringing one version of a face onto another more exactly than landmarks can.
//!
//! Landmarks are off by a pixel or three, and eyes of two versions laid over each other show it. From there on light decides: the similarity, gain
//! and offset that make the rest of the face alike, by Gauss and Newton on squared differences (Baker and Matthews 2004, "Lucas-Kanade 20 years
//! on", forward additive), coarse to fine, with Tukey's weights so that what differs, such as a defect elsewhere, does not count.

use tronie_image::Pixels;

use super::regions::Area;
use crate::geometry::{Rect, Transform};
use crate::sample::{Outside, Sampling, sample};
use crate::solve::positive_definite;

/// Sides of the grids that the face is looked at with, coarse to fine.
const SIDES_PX: [usize; 3] = [32, 64, 128];
const ROUNDS: usize = 12;
/// A, b, shift by x and y, gain, offset.
const N: usize = 6;
/// Differences beyond this many deviations do not count (Tukey's biweight; 95 % efficient for normal noise).
const TUKEY: f64 = 4.685;
/// Median absolute deviation to standard deviation, for normal noise.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// Smallest deviation, in grey levels: rounding alone makes differences of half a level.
const MIN_DEVIATION: f64 = 0.5;
/// A fit that moves the face by more than this share of its side has lost it.
const MAX_MOVE: f64 = 0.08;

/// How a version lies on the first one, and how its light differs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) version_from_base: Transform,
    /// What its values are multiplied by, and what is added then.
    pub(super) light: [f64; 2],
    /// Deviation of what is left of the differences, in grey levels.
    pub(super) misfit: f64,
}

impl From<Transform> for Fit {
    fn from(version_from_base: Transform) -> Self {
        Self { version_from_base, light: [1.0, 0.0], misfit: 0.0 }
    }
}

/// A better fit than `version_from_base`, to everything of the face but an area; that one, with an infinite misfit, where light
/// finds none.
pub(super) fn refined(
    [base, version]: [&Pixels; 2],
    face: &Rect,
    area: &Area,
    version_from_base: &Transform,
) -> Fit {
    let mut found = *version_from_base;
    let mut last = None;
    for side in SIDES_PX {
        let Some(view) = View::new(base, face, area, side) else { return Fit::from(*version_from_base) };
        for _ in 0..ROUNDS {
            let Some(step) = view.step(version, &found) else { break };
            found = found.after(&view.in_base(&step));
            if step.iter().take(4).all(|part| part.abs() < 1e-4) {
                break;
            }
        }
        last = view.rest(&luma(version, &found.after(&view.base_from_grid), side));
    }
    let side = f64::from(face.width().max(face.height()));
    let moved = |x: f32, y: f32| {
        let (a, b) = (found.at(f64::from(x), f64::from(y)), version_from_base.at(f64::from(x), f64::from(y)));
        (a.0 - b.0).hypot(a.1 - b.1)
    };
    let corners =
        [(face.left, face.top), (face.right, face.top), (face.left, face.bottom), (face.right, face.bottom)];
    let is_near = corners.iter().all(|&(x, y)| moved(x, y) <= MAX_MOVE * side);
    match last {
        Some((light, misfit)) if is_near => Fit { version_from_base: found, light, misfit },
        _ => Fit { misfit: f64::INFINITY, ..Fit::from(*version_from_base) },
    }
}

/// The face of the first version on a grid.
struct View {
    side: usize,
    base_from_grid: Transform,
    grid_from_base: Transform,
    luma: Vec<f64>,
    /// Whether each place of the grid counts: inside its border, outside the area.
    counts: Vec<bool>,
}

impl View {
    fn new(base: &Pixels, face: &Rect, area: &Area, side: usize) -> Option<Self> {
        let base_from_grid = face.square(1.0).image_from_crop(side, side);
        let grid_from_base = base_from_grid.inverse()?;
        let counts = |index: usize| {
            let (column, row) = (index % side, index / side);
            let is_inner = (1..side - 1).contains(&column) && (1..side - 1).contains(&row);
            let (x, y) = base_from_grid.at(column as f64 + 0.5, row as f64 + 0.5);
            is_inner && !area.covers(x, y)
        };
        let counts = (0..side * side).map(counts).collect();
        let luma = luma(base, &base_from_grid, side);
        Some(Self { side, base_from_grid, grid_from_base, luma, counts })
    }

    /// One step of Gauss and Newton: what is added to the identity in the grid, from its middle, and to gain and offset.
    fn step(&self, version: &Pixels, version_from_base: &Transform) -> Option<[f64; N]> {
        let seen = luma(version, &version_from_base.after(&self.base_from_grid), self.side);
        let (light, deviation) = self.rest(&seen)?;
        let mut matrix = vec![vec![0.0; N]; N];
        let mut right = vec![0.0; N];
        for index in self.places() {
            let difference = self.difference(index, &seen, light)?;
            let weight = tukey(difference / (TUKEY * deviation));
            let row = self.row(index, &seen, light[0])?;
            for (line, (target, a)) in matrix.iter_mut().zip(right.iter_mut().zip(row)) {
                *target += weight * a * difference;
                for (sum, b) in line.iter_mut().zip(row) {
                    *sum += weight * a * b;
                }
            }
        }
        for (index, line) in matrix.iter_mut().enumerate() {
            if let Some(diagonal) = line.get_mut(index) {
                *diagonal += 1e-6 * (1.0 + *diagonal);
            }
        }
        let solution: [f64; N] = positive_definite(matrix, right).try_into().ok()?;
        solution.iter().all(|part| part.is_finite()).then_some(solution)
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.luma.len()).filter(|&index| self.counts.get(index) == Some(&true))
    }

    fn difference(&self, index: usize, seen: &[f64], [gain, offset]: [f64; 2]) -> Option<f64> {
        Some(self.luma.get(index)? - gain * seen.get(index)? - offset)
    }

    /// The light in which what is seen is most alike, and the deviation of the differences that are left.
    fn rest(&self, seen: &[f64]) -> Option<([f64; 2], f64)> {
        let light = self.light(seen)?;
        let mut sizes: Vec<f64> =
            self.places().filter_map(|index| self.difference(index, seen, light)).map(f64::abs).collect();
        sizes.sort_by(f64::total_cmp);
        Some((light, (sizes.get(sizes.len() / 2)? * MAD_TO_DEVIATION).max(MIN_DEVIATION)))
    }

    /// Derivatives of what is seen at a place by the six numbers.
    fn row(&self, index: usize, seen: &[f64], gain: f64) -> Option<[f64; N]> {
        let at = |index: usize| seen.get(index).copied();
        let by_x = gain * (at(index + 1)? - at(index.checked_sub(1)?)?) / 2.0;
        let by_y = gain * (at(index + self.side)? - at(index.checked_sub(self.side)?)?) / 2.0;
        let middle = self.side as f64 / 2.0;
        let (x, y) = ((index % self.side) as f64 + 0.5 - middle, (index / self.side) as f64 + 0.5 - middle);
        Some([by_x * x + by_y * y, by_y * x - by_x * y, by_x, by_y, at(index)?, 1.0])
    }

    /// Gain and offset that make what is seen most alike, by least squares.
    fn light(&self, seen: &[f64]) -> Option<[f64; 2]> {
        let pairs = seen.iter().zip(&self.luma).zip(&self.counts).filter(|(_, counts)| **counts);
        let pairs: Vec<(f64, f64)> = pairs.map(|((&seen, &luma), _)| (seen, luma)).collect();
        let n = pairs.len() as f64;
        let mean = |values: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(values).sum::<f64>() / n;
        let (from, to) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
        let variance = mean(&|pair| (pair.0 - from).powi(2));
        let gain = mean(&|pair| (pair.0 - from) * (pair.1 - to)) / variance;
        (variance > 0.0 && gain > 0.0).then_some([gain, to - gain * from])
    }

    /// A step as a transform of the first version's picture.
    fn in_base(&self, &[a, b, x, y, ..]: &[f64; N]) -> Transform {
        let middle = self.side as f64 / 2.0;
        let turn = Transform { x: [1.0 + a, -b, x], y: [b, 1.0 + a, y] };
        let around = Transform::translation(middle, middle)
            .after(&turn)
            .after(&Transform::translation(-middle, -middle));
        self.base_from_grid.after(&around).after(&self.grid_from_base)
    }
}

/// 1 for no difference, 0 from 1 on.
fn tukey(share: f64) -> f64 {
    if share.abs() < 1.0 { (1.0 - share * share).powi(2) } else { 0.0 }
}

fn luma(pixels: &Pixels, image_from_grid: &Transform, side: usize) -> Vec<f64> {
    // Larger pictures are averaged down: skipped pixels would move edges.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let points_per_side = image_from_grid.scale().ceil().clamp(1.0, 8.0) as usize;
    let sampling = Sampling { width_px: side, height_px: side, outside: Outside::Edge, points_per_side };
    let values = sample(pixels, image_from_grid, sampling);
    let (pixels, _) = values.as_chunks::<3>();
    pixels.iter().map(|[r, g, b]| f64::from(0.299 * r + 0.587 * g + 0.114 * b)).collect()
}
