//! The operations networks are made of, on channels-last feature maps.
//!
//! Every function is written once with Burn's tensors, which is what GPUs and training run. Where a fused CPU
//! kernel exists, the function picks it.

mod attention;
mod cpu;
mod geglu;
mod gemm;
mod im2col;
mod norm;
mod simd;
mod winograd;

use std::sync::{Arc, Mutex, PoisonError};

use ::gemm::Parallelism;
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, activation};

use cpu::{Values, Weight, bias_values};
use gemm::{Matrix, multiply};
use norm::{Affine, Then};

/// Stride and zero padding of a convolution, the same in both directions unless padding says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step between outputs.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
}

/// `x @ weight^T + bias`, with the weight as checkpoints store it.
///
/// # Shapes
/// `x`: .. d_in, `weight`: d_out d_in, `bias`: d_out. Returns .. d_out.
#[must_use]
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut dims = x.dims();
    let [d_out, d_in] = weight.dims();
    let n_rows = dims.iter().product::<usize>() / d_in;
    if let Some(last) = dims.last_mut() {
        *last = d_out;
    }
    if let (Some(x), Some(weight), Some(bias)) =
        (Values::of(&x), Weight::of(&weight), bias_values(bias.as_ref()))
    {
        let mut out = bias.repeat(n_rows);
        let add = !out.is_empty();
        out.resize(n_rows * d_out, 0.0);
        let x = Matrix::row_major(x.as_slice(), n_rows, d_in);
        let weight = weight.values();
        multiply(&mut out, x, Matrix::transposed(&weight, d_in, d_out), add, Parallelism::Rayon(0));
        return cpu::tensor(out, dims);
    }
    let dtype = x.dtype();
    let y = x.reshape([n_rows, d_in]).matmul(weight.cast(dtype).transpose()); // rows d_out
    let y = match bias {
        Some(bias) => y + bias.cast(dtype).reshape([1, d_out]),
        None => y,
    };
    y.reshape(dims)
}

/// What a convolution keeps from one call to the next: its weight, transformed for the kernel.
///
/// It notices when it is handed another weight, so it needs no invalidation, also when clones share it.
#[derive(Clone, Default)]
pub struct ConvCache(Arc<Mutex<Option<CachedWeight>>>);

struct CachedWeight {
    /// Kept alive, so that no other weight can take its place in memory unnoticed.
    weight: Weight,
    transformed: Arc<Vec<f32>>,
}

impl std::fmt::Debug for ConvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConvCache")
    }
}

impl ConvCache {
    fn transformed(&self, weight: Weight, c_in: usize, c_out: usize) -> Arc<Vec<f32>> {
        // A poisoned lock only means that a thread died while transforming; the entry is whole or absent.
        let mut entry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = entry.as_ref().filter(|cached| cached.weight.is_same(&weight)) {
            return Arc::clone(&cached.transformed);
        }
        let transformed = Arc::new(winograd::transform_weights(&weight.values(), c_in, c_out));
        *entry = Some(CachedWeight { weight, transformed: Arc::clone(&transformed) });
        transformed
    }
}

/// Two-dimensional convolution of a channels-last map, with the weight as checkpoints store it.
///
/// # Shapes
/// `x`: b h w c_in, `weight`: c_out c_in k k, `bias`: c_out. Returns b h' w' c_out.
#[must_use]
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    geometry: ConvGeometry,
    cache: &ConvCache,
) -> Tensor<4> {
    let [c_out, c_in, kernel, _] = weight.dims();
    let ConvGeometry { stride, padding } = geometry;
    if (kernel, stride, padding) == (1, 1, 0) {
        return linear(x, weight.reshape([c_out, c_in]), bias);
    }
    if let (Some(x_values), Some(weight), Some(bias)) =
        (Values::of(&x), Weight::of(&weight), bias_values(bias.as_ref()))
    {
        let [batch, h, w, _] = x.dims();
        if (kernel, stride, padding) == (3, 1, 1) && winograd::is_worth_it(h, w, c_in, c_out) {
            let weight = cache.transformed(weight, c_in, c_out);
            let shape = winograd::Shape { batch, h, w, c_in, c_out };
            return cpu::tensor(
                winograd::conv(x_values.as_slice(), &weight, &bias, shape),
                [batch, h, w, c_out],
            );
        }
        let shape = im2col::Shape { batch, h, w, c_in, c_out, kernel, geometry };
        let (out_h, out_w) = shape.out_size();
        let out = im2col::conv(x_values.as_slice(), &weight.values(), &bias, shape);
        return cpu::tensor(out, [batch, out_h, out_w, c_out]);
    }
    let dtype = x.dtype();
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    let x = x.permute([0, 3, 1, 2]); // b c h w
    let y = burn_conv2d(x, weight.cast(dtype), bias.map(|bias| bias.cast(dtype)), options);
    y.permute([0, 2, 3, 1]) // b h w c
}

/// Group normalisation of a channels-last map.
///
/// # Shapes
/// `x`: b h w c, `weight` and `bias`: c. Returns b h w c.
#[must_use]
pub fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    n_groups: usize,
    epsilon: f64,
) -> Tensor<4> {
    group_norm_then(Then::Nothing, x, weight, bias, (n_groups, epsilon))
}

/// [`silu`] of [`group_norm`], which is how residual blocks use it.
///
/// # Shapes
/// `x`: b h w c, `weight` and `bias`: c. Returns b h w c.
#[must_use]
pub fn group_norm_silu(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    n_groups: usize,
    epsilon: f64,
) -> Tensor<4> {
    group_norm_then(Then::Silu, x, weight, bias, (n_groups, epsilon))
}

fn group_norm_then(
    then: Then,
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    (n_groups, epsilon): (usize, f64),
) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    if let (Some(x), Some(weight), Some(bias)) = (Values::of(&x), Weight::of(&weight), Weight::of(&bias)) {
        let affine = Affine { weight: &weight.values(), bias: &bias.values(), epsilon };
        return cpu::tensor(norm::group_norm(x.as_slice(), h * w * c, n_groups, affine, then), [b, h, w, c]);
    }
    let dtype = x.dtype();
    let x = x.cast(DType::F32).reshape([b, h * w, n_groups, c / n_groups]); // statistics in f32
    let mean = x.clone().mean_dims(&[1, 3]);
    let x = x - mean;
    let variance = (x.clone() * x.clone()).mean_dims(&[1, 3]);
    let x = (x / (variance + epsilon).sqrt()).reshape([b, h, w, c]);
    let y = x * weight.cast(DType::F32).reshape([1, 1, 1, c]) + bias.cast(DType::F32).reshape([1, 1, 1, c]);
    let y = y.cast(dtype);
    match then {
        Then::Nothing => y,
        Then::Silu => silu(y),
    }
}

/// Layer normalisation over the last dimension.
///
/// # Shapes
/// `x`: b s d, `weight` and `bias`: d. Returns b s d.
#[must_use]
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let d = weight.dims()[0];
    let dims = x.dims();
    if let (Some(x), Some(weight), Some(bias)) = (Values::of(&x), Weight::of(&weight), Weight::of(&bias)) {
        let affine = Affine { weight: &weight.values(), bias: &bias.values(), epsilon };
        return cpu::tensor(norm::layer_norm(x.as_slice(), affine), dims);
    }
    let dtype = x.dtype();
    let x = x.cast(DType::F32); // statistics in f32
    let x = x.clone() - x.mean_dim(2);
    let variance = (x.clone() * x.clone()).mean_dim(2);
    let y = x / (variance + epsilon).sqrt();
    let y = y * weight.cast(DType::F32).reshape([1, 1, d]) + bias.cast(DType::F32).reshape([1, 1, d]);
    y.cast(dtype)
}

/// What attention may not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Every query sees every key.
    None,
    /// A query sees itself and the keys before it.
    Causal,
}

/// Scaled dot-product attention, `softmax(q k^T / sqrt(e)) v`, head by head.
///
/// # Shapes
/// `q`: b s d, `k` and `v`: b s' d with d = n_heads * e. Returns b s d.
#[must_use]
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, n_heads: usize, mask: Mask) -> Tensor<3> {
    let [batch, n_queries, d] = q.dims();
    let n_keys = k.dims()[1];
    if let (Some(q), Some(k), Some(v)) = (Values::of(&q), Values::of(&k), Values::of(&v)) {
        let shape = attention::Shape { batch, n_queries, n_keys, n_heads, head: d / n_heads, mask };
        let out = attention::attention(q.as_slice(), k.as_slice(), v.as_slice(), shape);
        return cpu::tensor(out, [batch, n_queries, d]);
    }
    composed_attention(q, k, v, n_heads, mask)
}

/// Attention in Burn's own operations, for GPUs and for training.
fn composed_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, n_heads: usize, mask: Mask) -> Tensor<3> {
    let [b, s, d] = q.dims();
    let e = d / n_heads;
    let heads = |x: Tensor<3>| {
        let s = x.dims()[1];
        x.reshape([b, s, n_heads, e]).swap_dims(1, 2) // b n s e
    };
    #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
    let scale = (e as f64).powf(-0.5);
    let dtype = q.dtype();
    let scores = heads(q * scale).matmul(heads(k).swap_dims(2, 3)); // b n s s'
    let scores = match mask {
        Mask::None => scores,
        Mask::Causal => {
            let hidden = Tensor::<2>::ones([s, s], &scores.device()).triu(1).greater_elem(0.5);
            scores.mask_fill(hidden.reshape([1, 1, s, s]), f32::NEG_INFINITY)
        }
    };
    let weights = activation::softmax(scores.cast(DType::F32), 3).cast(dtype); // softmax in f32
    weights.matmul(heads(v)).swap_dims(1, 2).reshape([b, s, d]) // b s d
}

/// `x * sigmoid(x)`.
#[must_use]
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// The exact (erf) Gaussian error linear unit.
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// Values times the [`gelu`] of their gates (Shazeer 2020, arXiv:2002.05202).
///
/// # Shapes
/// `x`: b s 2*d, values before gates. Returns b s d.
#[must_use]
pub fn geglu(x: Tensor<3>) -> Tensor<3> {
    let [b, s, both] = x.dims();
    let d = both / 2;
    if let Some(x) = Values::of(&x) {
        return cpu::tensor(geglu::geglu(x.as_slice(), d), [b, s, d]);
    }
    x.clone().narrow(2, 0, d) * gelu(x.narrow(2, d, d))
}

/// `x * sigmoid(1.702 x)`, OpenAI CLIP's approximation of GELU.
#[must_use]
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x * 1.702)
}

/// Every pixel becomes a 2x2 block.
///
/// # Shapes
/// `x`: b h w c. Returns b 2h 2w c.
#[must_use]
pub fn upsample_nearest_2x(x: Tensor<4>) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let x = x.reshape([b, h, 1, w, 1, c]).expand([b, h, 2, w, 2, c]);
    x.reshape([b, 2 * h, 2 * w, c])
}

#[cfg(test)]
mod tests;
