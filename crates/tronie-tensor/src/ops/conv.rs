//! The choice between the ways to convolve, and the gradients of all of them.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use super::cpu::{Input, Memory};
use super::record::record;
use super::{ConvGeometry, by_tap, im2col, sums, winograd};

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
    pub(super) fn patch(&self) -> usize {
        self.c_in * self.kernel * self.kernel
    }

    /// The same for Winograd's method, where that applies and is the faster one.
    fn of_winograd(&self) -> Option<winograd::Shape> {
        let Self { batch, h, w, c_in, c_out, kernel, geometry: ConvGeometry { stride, padding } } = *self;
        let applies = (kernel, stride, padding) == (3, 1, 1) && winograd::is_worth_it(h, w, c_in, c_out);
        applies.then_some(winograd::Shape { batch, h, w, c_in, c_out })
    }
}

/// What a convolution keeps from one call to the next: its weight, transformed for the kernel, which takes four times the room
/// of the weight in f32. Training keeps nothing: a weight that is trained differs at every call, and memory is dearer there
/// than the time a transform takes.
///
/// It notices when it is handed another weight, so it needs no invalidation, also when clones share it.
#[derive(Clone, Default)]
pub struct ConvCache(Arc<Mutex<Option<CachedWeight>>>);

struct CachedWeight {
    /// Kept alive, so that no other weight can take its place in memory unnoticed.
    weight: Memory,
    transformed: Arc<Vec<f32>>,
}

impl std::fmt::Debug for ConvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConvCache")
    }
}

impl ConvCache {
    fn transformed(&self, weight: &Memory, shape: winograd::Shape) -> Arc<Vec<f32>> {
        // A poisoned lock only means that a thread died while transforming; the entry is whole or absent.
        let mut entry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = entry.as_ref().filter(|cached| cached.weight.is_same(weight)) {
            return Arc::clone(&cached.transformed);
        }
        let transformed = Arc::new(winograd::transform_weights(&weight.values(), shape.c_in, shape.c_out));
        *entry = Some(CachedWeight { weight: weight.clone(), transformed: Arc::clone(&transformed) });
        transformed
    }
}

/// Convolution of `x` (b h w c_in) with `weight` (c_out c_in k k) and `bias` (c_out or empty). Returns b h' w' c_out.
pub(super) fn conv([x, weight, bias]: [Input; 3], shape: Shape, cache: &ConvCache) -> Tensor<4> {
    let (out_h, out_w) = shape.out_size();
    let of_winograd = shape.of_winograd();
    let is_by_tap = by_tap::is_worth_it(shape);
    let out = if let Some(shape) = of_winograd {
        let is_recorded = [&x, &weight, &bias].into_iter().any(Input::is_tracked);
        let transformed = if is_recorded {
            Arc::new(winograd::transform_weights(&weight.values(), shape.c_in, shape.c_out))
        } else {
            cache.transformed(&weight.memory, shape)
        };
        winograd::conv(&x.values(), &transformed, &bias.values(), shape)
    } else if is_by_tap {
        by_tap::conv(&x.values(), &weight.values(), &bias.values(), shape)
    } else {
        im2col::conv(&x.values(), &weight.values(), &bias.values(), shape)
    };
    let out = Memory::new(out, [shape.batch, out_h, out_w, shape.c_out]);
    // Each factor is kept for the gradient of the other.
    let kept_weight = weight.kept_if(x.is_tracked());
    let kept_x = x.kept_if(weight.is_tracked());
    let bias_is_tracked = bias.is_tracked();
    record([x, weight, bias], out, move |grad| {
        let of_x = kept_weight.as_ref().map(|weight| {
            if let Some(shape) = of_winograd {
                let back = shape.turned();
                let turned = turned(&weight.values(), shape);
                let transformed = winograd::transform_weights(&turned, back.c_in, back.c_out);
                winograd::conv(grad, &transformed, &[], back)
            } else {
                let of_x = is_by_tap.then(|| by_tap::grad_x(grad, &weight.values(), shape)).flatten();
                of_x.unwrap_or_else(|| im2col::grad_x(grad, &weight.values(), shape))
            }
        });
        let grad_weight = if is_by_tap { by_tap::grad_weight } else { im2col::grad_weight };
        let of_weight = kept_x.as_ref().map(|x| grad_weight(grad, &x.values(), shape));
        [of_x, of_weight, bias_is_tracked.then(|| sums::columns(grad, shape.c_out))]
    })
}

/// The 3x3 weight of the convolution that takes the gradient of the output to that of the input: channels swapped,
/// kernels turned by half a turn. `weight`: c_out c_in 3 3. Returns c_in c_out 3 3.
fn turned(weight: &[f32], winograd::Shape { c_in, c_out, .. }: winograd::Shape) -> Vec<f32> {
    let kernels = weight.as_chunks::<9>().0;
    let of_input = |i: usize| kernels.iter().skip(i).step_by(c_in).take(c_out);
    (0..c_in).flat_map(|i| of_input(i).flat_map(|kernel| kernel.iter().rev().copied())).collect()
}
