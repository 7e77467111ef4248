//! The operations networks are made of, on channels-last feature maps.
//!
//! Every function is written once with Burn's tensors, which is what GPUs and training run. Where a fused CPU
//! kernel exists, the function picks it.

mod attention;

use burn::backend::Flex;
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, TensorData, activation};
use burn_flex::FlexTensor;

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
    let dims = x.dims();
    let [d_out, d_in] = weight.dims();
    let n_rows = dims.iter().product::<usize>() / d_in;
    let dtype = x.dtype();
    let y = x.reshape([n_rows, d_in]).matmul(weight.cast(dtype).transpose()); // rows d_out
    let y = match bias {
        Some(bias) => y + bias.cast(dtype).reshape([1, d_out]),
        None => y,
    };
    let mut out_dims = dims;
    out_dims[D - 1] = d_out;
    y.reshape(out_dims)
}

/// Two-dimensional convolution of a channels-last map, with the weight as checkpoints store it.
///
/// # Shapes
/// `x`: b h w c_in, `weight`: c_out c_in kh kw, `bias`: c_out. Returns b h' w' c_out.
#[must_use]
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, geometry: ConvGeometry) -> Tensor<4> {
    let dtype = x.dtype();
    let ConvGeometry { stride, padding } = geometry;
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
    let [b, h, w, c] = x.dims();
    let dtype = x.dtype();
    let x = x.cast(DType::F32).reshape([b, h * w, n_groups, c / n_groups]); // statistics in f32
    let mean = x.clone().mean_dims(&[1, 3]);
    let x = x - mean;
    let variance = (x.clone() * x.clone()).mean_dims(&[1, 3]);
    let x = (x / (variance + epsilon).sqrt()).reshape([b, h, w, c]);
    let y = x * weight.cast(DType::F32).reshape([1, 1, 1, c]) + bias.cast(DType::F32).reshape([1, 1, 1, c]);
    y.cast(dtype)
}

/// Layer normalisation over the last dimension.
///
/// # Shapes
/// `x`: b s d, `weight` and `bias`: d. Returns b s d.
#[must_use]
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let d = weight.dims()[0];
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
    if let (Some(q), Some(k), Some(v)) = (on_cpu(&q), on_cpu(&k), on_cpu(&v)) {
        let shape = attention::Shape { batch, n_queries, n_keys, n_heads, head: d / n_heads, mask };
        let out = attention::attention(q.storage(), k.storage(), v.storage(), shape);
        return from_cpu(out, [batch, n_queries, d]);
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

/// The tensor's memory, contiguous, when a fused kernel may read it: f32, on the CPU, not being differentiated.
fn on_cpu<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    let is_f32 = x.dtype() == DType::F32;
    let primitive = is_f32.then(|| x.clone().try_into_primitive::<Flex>().ok()).flatten()?;
    Some(primitive.to_contiguous())
}

/// A kernel's output as a tensor on the CPU.
fn from_cpu<const D: usize>(values: Vec<f32>, dims: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, dims)))
}
