//! Leaf layers with weights in the checkpoint's own shape and dtype.
//!
//! Values are zero until [`crate::load()`] fills them; the trainer has its own initialisers.

use tronie_tensor::burn;
use tronie_tensor::burn::module::Param;
use tronie_tensor::ops::{self, ConvCache, ConvGeometry};
use tronie_tensor::{Device, Int, Module, ParamId, Shape, Tensor};

/// A parameter that costs nothing until it is loaded or first used.
pub(crate) fn lazy<const D: usize>(dims: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let init = move |device: &Device, _require_grad: bool| Tensor::zeros(dims, device);
    Param::uninitialized(ParamId::new(), init, device.clone(), false, Shape::from(dims))
}

/// Fully connected layer.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>, // d_out d_in
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer with a bias.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize, device: &Device) -> Self {
        Self { weight: lazy([d_out, d_in], device), bias: Some(lazy([d_out], device)) }
    }

    /// A layer without a bias.
    #[must_use]
    pub fn without_bias(d_in: usize, d_out: usize, device: &Device) -> Self {
        Self { weight: lazy([d_out, d_in], device), bias: None }
    }

    /// # Shapes
    /// `x`: .. d_in. Returns .. d_out.
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

/// Two-dimensional convolution on channels-last maps.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>, // c_out c_in kh kw
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    geometry: ConvGeometry,
    #[module(skip)]
    cache: ConvCache,
}

impl Conv2d {
    /// A square kernel of `kernel` pixels.
    #[must_use]
    pub fn new(c_in: usize, c_out: usize, kernel: usize, geometry: ConvGeometry, device: &Device) -> Self {
        Self {
            weight: lazy([c_out, c_in, kernel, kernel], device),
            bias: Some(lazy([c_out], device)),
            geometry,
            cache: ConvCache::default(),
        }
    }

    /// 3x3, stride 1, the map keeps its size.
    #[must_use]
    pub fn same_3x3(c_in: usize, c_out: usize, device: &Device) -> Self {
        Self::new(c_in, c_out, 3, ConvGeometry { stride: 1, padding: 1 }, device)
    }

    /// 1x1, stride 1.
    #[must_use]
    pub fn pointwise(c_in: usize, c_out: usize, device: &Device) -> Self {
        Self::new(c_in, c_out, 1, ConvGeometry { stride: 1, padding: 0 }, device)
    }

    /// The same layer without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// # Shapes
    /// `x`: b h w c_in. Returns b h' w' c_out.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::conv2d(x, self.weight.val(), bias, self.geometry, &self.cache)
    }
}

/// Group normalisation on channels-last maps.
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    n_groups: usize,
    #[module(skip)]
    epsilon: f64,
}

impl GroupNorm {
    /// `c` channels in `n_groups` groups.
    #[must_use]
    pub fn new(n_groups: usize, c: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: lazy([c], device), bias: lazy([c], device), n_groups, epsilon }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        ops::group_norm(x, self.weight.val(), self.bias.val(), self.n_groups, self.epsilon)
    }

    /// The norm, then SiLU.
    ///
    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    #[must_use]
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        ops::group_norm_silu(x, self.weight.val(), self.bias.val(), self.n_groups, self.epsilon)
    }
}

/// Layer normalisation over the last dimension.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    /// `d` wide.
    #[must_use]
    pub fn new(d: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: lazy([d], device), bias: lazy([d], device), epsilon }
    }

    /// # Shapes
    /// `x`: b s d. Returns b s d.
    #[must_use]
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>, // n d
}

impl Embedding {
    /// `n` vectors of width `d`.
    #[must_use]
    pub fn new(n: usize, d: usize, device: &Device) -> Self {
        Self { weight: lazy([n, d], device) }
    }

    /// The table itself, n d.
    pub(crate) fn table(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// # Shapes
    /// `indices`: b s, each below n. Returns b s d.
    #[must_use]
    pub fn forward(&self, indices: Tensor<2, Int>) -> Tensor<3> {
        let [b, s] = indices.dims();
        let weight = self.weight.val();
        let d = weight.dims()[1];
        weight.select(0, indices.reshape([b * s])).reshape([b, s, d])
    }
}
