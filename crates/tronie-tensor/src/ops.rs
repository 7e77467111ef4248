//! The operations networks are made of, on channels-last feature maps.
//!
//! Every function is composed of Burn's operations, which is what GPUs run. Where a fused CPU kernel exists, the
//! function picks it; in training the kernel is recorded with the kernel of its gradients.

mod attention;
mod by_tap;
mod composed;
mod conv;
mod cpu;
mod geglu;
mod gemm;
mod im2col;
mod linear;
mod norm;
mod record;
mod simd;
mod sums;
mod winograd;

use burn::tensor::{Tensor, activation};

pub use conv::ConvCache;
use cpu::Input;
use norm::Then;

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
    let [d_out, d_in] = weight.dims();
    let inputs = (Input::computed(&x), Input::stored(&weight), Input::optional(bias.as_ref()));
    if let (Some(x_input), Some(weight), Some(bias)) = inputs {
        let mut dims = x.dims();
        if let Some(last) = dims.last_mut() {
            *last = d_out;
        }
        return linear::linear([x_input, weight, bias], [d_in, d_out], dims);
    }
    composed::linear(x, weight, bias)
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
    let inputs = (Input::computed(&x), Input::stored(&weight), Input::optional(bias.as_ref()));
    if let (Some(x_input), Some(weight), Some(bias)) = inputs {
        let [batch, h, w, _] = x.dims();
        let shape = conv::Shape { batch, h, w, c_in, c_out, kernel, geometry };
        return conv::conv([x_input, weight, bias], shape, cache);
    }
    composed::conv2d(x, weight, bias, geometry)
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
    let inputs = (Input::computed(&x), Input::stored(&weight), Input::stored(&bias));
    if let (Some(x_input), Some(weight), Some(bias)) = inputs {
        return norm::group_norm([x_input, weight, bias], x.dims(), (n_groups, epsilon), then);
    }
    composed::group_norm(then, x, weight, bias, (n_groups, epsilon))
}

/// Layer normalisation over the last dimension.
///
/// # Shapes
/// `x`: b s d, `weight` and `bias`: d. Returns b s d.
#[must_use]
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let inputs = (Input::computed(&x), Input::stored(&weight), Input::stored(&bias));
    if let (Some(x_input), Some(weight), Some(bias)) = inputs {
        return norm::layer_norm([x_input, weight, bias], x.dims(), epsilon);
    }
    composed::layer_norm(x, weight, bias, epsilon)
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
    if let (Some(q), Some(k), Some(v)) = (Input::computed(&q), Input::computed(&k), Input::computed(&v)) {
        let shape = attention::Shape { batch, n_queries, n_keys, n_heads, head: d / n_heads, mask };
        return attention::attention([q, k, v], shape);
    }
    composed::attention(q, k, v, n_heads, mask)
}

/// What [`attention()`] weighs the values by, `softmax(q k^T / sqrt(e))`, for those who look at it. It costs memory
/// for every pair of query and key, which [`attention()`] does not.
///
/// # Shapes
/// `q`: b s d, `k`: b s' d with d = n_heads * e. Returns b n s s'.
#[must_use]
pub fn attention_probabilities(q: Tensor<3>, k: Tensor<3>, n_heads: usize) -> Tensor<4> {
    composed::attention_probabilities(q, k, n_heads, Mask::None)
}

/// The values weighed by probabilities: the second half of [`attention()`].
///
/// # Shapes
/// `probabilities`: b n s s', `v`: b s' d. Returns b s d.
#[must_use]
pub fn attention_output(probabilities: Tensor<4>, v: Tensor<3>) -> Tensor<3> {
    composed::attention_output(probabilities, v)
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
    match Input::computed(&x) {
        Some(input) => geglu::geglu(input, x.dims()),
        None => composed::geglu(x),
    }
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
