//! The operations that have kernels, composed of Burn's own: what GPUs run, and what the kernels are tested against.

use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, activation};

use super::norm::Then;
use super::{ConvGeometry, Mask, gelu, silu};

pub(super) fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut dims = x.dims();
    let [d_out, d_in] = weight.dims();
    let n_rows = dims.iter().product::<usize>() / d_in;
    if let Some(last) = dims.last_mut() {
        *last = d_out;
    }
    let dtype = x.dtype();
    let y = x.reshape([n_rows, d_in]).matmul(weight.cast(dtype).transpose()); // rows d_out
    let y = match bias {
        Some(bias) => y + bias.cast(dtype).reshape([1, d_out]),
        None => y,
    };
    y.reshape(dims)
}

pub(super) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    geometry: ConvGeometry,
) -> Tensor<4> {
    let dtype = x.dtype();
    let ConvGeometry { stride, padding } = geometry;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    let x = x.permute([0, 3, 1, 2]); // b c h w
    let y = burn_conv2d(x, weight.cast(dtype), bias.map(|bias| bias.cast(dtype)), options);
    y.permute([0, 2, 3, 1]) // b h w c
}

pub(super) fn group_norm(
    then: Then,
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    (n_groups, epsilon): (usize, f64),
) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
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

pub(super) fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let [d] = weight.dims();
    let dtype = x.dtype();
    let x = x.cast(DType::F32); // statistics in f32
    let x = x.clone() - x.mean_dim(2);
    let variance = (x.clone() * x.clone()).mean_dim(2);
    let y = x / (variance + epsilon).sqrt();
    let y = y * weight.cast(DType::F32).reshape([1, 1, d]) + bias.cast(DType::F32).reshape([1, 1, d]);
    y.cast(dtype)
}

pub(super) fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, n_heads: usize, mask: Mask) -> Tensor<3> {
    attention_output(attention_probabilities(q, k, n_heads, mask), v)
}

/// b s d -> b n s e
fn heads(x: Tensor<3>, n_heads: usize) -> Tensor<4> {
    let [b, s, d] = x.dims();
    x.reshape([b, s, n_heads, d / n_heads]).swap_dims(1, 2) // b n s e
}

pub(super) fn attention_probabilities(q: Tensor<3>, k: Tensor<3>, n_heads: usize, mask: Mask) -> Tensor<4> {
    let [_, s, d] = q.dims();
    #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
    let scale = ((d / n_heads) as f64).powf(-0.5);
    let dtype = q.dtype();
    let scores = heads(q * scale, n_heads).matmul(heads(k, n_heads).swap_dims(2, 3)); // b n s s'
    let scores = match mask {
        Mask::None => scores,
        Mask::Causal => {
            let hidden = Tensor::<2>::ones([s, s], &scores.device()).triu(1).greater_elem(0.5);
            scores.mask_fill(hidden.reshape([1, 1, s, s]), f32::NEG_INFINITY)
        }
    };
    activation::softmax(scores.cast(DType::F32), 3).cast(dtype) // softmax in f32
}

pub(super) fn attention_output(probabilities: Tensor<4>, v: Tensor<3>) -> Tensor<3> {
    let [b, n_heads, s, _] = probabilities.dims();
    let d = v.dims()[2];
    probabilities.matmul(heads(v, n_heads)).swap_dims(1, 2).reshape([b, s, d]) // b s d
}

pub(super) fn geglu(x: Tensor<3>) -> Tensor<3> {
    let [_, _, both] = x.dims();
    let d = both / 2;
    x.clone().narrow(2, 0, d) * gelu(x.narrow(2, d, d))
}
