//! Multi-head attention with learned projections: b s d -> b s d.
//!
//! Reference: `Attention` with `AttnProcessor2_0`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/attention_processor.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::{self, Mask};
use tronie_tensor::{Device, Module, Tensor};

use crate::{AttentionEditor, AttentionSite, ImageTokens, Linear, Place};

/// What the attention layers of a transformer look at besides its own map, and who watches them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attended<'a> {
    /// b s d_context
    pub(crate) context: &'a Tensor<3>,
    /// Pictures looked at beside the context.
    pub(crate) images: &'a [ImageTokens],
    pub(crate) editor: Option<&'a dyn AttentionEditor>,
    pub(crate) place: Place,
    /// The block at that place.
    pub(crate) block: usize,
    /// The transformer in that block.
    pub(crate) transformer: usize,
}

/// A layer that looks at text: the second attention of a transformer block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TextSite {
    pub(crate) place: Place,
    pub(crate) block: usize,
    pub(crate) transformer: usize,
    pub(crate) layer: usize,
}

/// What a layer looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// b s d_context
    pub(crate) context: &'a Tensor<3>,
    pub(crate) images: &'a [ImageTokens],
    pub(crate) site: TextSite,
}

impl Seen<'_> {
    /// The attention to the context, with that to every picture added.
    ///
    /// # Shapes
    /// `attended`: b s d, `q`: b s d. Returns b s d.
    fn with_images(&self, attended: Tensor<3>, q: &Tensor<3>, n_heads: usize) -> Tensor<3> {
        let layers = self.images.iter().filter_map(|tokens| tokens.at(&self.site));
        layers.fold(attended, |sum, ([k, v], weight)| {
            sum + ops::attention(q.clone(), k.clone(), v.clone(), n_heads, Mask::None) * weight
        })
    }
}

/// An editor, and the layer it may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) editor: &'a dyn AttentionEditor,
    pub(crate) site: AttentionSite,
}

impl Watched<'_> {
    /// What the editor makes of the layer; `None` when it leaves the layer as it is.
    ///
    /// # Shapes
    /// `q`: b s d, `k` and `v`: b s' d. Returns b s d.
    fn edited([q, k, v]: [&Tensor<3>; 3], n_heads: usize, watched: Option<Self>) -> Option<Tensor<3>> {
        let Self { editor, site } = watched.filter(|watched| watched.editor.wants(&watched.site))?;
        let probabilities = ops::attention_probabilities(q.clone(), k.clone(), n_heads); // b n s s'
        let edited = editor.edit(&site, probabilities)?;
        Some(ops::attention_output(edited, v.clone()))
    }
}

/// Widths of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttentionShape {
    /// Width of the tokens that ask, and of the answer.
    pub(crate) d: usize,
    /// Width of the tokens that are asked.
    pub(crate) d_context: usize,
    /// Heads `d` is split into.
    pub(crate) n_heads: usize,
}

/// Tokens look at themselves or at a context.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: [Linear; 1], // the checkpoint's list has a dropout at 1
    #[module(skip)]
    n_heads: usize,
}

impl Attention {
    pub(crate) fn new(shape: AttentionShape, device: &Device) -> Self {
        let AttentionShape { d, d_context, n_heads } = shape;
        Self {
            to_q: Linear::without_bias(d, d, device),
            to_k: Linear::without_bias(d_context, d, device),
            to_v: Linear::without_bias(d_context, d, device),
            to_out: [Linear::new(d, d, device)],
            n_heads,
        }
    }

    /// # Shapes
    /// `x`: b s d, the context in `seen`: b s' d_context, or `None` to look at `x` itself. Returns b s d.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        seen: Option<Seen<'_>>,
        watched: Option<Watched<'_>>,
    ) -> Tensor<3> {
        let context = seen.map_or_else(|| x.clone(), |seen| seen.context.clone());
        let q = self.to_q.forward(x);
        let k = self.to_k.forward(context.clone());
        let v = self.to_v.forward(context);
        let [to_out] = &self.to_out;
        let edited = Watched::edited([&q, &k, &v], self.n_heads, watched);
        let attended = edited.unwrap_or_else(|| ops::attention(q.clone(), k, v, self.n_heads, Mask::None));
        to_out.forward(match seen {
            Some(seen) => seen.with_images(attended, &q, self.n_heads),
            None => attended,
        })
    }
}
