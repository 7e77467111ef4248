//! What the networks are built from. Channels-last inside: `b h w c` maps, `b s d` tokens.

mod attention;
mod either;
mod res_block;
mod resample;
mod time;
mod transformer;

pub(crate) use attention::{Attended, Attention, AttentionShape, Seen, TextSite, Watched};
pub(crate) use either::Either;
pub(crate) use res_block::ResBlock;
pub(crate) use resample::{Downsample, Upsample};
pub(crate) use time::{Sinusoid, TimestepEmbedding};
pub(crate) use transformer::{Transformer, TransformerShape};

/// How the group norms of a network are built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormShape {
    /// Groups the channels are split into.
    pub(crate) n_groups: usize,
    /// Added to the variance.
    pub(crate) epsilon: f64,
}
