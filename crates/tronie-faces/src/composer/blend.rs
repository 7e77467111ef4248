//! Laying one picture's pixels into another without an edge.
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "colours of pictures, and their three channels"
)]

use serde::{Deserialize, Serialize};
use tronie_image::{ImageError, Pixels};

use super::regions::Area;
use super::register::Fit;
use crate::geometry::Transform;
use crate::sample::{Outside, Sampling, sample};

/// Conjugate gradients end when the residual is this share of the first.
const TOLERANCE: f64 = 1e-4;
const MAX_ROUNDS: usize = 4000;

/// How a region comes into the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blending {
    /// The colours of the new pixels bend to those around them, their structure stays: gradient-domain ("Poisson") blending
    /// (Pérez, Gangnet and Blake 2003, "Poisson image editing", seamless cloning).
    #[default]
    Poisson,
    /// Both pictures mixed along a soft edge.
    Feather,
}

impl Blending {
    /// Both with their ids.
    pub const ALL: [(&'static str, Self); 2] = [("poisson", Self::Poisson), ("feather", Self::Feather)];
}

/// The pixels of an area: red, green, blue, 0 to 255, rows from the top.
pub(super) struct Patch {
    pub(super) rgb: Vec<[f32; 3]>,
    /// Of the fit it was read by.
    pub(super) misfit: f64,
}

impl Patch {
    /// What a picture has in an area of the first one, in the first one's light.
    pub(super) fn new(pixels: &Pixels, fit: &Fit, area: &Area) -> Self {
        let base_from_patch = Transform::translation(area.left as f64, area.top as f64);
        let sampling = Sampling {
            width_px: area.width,
            height_px: area.height,
            outside: Outside::Edge,
            points_per_side: 1,
        };
        let mut values = sample(pixels, &fit.version_from_base.after(&base_from_patch), sampling);
        let [gain, offset] = fit.light;
        for value in &mut values {
            *value = (f64::from(*value) * gain + offset) as f32;
        }
        Self { rgb: values.as_chunks::<3>().0.to_vec(), misfit: fit.misfit }
    }

    pub(super) fn at(&self, index: usize) -> [f32; 3] {
        self.rgb.get(index).copied().unwrap_or_default()
    }

    /// The picture with these pixels in the area; its other pixels keep their bytes.
    #[expect(clippy::cast_sign_loss, reason = "clamped to bytes")]
    pub(super) fn laid_into(&self, pixels: &Pixels, area: &Area) -> Result<Pixels, ImageError> {
        let mut bytes = pixels.rgb().to_vec();
        let width = pixels.width_px() as usize;
        for (index, rgb) in self.rgb.iter().enumerate().filter(|&(index, _)| area.is_inside(index)) {
            let place = ((area.top + index / area.width) * width + area.left + index % area.width) * 3;
            if let Some(target) = bytes.get_mut(place..place + 3) {
                target.copy_from_slice(&rgb.map(|value| value.round().clamp(0.0, 255.0) as u8));
            }
        }
        Pixels::new(pixels.width_px(), pixels.height_px(), bytes)
    }
}

/// The pixels of `new` in an area of `old`; outside of it those of `old`.
pub(super) fn blended(old: &Patch, new: &Patch, area: &Area, blending: Blending) -> Patch {
    let difference = match blending {
        Blending::Feather => None,
        Blending::Poisson => Some(membrane(old, new, area)),
    };
    let pixel = |(index, &weight): (usize, &f32)| {
        let (old, new) = (old.at(index), new.at(index));
        std::array::from_fn(|channel| match &difference {
            _ if weight <= 0.0 => old[channel],
            Some(difference) => {
                new[channel] + difference[channel].get(index).copied().unwrap_or_default() as f32
            }
            None => old[channel] + (new[channel] - old[channel]) * weight,
        })
    };
    Patch { rgb: area.weights.iter().enumerate().map(pixel).collect(), misfit: 0.0 }
}

/// What is added to the new pixels: harmonic inside, and the difference of both pictures around the area. Seamless cloning asks for a picture
/// with the new one's Laplacian and the old one's border, which is this sum. Where the picture ends nothing is asked for.
fn membrane(old: &Patch, new: &Patch, area: &Area) -> [Vec<f64>; 3] {
    let inside: Vec<usize> = (0..area.weights.len()).filter(|&index| area.is_inside(index)).collect();
    let mut place = vec![usize::MAX; area.weights.len()];
    for (row, &index) in inside.iter().enumerate() {
        if let Some(slot) = place.get_mut(index) {
            *slot = row;
        }
    }
    let stencil: Vec<Stencil> = inside.iter().map(|&index| Stencil::new(index, area, &place)).collect();
    std::array::from_fn(|channel| {
        let border = |stencil: &Stencil| {
            let known = stencil
                .outside
                .iter()
                .map(|&index| f64::from(old.at(index)[channel] - new.at(index)[channel]));
            known.sum::<f64>()
        };
        let solution = conjugate_gradients(&stencil, stencil.iter().map(border).collect());
        let mut values = vec![0.0; area.weights.len()];
        for (&index, value) in inside.iter().zip(solution) {
            if let Some(slot) = values.get_mut(index) {
                *slot = value;
            }
        }
        values
    })
}

/// A row of the Laplacian: how many neighbours a pixel has, which of them are unknown, and which are outside.
struct Stencil {
    n: f64,
    inside: Vec<usize>,
    outside: Vec<usize>,
}

impl Stencil {
    fn new(index: usize, area: &Area, place: &[usize]) -> Self {
        let mut stencil = Self { n: 0.0, inside: Vec::new(), outside: Vec::new() };
        for neighbour in area.neighbours(index) {
            stencil.n += 1.0;
            match place.get(neighbour) {
                Some(&row) if row != usize::MAX => stencil.inside.push(row),
                _ => stencil.outside.push(neighbour),
            }
        }
        stencil
    }

    fn times(&self, row: usize, x: &[f64]) -> f64 {
        let own = x.get(row).copied().unwrap_or_default();
        let around: f64 = self.inside.iter().filter_map(|&index| x.get(index)).sum();
        self.n * own - around
    }
}

/// Solves the Laplacian with known borders; it is symmetric and positive definite wherever any border is known (Hestenes and Stiefel 1952). From 0.
fn conjugate_gradients(stencil: &[Stencil], right: Vec<f64>) -> Vec<f64> {
    let mut x = vec![0.0; right.len()];
    let mut residual = right;
    let mut direction = residual.clone();
    let mut squares = dot(&residual, &residual);
    let enough = squares * TOLERANCE * TOLERANCE;
    for _ in 0..MAX_ROUNDS {
        if squares <= enough || squares == 0.0 {
            break;
        }
        let image: Vec<f64> =
            stencil.iter().enumerate().map(|(row, line)| line.times(row, &direction)).collect();
        let step = squares / dot(&direction, &image);
        if !step.is_finite() {
            break; // no border is known: any constant would do, and 0 is one
        }
        add(&mut x, step, &direction);
        add(&mut residual, -step, &image);
        let next = dot(&residual, &residual);
        let share = next / squares;
        for (direction, residual) in direction.iter_mut().zip(&residual) {
            *direction = residual + share * *direction;
        }
        squares = next;
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += factor * what;
    }
}
