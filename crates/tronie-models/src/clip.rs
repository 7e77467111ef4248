//! CLIP text towers: token ids to the context a UNet attends to.
//!
//! One network serves OpenAI's ViT-L/14 (SD 1.x), OpenCLIP's ViT-H/14 (SD 2.x) and both of SDXL's; what differs
//! is in [`ClipConfig`]. A pre-norm transformer with causal attention (Radford et al. 2021, arXiv:2103.00020).
//!
//! Reference: `CLIPTextModel` and `CLIPTextModelWithProjection` in transformers,
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/clip/modeling_clip.py>.
//!
//! Shapes: b batch, s tokens, d width.
//!
//! The image towers of the same models are [`vision`].

mod block;
mod config;
pub mod vision;

pub use block::ClipActivation;
pub use config::{ClipConfig, EndOfText};

use tronie_tensor::burn;
use tronie_tensor::ops::Mask;
use tronie_tensor::{DType, Device, Int, Module, Tensor};

use crate::{Embedding, LayerNorm, Linear};
use block::{BlockShape, Encoder};

/// Which hidden state is the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenLayer {
    /// Counted from the end, from 1: 1 is what the last block gives, 2 what the one before it gives, and so on;
    /// one more than there are blocks is the embeddings themselves.
    pub from_end: usize,
    /// Whether the tower's final layer norm is applied to it.
    pub final_norm: bool,
}

/// What a forward pass shall give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipRequest {
    /// The context to return.
    pub layer: HiddenLayer,
    /// Whether the pooled vector is wanted too. It needs every block; without it, blocks after
    /// [`HiddenLayer::from_end`] do not run.
    pub pooled: bool,
}

/// A vector that takes the place of a token's embedding: textual inversion.
#[derive(Debug, Clone)]
pub struct InsertedVector {
    /// Row of the batch.
    pub batch: usize,
    /// Index of the token it replaces.
    pub position: usize,
    /// The vector, d wide.
    pub vector: Tensor<1>,
}

/// What a text tower gives, in f32.
#[derive(Debug, Clone)]
pub struct ClipOutput {
    /// The hidden state asked for: b s d.
    pub hidden: Tensor<3>,
    /// The final hidden state at the end of the text, projected where the tower has a projection:
    /// b `d_projection`, or b d. `None` unless it was asked for.
    pub pooled: Option<Tensor<2>>,
}

/// A text tower.
#[derive(Module, Debug)]
pub struct Clip {
    text_model: TextModel,
    text_projection: Option<Linear>,
    #[module(skip)]
    config: ClipConfig,
}

impl Clip {
    fn new(config: &ClipConfig, device: &Device) -> Self {
        let project = |d_projection| Linear::without_bias(config.d, d_projection, device);
        Self {
            text_model: TextModel::new(config, device),
            text_projection: config.d_projection.map(project),
            config: config.clone(),
        }
    }

    /// The shape it was built with.
    #[must_use]
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Encodes a batch of texts. Computes in f32 whatever the weights are stored in: next to the UNet a text
    /// costs nothing, and half precision would.
    ///
    /// # Shapes
    /// `tokens`: b s, ids below `vocab_size`, s at most `n_positions`; `inserted`: any number of vectors of
    /// width d. Returns hidden b s d, pooled b `d_projection`.
    #[must_use]
    pub fn forward(
        &self,
        tokens: Tensor<2, Int>,
        inserted: &[InsertedVector],
        request: ClipRequest,
    ) -> ClipOutput {
        let model = &self.text_model;
        let layers = &model.encoder.layers;
        let n_before = (layers.len() + 1).saturating_sub(request.layer.from_end);
        let (before, after) = layers.split_at(n_before.min(layers.len()));

        let embedded = model.embeddings.forward(tokens.clone(), inserted);
        let hidden = before.iter().fold(embedded, |x, layer| layer.forward(x));
        let pooled = request.pooled.then(|| {
            let last = after.iter().fold(hidden.clone(), |x, layer| layer.forward(x));
            let last = model.final_layer_norm.forward(last);
            let pooled = at_position(last, self.end_of_text(tokens)); // b d
            match &self.text_projection {
                Some(projection) => projection.forward(pooled),
                None => pooled,
            }
        });
        let hidden = if request.layer.final_norm { model.final_layer_norm.forward(hidden) } else { hidden };
        ClipOutput { hidden, pooled }
    }

    /// The vectors that stand for tokens, without their positions: what an [`InsertedVector`] replaces.
    ///
    /// # Shapes
    /// `tokens`: b s, ids below `vocab_size`. Returns b s d, in f32.
    #[must_use]
    pub fn token_vectors(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.text_model.embeddings.of_tokens(tokens)
    }

    /// Index of the token that ends each text, 0 where none does. b s -> b.
    fn end_of_text(&self, tokens: Tensor<2, Int>) -> Tensor<1, Int> {
        let [b, s] = tokens.dims();
        let device = tokens.device();
        let is_end = match self.config.end_of_text {
            EndOfText::LargestId => tokens.clone().equal(tokens.max_dim(1).expand([b, s])),
            EndOfText::FirstOf(id) => tokens.equal_elem(id),
        };
        // Ties of argmax are broken differently from backend to backend, so let there be none.
        let n_tokens = i64::try_from(s).unwrap_or(i64::MAX);
        let positions = Tensor::<1, Int>::arange(0..n_tokens, &device).reshape([1, s]);
        let score = is_end.int() * (2 * n_tokens) - positions; // the first end, else position 0
        score.argmax(1).reshape([b])
    }
}

/// One token of each row. b s d, b -> b d.
fn at_position(x: Tensor<3>, positions: Tensor<1, Int>) -> Tensor<2> {
    let [b, _, d] = x.dims();
    let index = positions.reshape([b, 1, 1]).expand([b, 1, d]);
    x.gather(1, index).reshape([b, d])
}

impl ClipConfig {
    fn block(&self) -> BlockShape {
        let Self { d, d_mlp, n_heads, activation, layer_norm_epsilon: epsilon, .. } = *self;
        BlockShape { d, d_mlp, n_heads, activation, epsilon, mask: Mask::Causal }
    }
}

#[derive(Module, Debug)]
struct TextModel {
    embeddings: Embeddings,
    encoder: Encoder,
    final_layer_norm: LayerNorm,
}

impl TextModel {
    fn new(config: &ClipConfig, device: &Device) -> Self {
        Self {
            embeddings: Embeddings {
                token_embedding: Embedding::new(config.vocab_size, config.d, device),
                position_embedding: Embedding::new(config.n_positions, config.d, device),
            },
            encoder: Encoder::new(config.n_layers, config.block(), device),
            final_layer_norm: LayerNorm::new(config.d, config.layer_norm_epsilon, device),
        }
    }
}

#[derive(Module, Debug)]
struct Embeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

impl Embeddings {
    /// # Shapes
    /// `tokens`: b s. Returns b s d, in f32.
    fn of_tokens(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.token_embedding.forward(tokens).cast(DType::F32)
    }

    /// # Shapes
    /// `tokens`: b s. Returns b s d, in f32.
    fn forward(&self, tokens: Tensor<2, Int>, inserted: &[InsertedVector]) -> Tensor<3> {
        let [_, s] = tokens.dims();
        let device = tokens.device();
        let mut x = self.of_tokens(tokens); // b s d
        let [_, _, d] = x.dims();
        for InsertedVector { batch, position, vector } in inserted {
            let place = [*batch..*batch + 1, *position..*position + 1, 0..d];
            x = x.slice_assign(place, vector.clone().cast(DType::F32).reshape([1, 1, d]));
        }
        let n_tokens = i64::try_from(s).unwrap_or(i64::MAX);
        let positions = Tensor::<1, Int>::arange(0..n_tokens, &device).reshape([1, s]);
        x + self.position_embedding.forward(positions).cast(DType::F32) // + 1 s d
    }
}

#[cfg(test)]
mod tests;
