//! Watching and changing the attention of a UNet while it runs.
//!
//! A [`Conditioning`](crate::Conditioning) without an editor costs nothing: its layers run fused and never have their
//! probabilities in memory. With one, only the layers it wants compute them.

use std::fmt::Debug;

use tronie_tensor::Tensor;

/// Part of a UNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The way down, from the highest resolution to the lowest.
    Down,
    /// The middle.
    Mid,
    /// The way up.
    Up,
}

/// What the queries of an attention layer look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttentionKind {
    /// The map itself.
    Image,
    /// The text.
    Text,
}

/// Where in a UNet an attention layer is. No two layers of a network have the same site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttentionSite {
    /// Its part of the network.
    pub place: Place,
    /// Its block in `down_blocks` or `up_blocks`; 0 in the middle.
    pub block: usize,
    /// Its transformer in the block's `attentions`.
    pub transformer: usize,
    /// Its layer in `transformer_blocks`.
    pub layer: usize,
    /// 0 is the layer's `attn1`, 1 its `attn2`.
    pub index: usize,
    /// What it looks at.
    pub kind: AttentionKind,
    /// Height and width of the map its queries are the pixels of.
    pub size: [usize; 2],
}

impl AttentionSite {
    /// Number of queries.
    #[must_use]
    pub fn n_pixels(&self) -> usize {
        let [h, w] = self.size;
        h * w
    }
}

/// Looks at attention probabilities, and may change them.
pub trait AttentionEditor: Debug + Send + Sync {
    /// Whether it has business at a layer; all others run fused.
    fn wants(&self, site: &AttentionSite) -> bool;

    /// Sees the probabilities of a layer it wants, and returns those to go on with. `None` leaves them as they are, and
    /// the layer's output is then to the bit what it is without an editor.
    ///
    /// # Shapes
    /// `probabilities`: b n s s', the last dimension sums to 1; b as in the UNet's batch, s the pixels row by row, s' the
    /// pixels again or the tokens. Returns the same shape, and any sums.
    fn edit(&self, site: &AttentionSite, probabilities: Tensor<4>) -> Option<Tensor<4>>;
}

#[cfg(test)]
mod tests;
