//! What the networks are built from. Channels-last inside: `b h w c` maps, `b s d` tokens.

mod attention;
mod either;
mod res_block;
mod resample;
mod time;
mod transformer;

use tronie_tensor::Tensor;

pub(crate) use attention::{Attended, Attention, AttentionShape, Seen, TextSite, Watched};
pub(crate) use either::Either;
pub(crate) use res_block::ResBlock;
pub(crate) use resample::{Downsample, Upsample};
pub(crate) use time::{Sinusoid, TimestepEmbedding};
pub(crate) use transformer::{Transformer, TransformerShape};

/// A batch once for every row of its context: all rows, then all rows again. Until text is looked at, the rows that are asked
/// with different texts are the same, and are computed once.
pub(crate) fn for_each_text<const D: usize>(x: Tensor<D>, n_rows: usize) -> Tensor<D> {
    match n_rows / x.dims().first().copied().unwrap_or(1).max(1) {
        0 | 1 => x,
        n_texts => Tensor::cat(vec![x; n_texts], 0),
    }
}

/// How the group norms of a network are built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormShape {
    /// Groups the channels are split into.
    pub(crate) n_groups: usize,
    /// Added to the variance.
    pub(crate) epsilon: f64,
}
