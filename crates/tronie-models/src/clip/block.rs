//! The transformer blocks that CLIP's text and image towers are made of.

use tronie_tensor::burn;
use tronie_tensor::ops::{self, Mask};
use tronie_tensor::{Device, Module, Tensor};

use crate::{LayerNorm, Linear};

/// What configurations call the nonlinearities.
pub(super) const ACTIVATIONS: [(&str, ClipActivation); 2] =
    [("quick_gelu", ClipActivation::QuickGelu), ("gelu", ClipActivation::Gelu)];

/// The nonlinearity between the two layers of a block's MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipActivation {
    /// `x * sigmoid(1.702 x)`: OpenAI's towers.
    QuickGelu,
    /// The exact GELU: OpenCLIP's towers.
    Gelu,
}

/// Widths of a block, and which tokens see each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockShape {
    pub(super) d: usize,
    pub(super) d_mlp: usize,
    pub(super) n_heads: usize,
    pub(super) activation: ClipActivation,
    pub(super) epsilon: f64,
    pub(super) mask: Mask,
}

/// Blocks in a row.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    pub(super) layers: Vec<Layer>,
}

impl Encoder {
    pub(super) fn new(n_layers: usize, shape: BlockShape, device: &Device) -> Self {
        Self { layers: (0..n_layers).map(|_| Layer::new(shape, device)).collect() }
    }
}

/// Attention and an MLP, each after a norm and added to what came in.
#[derive(Module, Debug)]
pub(super) struct Layer {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl Layer {
    fn new(shape: BlockShape, device: &Device) -> Self {
        let BlockShape { d, d_mlp, n_heads, activation, epsilon, mask } = shape;
        let norm = || LayerNorm::new(d, epsilon, device);
        let square = || Linear::new(d, d, device);
        Self {
            layer_norm1: norm(),
            self_attn: Attention {
                q_proj: square(),
                k_proj: square(),
                v_proj: square(),
                out_proj: square(),
                n_heads,
                mask,
            },
            layer_norm2: norm(),
            mlp: Mlp { fc1: Linear::new(d, d_mlp, device), fc2: Linear::new(d_mlp, d, device), activation },
        }
    }

    /// # Shapes
    /// `x`: b s d. Returns b s d.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.self_attn.forward(self.layer_norm1.forward(x));
        x.clone() + self.mlp.forward(self.layer_norm2.forward(x))
    }
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    #[module(skip)]
    n_heads: usize,
    #[module(skip)]
    mask: Mask,
}

impl Attention {
    /// # Shapes
    /// `x`: b s d. Returns b s d.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let q = self.q_proj.forward(x.clone());
        let k = self.k_proj.forward(x.clone());
        let v = self.v_proj.forward(x);
        self.out_proj.forward(ops::attention(q, k, v, self.n_heads, self.mask))
    }
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: ClipActivation,
}

impl Mlp {
    /// # Shapes
    /// `x`: b s d. Returns b s d.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.fc1.forward(x); // b s d_mlp
        let x = match self.activation {
            ClipActivation::QuickGelu => ops::quick_gelu(x),
            ClipActivation::Gelu => ops::gelu(x),
        };
        self.fc2.forward(x)
    }
}
