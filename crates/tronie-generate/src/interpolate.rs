//! Feature maps at another size: PyTorch's `interpolate` with `align_corners = False`.

use tronie_tensor::{Device, Tensor, TensorData};

/// How values between places are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpolation {
    /// The value of the place that begins there: PyTorch's `nearest`.
    Nearest,
    /// The value of the place whose middle is nearest: `nearest-exact`.
    NearestExact,
    /// A triangle over the two nearest.
    Bilinear,
    /// The same, as wide as a place of the smaller map.
    BilinearAntialiased,
    /// Keys's cubic with a = -0.75 over the four nearest.
    Bicubic,
    /// The same with a = -0.5, as wide as a place of the smaller map.
    BicubicAntialiased,
}

/// Keys 1981, "Cubic convolution interpolation", eq. 15, for any a.
fn cubic(distance: f64, a: f64) -> f64 {
    let d = distance.abs();
    match d {
        d if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        d if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        _ => 0.0,
    }
}

fn triangle(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

impl Interpolation {
    /// (first, last) place and weights of what a place of the new map is made of.
    fn weights(self, at: usize, n_from: usize, n_to: usize) -> Vec<(usize, f64)> {
        let scale = n_from as f64 / n_to as f64;
        let centre = (at as f64 + 0.5) * scale - 0.5;
        let last = n_from.saturating_sub(1);
        match self {
            Self::Nearest => vec![(whole(at as f64 * scale).min(last), 1.0)],
            Self::NearestExact => vec![(whole((at as f64 + 0.5) * scale).min(last), 1.0)],
            // Places outside repeat the edge.
            Self::Bilinear => taps(centre.max(0.0), 1, last, triangle),
            Self::Bicubic => taps(centre, 2, last, |distance| cubic(distance, -0.75)),
            // Places outside are left out, and the rest weighs more.
            Self::BilinearAntialiased => wide_taps(centre, scale.max(1.0), (1.0, last), triangle),
            Self::BicubicAntialiased => {
                wide_taps(centre, scale.max(1.0), (2.0, last), |distance| cubic(distance, -0.5))
            }
        }
    }
}

/// Towards zero.
fn whole(place: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a map")]
    let place = place.max(0.0) as usize;
    place
}

/// `reach` places on each side of `centre`, clamped to the map.
fn taps(centre: f64, reach: usize, last: usize, kernel: impl Fn(f64) -> f64) -> Vec<(usize, f64)> {
    let first = centre.floor() - (reach as f64 - 1.0);
    let places = (0..2 * reach).map(|offset| first + offset as f64);
    places.map(|place| (whole(place).min(last), kernel(place - centre))).collect()
}

/// All places within `reach` times `width` of `centre`, weights summing to 1.
fn wide_taps(
    centre: f64,
    width: f64,
    (reach, last): (f64, usize),
    kernel: impl Fn(f64) -> f64,
) -> Vec<(usize, f64)> {
    let first = whole((centre - reach * width).ceil());
    let end = whole((centre + reach * width).floor()).min(last);
    let rows = (first..=end).map(|place| (place, kernel((place as f64 - centre) / width)));
    let rows: Vec<(usize, f64)> = rows.collect();
    let sum: f64 = rows.iter().map(|row| row.1).sum();
    rows.into_iter().map(|(place, weight)| (place, weight / sum)).collect()
}

/// The map at another size; the same values where the size is the same.
///
/// # Shapes
/// `x`: b c h w. Returns b c and `size`.
pub(crate) fn resized(x: &Tensor<4>, size: [usize; 2], way: Interpolation) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    if [h, w] == size {
        return x.clone();
    }
    let rows = matrix(h, size[0], way, &x.device()); // h' h
    let columns = matrix(w, size[1], way, &x.device()).swap_dims(2, 3); // w w'
    rows.matmul(x.clone()).matmul(columns)
}

/// 1 1 `n_to` `n_from`: what each place of the new side is made of.
fn matrix(n_from: usize, n_to: usize, way: Interpolation, device: &Device) -> Tensor<4> {
    let mut values = vec![0.0_f32; n_from * n_to];
    for at in 0..n_to {
        for (place, weight) in way.weights(at, n_from, n_to) {
            if let Some(value) = values.get_mut(at * n_from + place) {
                #[expect(clippy::cast_possible_truncation, reason = "weights are about 1")]
                let weight = weight as f32;
                *value += weight;
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [1, 1, n_to, n_from]), device)
}

#[cfg(test)]
mod tests;
