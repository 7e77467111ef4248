//! Transformer over the pixels of a feature map: b h w c -> b h w c.
//!
//! Rombach et al. 2022 (arXiv:2112.10752), section 3.3. Reference: `Transformer2DModel`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/transformers/transformer_2d.py>,
//! and `BasicTransformerBlock`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/attention.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::geglu;
use tronie_tensor::{Device, Module, Tensor};

use super::{Attended, Attention, AttentionShape, Either, Seen, TextSite, Watched, for_each_text};
use crate::{AttentionKind, AttentionSite, Conv2d, GroupNorm, LayerNorm, Linear};

/// Both epsilons are constants of the reference, whatever the network's `norm_eps`.
const GROUP_NORM_EPSILON: f64 = 1e-6;
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// The hidden layer is this much wider than the tokens.
const FEED_FORWARD_FACTOR: usize = 4;

/// How a transformer of the UNet is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransformerShape {
    /// Channels, context width and heads.
    pub(crate) attention: AttentionShape,
    /// Transformer blocks in a row.
    pub(crate) n_layers: usize,
    /// The first attention of each block looks at the context too, not at the image.
    pub(crate) only_cross_attention: bool,
    /// Projections in and out are stored as matrices (SD 2, SDXL), not as 1x1 convolutions (SD 1).
    pub(crate) linear_projection: bool,
    /// Groups of the norm at the entry.
    pub(crate) n_groups: usize,
}

/// SD 1 stores a 1x1 convolution, SD 2 and SDXL the same thing as a matrix.
type Projection = Either<Linear, Conv2d>;

impl Projection {
    fn new(c: usize, linear: bool, device: &Device) -> Self {
        if linear {
            Self::First(Linear::new(c, c, device))
        } else {
            Self::Second(Conv2d::pointwise(c, c, device))
        }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::First(linear) => linear.forward(x),
            Self::Second(conv) => conv.forward(x),
        }
    }
}

/// Transformer blocks between two projections, added to what came in.
#[derive(Module, Debug)]
pub(crate) struct Transformer {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Projection,
}

impl Transformer {
    pub(crate) fn new(shape: TransformerShape, device: &Device) -> Self {
        let c = shape.attention.d;
        let blocks = (0..shape.n_layers).map(|_| TransformerBlock::new(shape, device));
        Self {
            norm: GroupNorm::new(shape.n_groups, c, GROUP_NORM_EPSILON, device),
            proj_in: Projection::new(c, shape.linear_projection, device),
            transformer_blocks: blocks.collect(),
            proj_out: Projection::new(c, shape.linear_projection, device),
        }
    }

    /// # Shapes
    /// `x`: b h w c, the context in `attended`: n s d_context, where n is b or a multiple of it. Returns n h w c.
    pub(crate) fn forward(&self, x: Tensor<4>, attended: &Attended<'_>) -> Tensor<4> {
        let [b, h, w, c] = x.dims();
        let y = self.proj_in.forward(self.norm.forward(x.clone()));
        let mut y = y.reshape([b, h * w, c]); // b s c
        for (layer, block) in self.transformer_blocks.iter().enumerate() {
            y = block.forward(y, attended, (layer, [h, w]));
        }
        let [n, _, _] = y.dims();
        for_each_text(x, n) + self.proj_out.forward(y.reshape([n, h, w, c])) // n h w c
    }
}

/// Self-attention, cross-attention and a feed-forward layer, each after a norm and added to what came in.
#[derive(Module, Debug)]
pub(crate) struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
    #[module(skip)]
    only_cross_attention: bool,
}

impl TransformerBlock {
    fn new(shape: TransformerShape, device: &Device) -> Self {
        let TransformerShape { attention: cross, only_cross_attention, .. } = shape;
        let d = cross.d;
        let own = AttentionShape { d_context: d, ..cross };
        let first = if only_cross_attention { cross } else { own };
        Self {
            norm1: LayerNorm::new(d, LAYER_NORM_EPSILON, device),
            attn1: Attention::new(first, device),
            norm2: LayerNorm::new(d, LAYER_NORM_EPSILON, device),
            attn2: Attention::new(cross, device),
            norm3: LayerNorm::new(d, LAYER_NORM_EPSILON, device),
            ff: FeedForward::new(d, device),
            only_cross_attention,
        }
    }

    /// `layer` and `size` say which block of the transformer this is, and which height and width its tokens come from.
    ///
    /// # Shapes
    /// `x`: b s d, the context in `attended`: n s' d_context, where n is b or a multiple of it. Returns n s d.
    fn forward(
        &self,
        x: Tensor<3>,
        attended: &Attended<'_>,
        (layer, size): (usize, [usize; 2]),
    ) -> Tensor<3> {
        let Attended { context, images, editor, place, block, transformer } = *attended;
        let first = if self.only_cross_attention { AttentionKind::Text } else { AttentionKind::Image };
        let watched = |index, kind| {
            let site = AttentionSite { place, block, transformer, layer, index, kind, size };
            editor.map(|editor| Watched { editor, site })
        };
        let seen = Seen { context, images, site: TextSite { place, block, transformer, layer } };
        let seen_first = self.only_cross_attention.then_some(Seen { images: &[], ..seen });
        let [n_rows, _, _] = context.dims();
        let x = if self.only_cross_attention { for_each_text(x, n_rows) } else { x };
        let x = x.clone() + self.attn1.forward(self.norm1.forward(x), seen_first, watched(0, first));
        let second = watched(1, AttentionKind::Text);
        let x = for_each_text(x, n_rows);
        let x = x.clone() + self.attn2.forward(self.norm2.forward(x), Some(seen), second);
        x.clone() + self.ff.forward(self.norm3.forward(x))
    }
}

/// Gated hidden layer and projection back.
#[derive(Module, Debug)]
pub(crate) struct FeedForward {
    net: (Geglu, Dropout, Linear),
}

impl FeedForward {
    fn new(d: usize, device: &Device) -> Self {
        let hidden = FEED_FORWARD_FACTOR * d;
        Self { net: (Geglu::new(d, hidden, device), Dropout {}, Linear::new(hidden, d, device)) }
    }

    /// # Shapes
    /// `x`: b s d. Returns b s d.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let (geglu, _, linear) = &self.net;
        linear.forward(geglu.forward(x))
    }
}

/// The checkpoint's list has a dropout here. It holds no tensor, and Stable Diffusion trains without it.
#[derive(Module, Debug)]
pub(crate) struct Dropout {}

/// Values times the GELU of their gates. Shazeer 2020 (arXiv:2002.05202).
#[derive(Module, Debug)]
pub(crate) struct Geglu {
    proj: Linear,
}

impl Geglu {
    fn new(d_in: usize, d_out: usize, device: &Device) -> Self {
        Self { proj: Linear::new(d_in, 2 * d_out, device) }
    }

    /// # Shapes
    /// `x`: b s d_in. Returns b s d_out.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        geglu(self.proj.forward(x)) // of b s 2*d_out: values, then gates
    }
}
