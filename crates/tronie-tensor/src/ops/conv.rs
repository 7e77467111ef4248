//! The choice between the two ways to convolve, and the gradients of both.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use super::cpu::{Input, Memory};
use super::im2col::Shape;
use super::record::record;
use super::{im2col, sums, winograd};

/// What a convolution keeps from one call to the next: its weight, transformed for the kernel, and in training also
/// transformed for the kernel of the gradient.
///
/// It notices when it is handed another weight, so it needs no invalidation, also when clones share it.
#[derive(Clone, Default)]
pub struct ConvCache(Arc<Mutex<[Option<CachedWeight>; 2]>>);

/// Which convolution a transformed weight is for.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward,
    /// From the gradient of the output to that of the input.
    Backward,
}

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
    fn transformed(&self, weight: &Memory, shape: Shape, direction: Direction) -> Arc<Vec<f32>> {
        // A poisoned lock only means that a thread died while transforming; the entry is whole or absent.
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [forward, backward] = &mut *entries;
        let entry = match direction {
            Direction::Forward => forward,
            Direction::Backward => backward,
        };
        if let Some(cached) = entry.as_ref().filter(|cached| cached.weight.is_same(weight)) {
            return Arc::clone(&cached.transformed);
        }
        let Shape { c_in, c_out, .. } = shape;
        let values = weight.values();
        let transformed = Arc::new(match direction {
            Direction::Forward => winograd::transform_weights(&values, c_in, c_out),
            Direction::Backward => winograd::transform_weights(&turned(&values, c_in, c_out), c_out, c_in),
        });
        *entry = Some(CachedWeight { weight: weight.clone(), transformed: Arc::clone(&transformed) });
        transformed
    }
}

/// Convolution of `x` (b h w c_in) with `weight` (c_out c_in k k) and `bias` (c_out or empty). Returns b h' w' c_out.
pub(super) fn conv([x, weight, bias]: [Input; 3], shape: Shape, cache: &ConvCache) -> Tensor<4> {
    let (out_h, out_w) = shape.out_size();
    let is_winograd = shape.is_winograd();
    let out = if is_winograd {
        let weight = cache.transformed(&weight.memory, shape, Direction::Forward);
        winograd::conv(&x.values(), &weight, &bias.values(), shape.of_winograd())
    } else {
        im2col::conv(&x.values(), &weight.values(), &bias.values(), shape)
    };
    let out = Memory::new(out, [shape.batch, out_h, out_w, shape.c_out]);
    // Each factor is kept for the gradient of the other.
    let kept_weight = weight.kept_if(x.is_tracked());
    let kept_x = x.kept_if(weight.is_tracked());
    let bias_is_tracked = bias.is_tracked();
    let cache = cache.clone();
    record([x, weight, bias], out, move |grad| {
        let of_x = kept_weight.as_ref().map(|weight| {
            if is_winograd {
                let Shape { c_in, c_out, .. } = shape;
                let weight = cache.transformed(weight, shape, Direction::Backward);
                let shape = winograd::Shape { c_in: c_out, c_out: c_in, ..shape.of_winograd() };
                winograd::conv(grad, &weight, &[], shape)
            } else {
                im2col::grad_x(grad, &weight.values(), shape)
            }
        });
        let of_weight = kept_x.as_ref().map(|x| im2col::grad_weight(grad, &x.values(), shape));
        [of_x, of_weight, bias_is_tracked.then(|| sums::columns(grad, shape.c_out))]
    })
}

/// The 3x3 weight of the convolution that takes the gradient of the output to that of the input: channels swapped,
/// kernels turned by half a turn. `weight`: c_out c_in 3 3. Returns c_in c_out 3 3.
fn turned(weight: &[f32], c_in: usize, c_out: usize) -> Vec<f32> {
    let kernels = weight.as_chunks::<9>().0;
    let of_input = |i: usize| kernels.iter().skip(i).step_by(c_in).take(c_out);
    (0..c_in).flat_map(|i| of_input(i).flat_map(|kernel| kernel.iter().rev().copied())).collect()
}
