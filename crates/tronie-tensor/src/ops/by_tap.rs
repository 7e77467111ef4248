//! Convolutions of many pixels with a small weight, and their gradients, as matrix products in a core's cache.
//!
//! A patch is gathered tap by tap (position of the kernel by position), where the channels of a row of taps are one run
//! of memory, for as many pixels as fit in the cache; the weight is brought into that order at every call. In training both
//! take longer than the products when done as [`super::im2col`] does them.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a bound computed a few lines above"
)]

use std::cell::RefCell;
use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

use super::conv::Shape;
use super::gemm::{Matrix, multiply, multiply_rows};
use super::{ConvGeometry, sums};

/// Numbers of the patches that are gathered at once, 1 MB: half of the second-level cache of a current core.
const MAX_GATHERED: usize = 1 << 18;
/// Numbers of a weight that is brought into another order at every call, at most: 4 MB.
const MAX_WEIGHT: usize = 1 << 20;
/// Numbers of a line of the cache: a matrix is transposed by as many columns at once.
const LINE: usize = 16;
/// Parts of a weight's gradient that may be computed at the same time, at most.
const MAX_PARTS: usize = 8;

impl Shape {
    fn n_pixels(&self) -> usize {
        let (h, w) = self.out_size();
        self.batch * h * w
    }

    /// Output pixels whose patches fit in the cache.
    fn pixels_in_cache(&self) -> usize {
        (MAX_GATHERED / self.patch()).max(1)
    }

    /// Of the convolution that takes the gradient of the output to that of the input; `None` where that is none.
    fn turned(&self) -> Option<Self> {
        let ConvGeometry { stride, padding } = self.geometry;
        let padding = (self.kernel - 1).checked_sub(padding).filter(|_| stride == 1)?;
        let ((h, w), geometry) = (self.out_size(), ConvGeometry { stride, padding });
        Some(Self { h, w, c_in: self.c_out, c_out: self.c_in, geometry, ..*self })
    }
}

/// Whether this way is the faster one.
pub(super) fn is_worth_it(shape: Shape) -> bool {
    shape.patch() * shape.c_out <= MAX_WEIGHT && 2 * shape.n_pixels() >= shape.c_out
}

/// Convolution of `x` (b h w c_in) with `weight` (c_out c_in k k) and `bias` (c_out or empty). Returns b h' w' c_out.
pub(super) fn conv(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { c_in, c_out, kernel, .. } = shape;
    let (patch, n_taps) = (shape.patch(), kernel * kernel);
    let mut by_tap = vec![0.0; weight.len()]; // k k c_in c_out
    for first in (0..c_out).step_by(LINE) {
        let outputs = first..c_out.min(first + LINE);
        for place in 0..patch {
            let to = &mut by_tap[(place % n_taps * c_in + place / n_taps) * c_out..][outputs.clone()];
            to.iter_mut().zip(outputs.clone()).for_each(|(to, o)| *to = weight[o * patch + place]);
        }
    }
    convolve(x, &by_tap, bias, shape)
}

/// Gradient of the input (b h w c_in) from that of the output (b h' w' c_out): the convolution with channels swapped and
/// kernels turned by half a turn. `None` for strides, whose gradient is no such convolution.
pub(super) fn grad_x(grad: &[f32], weight: &[f32], shape: Shape) -> Option<Vec<f32>> {
    let turned = shape.turned()?;
    let Shape { c_in, c_out, kernel, .. } = shape;
    let n_taps = kernel * kernel;
    let mut by_tap = vec![0.0; weight.len()]; // k k c_out c_in
    for (o, weight) in weight.chunks_exact(c_in * n_taps).enumerate() {
        for (i, taps) in weight.chunks_exact(n_taps).enumerate() {
            let taps = taps.iter().rev().enumerate();
            taps.for_each(|(tap, value)| by_tap[(tap * c_out + o) * c_in + i] = *value);
        }
    }
    Some(convolve(grad, &by_tap, &[], turned))
}

/// Gradient of the weight (c_out c_in k k) from that of the output (b h' w' c_out): the patches of `x`, weighed. Its parts
/// are the same on any number of threads.
pub(super) fn grad_weight(grad: &[f32], x: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { c_in, c_out, kernel, .. } = shape;
    let (patch, n_taps, at_once) = (shape.patch(), kernel * kernel, shape.pixels_in_cache());
    let pixels_of_part = shape.n_pixels().div_ceil(at_once).div_ceil(MAX_PARTS) * at_once;
    let parts = grad.par_chunks(pixels_of_part * c_out).enumerate().map(|(part, grad)| {
        let mut sum = vec![0.0; patch * c_out]; // k k c_in c_out
        for (piece, grad) in grad.chunks(at_once * c_out).enumerate() {
            let (first, n_pixels) = (part * pixels_of_part + piece * at_once, grad.len() / c_out);
            with_patches(x, first..first + n_pixels, shape, |patches| {
                let grad = Matrix::row_major(grad, n_pixels, c_out);
                let patches = Matrix::transposed(patches, patch, n_pixels);
                multiply(&mut sum, patches, grad, true, Parallelism::None);
            });
        }
        sum
    });
    let by_tap = sums::merge(parts.collect());
    let mut out = vec![0.0; by_tap.len()];
    for first in (0..c_out).step_by(LINE) {
        let outputs = first..c_out.min(first + LINE);
        for place in 0..patch {
            let from = &by_tap[(place % n_taps * c_in + place / n_taps) * c_out..][outputs.clone()];
            from.iter().zip(outputs.clone()).for_each(|(from, o)| out[o * patch + place] = *from);
        }
    }
    out
}

/// The convolution with a weight k k c_in c_out. A pixel has the same bits whatever else is computed with it.
fn convolve(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) -> Vec<f32> {
    let (patch, c_out) = (shape.patch(), shape.c_out);
    let at_once = shape.n_pixels().div_ceil(rayon::current_num_threads()).clamp(1, shape.pixels_in_cache());
    let weight = Matrix::row_major(weight, patch, c_out);
    let mut out = vec![0.0; shape.n_pixels() * c_out];
    let pieces = out.par_chunks_mut(at_once * c_out).enumerate();
    pieces.for_each(|(piece, out)| {
        let (first, n_pixels) = (piece * at_once, out.len() / c_out);
        with_patches(x, first..first + n_pixels, shape, |patches| {
            multiply_rows(out, Matrix::row_major(patches, n_pixels, patch), weight);
        });
        if !bias.is_empty() {
            let pixels = out.chunks_exact_mut(c_out);
            pixels.for_each(|out| out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias));
        }
    });
    out
}

thread_local! {
    /// Where a thread gathers patches.
    static GATHERED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends the patches of some output pixels, tap by tap: pixel, k k c_in. Those of pointwise convolutions are there already.
fn with_patches(x: &[f32], pixels: Range<usize>, shape: Shape, then: impl FnOnce(&[f32])) {
    if (shape.kernel, shape.geometry) == (1, ConvGeometry { stride: 1, padding: 0 }) {
        return then(&x[pixels.start * shape.c_in..pixels.end * shape.c_in]);
    }
    GATHERED.with_borrow_mut(|gathered| {
        let n = pixels.len() * shape.patch();
        if gathered.len() < n {
            gathered.resize(n, 0.0);
        }
        gather(x, &mut gathered[..n], pixels, shape);
        then(&gathered[..n]);
    });
}

fn gather(x: &[f32], gathered: &mut [f32], pixels: Range<usize>, shape: Shape) {
    let Shape { h, w, c_in, kernel, geometry: ConvGeometry { stride, padding }, .. } = shape;
    let ((out_h, out_w), patch) = (shape.out_size(), shape.patch());
    for (pixel, to) in pixels.zip(gathered.chunks_exact_mut(patch)) {
        let image = pixel / (out_h * out_w);
        let (row, column) = (pixel / out_w % out_h * stride, pixel % out_w * stride);
        // Taps of a row that lie in the image; those outside are zero.
        let inside = padding.saturating_sub(column)..kernel.min((w + padding).saturating_sub(column));
        for (ky, to) in to.chunks_exact_mut(kernel * c_in).enumerate() {
            match (row + ky).checked_sub(padding).filter(|y| *y < h && !inside.is_empty()) {
                Some(y) => {
                    let first = (image * h + y) * w + column + inside.start - padding;
                    to[..inside.start * c_in].fill(0.0);
                    to[inside.start * c_in..inside.end * c_in]
                        .copy_from_slice(&x[first * c_in..][..inside.len() * c_in]);
                    to[inside.end * c_in..].fill(0.0);
                }
                None => to.fill(0.0),
            }
        }
    }
}
