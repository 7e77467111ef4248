//! Any convolution as a matrix product, and its gradients: patches are gathered into rows, the weight is used as the
//! checkpoint stores it.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a bound computed a few lines above"
)]

use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

use super::ConvGeometry;
use super::conv::Shape;
use super::gemm::{Matrix, multiply};

/// Numbers of gathered patches that may exist at once, 32 MB.
const MAX_GATHERED: usize = 8 << 20;
/// Output pixels of one task while gathering.
const GATHER_PIXELS: usize = 64;

impl Shape {
    /// Output pixels whose patches are gathered at once.
    fn pixels_at_once(&self) -> usize {
        (MAX_GATHERED / self.patch()).max(GATHER_PIXELS)
    }
}

/// Convolution of `x` (b h w c_in) with `weight` (c_out c_in k k) and `bias` (c_out or empty). Returns b h' w' c_out.
pub(super) fn conv(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) -> Vec<f32> {
    let (out_h, out_w) = shape.out_size();
    let (n_pixels, patch, c_out) = (shape.batch * out_h * out_w, shape.patch(), shape.c_out);
    let mut out = vec![0.0; n_pixels * c_out];
    let weight = Matrix::transposed(weight, patch, c_out);
    let mut gathered = Vec::new();
    for (piece, out) in out.chunks_mut(shape.pixels_at_once() * c_out).enumerate() {
        let n_pixels = out.len() / c_out;
        let patches = gather_all(x, &mut gathered, (piece * shape.pixels_at_once(), n_pixels), shape);
        multiply(out, Matrix::row_major(patches, n_pixels, patch), weight, false, Parallelism::Rayon(0));
        if !bias.is_empty() {
            out.chunks_exact_mut(c_out)
                .for_each(|out| out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias));
        }
    }
    out
}

/// Gradient of the weight (c_out c_in k k) from that of the output (b h' w' c_out): the patches of `x`, weighed.
pub(super) fn grad_weight(grad: &[f32], x: &[f32], shape: Shape) -> Vec<f32> {
    let (patch, c_out) = (shape.patch(), shape.c_out);
    let mut out = vec![0.0; c_out * patch];
    let mut gathered = Vec::new();
    for (piece, grad) in grad.chunks(shape.pixels_at_once() * c_out).enumerate() {
        let n_pixels = grad.len() / c_out;
        let patches = gather_all(x, &mut gathered, (piece * shape.pixels_at_once(), n_pixels), shape);
        let grad = Matrix::transposed(grad, c_out, n_pixels);
        multiply(&mut out, grad, Matrix::row_major(patches, n_pixels, patch), true, Parallelism::Rayon(0));
    }
    out
}

/// Gradient of the input (b h w c_in) from that of the output (b h' w' c_out): every pixel of the input collects from
/// the patches it is in. `weight`: c_out c_in k k.
pub(super) fn grad_x(grad: &[f32], weight: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { batch, h, w, c_in, c_out, .. } = shape;
    let (out_h, out_w) = shape.out_size();
    let patch = shape.patch();
    let weight = Matrix::row_major(weight, c_out, patch);
    let rows_at_once = (MAX_GATHERED / (patch * out_w)).clamp(1, out_h);
    let mut patches = vec![0.0; rows_at_once * out_w * patch];
    let mut out = vec![0.0; batch * h * w * c_in];
    for (out, grad) in out.chunks_exact_mut(h * w * c_in).zip(grad.chunks_exact(out_h * out_w * c_out)) {
        for (piece, grad) in grad.chunks(rows_at_once * out_w * c_out).enumerate() {
            let n_pixels = grad.len() / c_out;
            let patches = &mut patches[..n_pixels * patch];
            let grad = Matrix::row_major(grad, n_pixels, c_out);
            multiply(patches, grad, weight, false, Parallelism::Rayon(0));
            let first = piece * rows_at_once;
            let rows = first..first + n_pixels / out_w;
            out.par_chunks_exact_mut(w * c_in)
                .enumerate()
                .for_each(|(y, out)| collect(patches, rows.clone(), out, y, shape));
        }
    }
    out
}

/// Adds to row `y` of an image's gradient what the patches of some rows of output pixels hold for it.
fn collect(patches: &[f32], rows: Range<usize>, out: &mut [f32], y: usize, shape: Shape) {
    let Shape { c_in, kernel, geometry: ConvGeometry { stride, padding }, .. } = shape;
    let (_, out_w) = shape.out_size();
    let patch = shape.patch();
    for (x, out) in out.chunks_exact_mut(c_in).enumerate() {
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
            let (Some(row), Some(column)) = (
                output_of(y + padding, ky, stride).filter(|row| rows.contains(row)),
                output_of(x + padding, kx, stride).filter(|column| *column < out_w),
            ) else {
                continue;
            };
            let from = &patches[((row - rows.start) * out_w + column) * patch + ky * kernel + kx..];
            let values = from.iter().step_by(kernel * kernel);
            out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
        }
    }
}

/// The output position whose kernel position `k` lies on a padded input position, if there is one.
fn output_of(position: usize, k: usize, stride: usize) -> Option<usize> {
    position
        .checked_sub(k)
        .filter(|distance| distance.is_multiple_of(stride))
        .map(|distance| distance / stride)
}

/// The patches of `n_pixels` output pixels from `first` on: pixel, patch.
fn gather_all<'a>(
    x: &[f32],
    gathered: &'a mut Vec<f32>,
    (first, n_pixels): (usize, usize),
    shape: Shape,
) -> &'a [f32] {
    let patch = shape.patch();
    gathered.resize(n_pixels * patch, 0.0);
    gathered.par_chunks_mut(GATHER_PIXELS * patch).enumerate().for_each(|(task, rows)| {
        for (row, pixel) in rows.chunks_exact_mut(patch).zip(first + task * GATHER_PIXELS..) {
            gather(x, row, pixel, shape);
        }
    });
    gathered
}

/// The patch of one output pixel, in the weight's order: channel, row, column. Padding is zero.
fn gather(x: &[f32], patch: &mut [f32], pixel: usize, shape: Shape) {
    let Shape { h, w, c_in, kernel, geometry: ConvGeometry { stride, padding }, .. } = shape;
    let (out_h, out_w) = shape.out_size();
    let image = pixel / (out_h * out_w);
    let (row, column) = (pixel / out_w % out_h * stride, pixel % out_w * stride);
    for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
        // Left of and above the image wraps around and is out of range like the other two sides.
        let (y, x_) = ((row + ky).wrapping_sub(padding), (column + kx).wrapping_sub(padding));
        let slots = patch[ky * kernel + kx..].iter_mut().step_by(kernel * kernel);
        if y < h && x_ < w {
            let from = &x[((image * h + y) * w + x_) * c_in..][..c_in];
            slots.zip(from).for_each(|(slot, value)| *slot = *value);
        } else {
            slots.for_each(|slot| *slot = 0.0);
        }
    }
}
