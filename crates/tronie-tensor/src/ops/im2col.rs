//! Any convolution as a matrix product: patches are gathered into rows, the weight is used as the checkpoint stores it.
#![expect(
    clippy::indexing_slicing,
    reason = "a kernel: every index is below a bound computed a few lines above"
)]

use gemm::Parallelism;
use rayon::prelude::*;

use super::ConvGeometry;
use super::gemm::{Matrix, multiply};

/// Numbers of gathered patches that may exist at once, 32 MB.
const MAX_GATHERED: usize = 8 << 20;
/// Output pixels of one task while gathering.
const GATHER_PIXELS: usize = 64;

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    pub(super) kernel: usize,
    pub(super) geometry: ConvGeometry,
}

impl Shape {
    /// Height and width of the output.
    pub(super) fn out_size(&self) -> (usize, usize) {
        let ConvGeometry { stride, padding } = self.geometry;
        let out = |side: usize| (side + 2 * padding - self.kernel) / stride + 1;
        (out(self.h), out(self.w))
    }

    /// Numbers of one patch.
    fn patch(&self) -> usize {
        self.c_in * self.kernel * self.kernel
    }
}

/// Convolution of `x` (b h w c_in) with `weight` (c_out c_in k k) and `bias` (c_out or empty). Returns b h' w' c_out.
pub(super) fn conv(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) -> Vec<f32> {
    let (out_h, out_w) = shape.out_size();
    let (n_pixels, patch, c_out) = (shape.batch * out_h * out_w, shape.patch(), shape.c_out);
    let mut out = vec![0.0; n_pixels * c_out];
    let weight = Matrix::transposed(weight, patch, c_out);
    let pixels_at_once = (MAX_GATHERED / patch).max(GATHER_PIXELS);
    let mut gathered = vec![0.0; n_pixels.min(pixels_at_once) * patch];
    for (piece, out) in out.chunks_mut(pixels_at_once * c_out).enumerate() {
        let n_pixels = out.len() / c_out;
        let gathered = &mut gathered[..n_pixels * patch];
        gathered.par_chunks_mut(GATHER_PIXELS * patch).enumerate().for_each(|(task, rows)| {
            for (row, pixel) in
                rows.chunks_exact_mut(patch).zip(piece * pixels_at_once + task * GATHER_PIXELS..)
            {
                gather(x, row, pixel, shape);
            }
        });
        multiply(out, Matrix::row_major(gathered, n_pixels, patch), weight, false, Parallelism::Rayon(0));
        if !bias.is_empty() {
            out.chunks_exact_mut(c_out)
                .for_each(|out| out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias));
        }
    }
    out
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
