//! What a UNet and its ControlNets have in common: timestep and text in, and the way down to the middle.

use tronie_tensor::ops::silu;
use tronie_tensor::{Device, Tensor};

use super::conditioning::{AdapterFeatures, Conditioning};
use super::plan::Plan;
use super::stages::{DownBlock, MidBlock, Surroundings};
use crate::blocks::{Sinusoid, TimestepEmbedding, for_each_text};
use crate::{Conv2d, Place};

impl Plan {
    /// Channels after the way down, channels of every map it hands to the way up, and its blocks.
    pub(crate) fn down_blocks(&self, device: &Device) -> (usize, Vec<usize>, Vec<DownBlock>) {
        let mut c = self.c_first;
        let mut c_skips = vec![c];
        let mut blocks = Vec::with_capacity(self.down.len());
        for (index, stage) in self.down.iter().enumerate() {
            let is_last = index + 1 == self.down.len();
            blocks.push(DownBlock::new(c, stage, &self.frame, is_last, device));
            c_skips.extend(vec![stage.c; stage.n_layers + usize::from(!is_last)]);
            c = stage.c;
        }
        (c, c_skips, blocks)
    }

    /// The layers behind the sinusoids: of the timestep, and of what SDXL adds to it.
    pub(crate) fn embeddings(&self, device: &Device) -> (TimestepEmbedding, Option<TimestepEmbedding>) {
        let embedding = |d_in| TimestepEmbedding::new(d_in, self.frame.d_time, device);
        (embedding(self.c_first), self.added.map(|added| embedding(added.d_in)))
    }
}

/// What makes a vector of a timestep.
pub(crate) struct Clock<'a> {
    pub(crate) time_proj: &'a Sinusoid,
    pub(crate) time_embedding: &'a TimestepEmbedding,
    /// The same for SDXL's numbers.
    pub(crate) added: Option<(&'a Sinusoid, &'a TimestepEmbedding)>,
    /// b d_time or 1 d_time: what else is added to the vector.
    pub(crate) more: Option<&'a Tensor<2>>,
}

/// What the first block is given.
pub(crate) struct Start {
    /// b h w c
    pub(crate) x: Tensor<4>,
    pub(crate) around: Surroundings,
}

impl Clock<'_> {
    /// The first convolution, and what all blocks see. Of an SDXL network the timestep's vector depends on the text, and editors
    /// watch every row, so there all rows are computed from the beginning.
    ///
    /// # Shapes
    /// `x`: b c h w, `timestep`: b, the context: n s d, where n is b or a multiple of it.
    pub(crate) fn start(
        &self,
        conv_in: &Conv2d,
        (x, timestep): (Tensor<4>, Tensor<1>),
        conditioning: &Conditioning,
    ) -> Start {
        let dtype = x.dtype();
        let [n_rows, _, _] = conditioning.context.dims();
        let timestep = for_each_text(timestep, n_rows);
        let around = Surroundings {
            time: silu(self.embed(timestep, conditioning, &x)),
            context: conditioning.context.clone().cast(dtype),
            images: conditioning.images.clone().into(),
            editor: conditioning.editor.clone(),
            place: Place::Down,
            block: 0,
        };
        let x = conv_in.forward(x.permute([0, 2, 3, 1])); // b h w c
        let differs = self.added.is_some() || conditioning.editor.is_some();
        Start { x: if differs { for_each_text(x, n_rows) } else { x }, around }
    }

    /// The timestep, and what SDXL adds to it, as a vector of `like`'s dtype.
    ///
    /// # Shapes
    /// `timestep`: b. Returns b d_time.
    fn embed(&self, timestep: Tensor<1>, conditioning: &Conditioning, like: &Tensor<4>) -> Tensor<2> {
        let dtype = like.dtype();
        let embedding = self.time_embedding.forward(self.time_proj.forward(timestep).cast(dtype));
        let embedding = match self.more {
            Some(more) => embedding + more.clone().cast(dtype),
            None => embedding,
        };
        let Some((add_time_proj, add_embedding)) = self.added else {
            return embedding;
        };
        #[expect(clippy::expect_used, reason = "documented under Panics: a caller's mistake")]
        let added =
            conditioning.added.as_ref().expect("an SDXL network needs the pooled text and the image's sizes");
        let [b, n_ids] = added.time_ids.dims();
        let ids = add_time_proj.forward(added.time_ids.clone().reshape([b * n_ids])); // b*n_ids d
        let ids = ids.reshape([b, n_ids * add_time_proj.d]).cast(dtype); // b n_ids*d
        let both = Tensor::cat(vec![added.pooled.clone().cast(dtype), ids], 1); // b d_in
        embedding + add_embedding.forward(both)
    }
}

/// The way down and the middle.
pub(crate) struct Trunk<'a> {
    pub(crate) down_blocks: &'a [DownBlock],
    pub(crate) mid_block: Option<&'a MidBlock>,
}

impl Trunk<'_> {
    /// # Shapes
    /// `x`: b h w c. Returns the map after the middle, and every map for the way up, `x` first.
    pub(crate) fn forward(
        &self,
        x: Tensor<4>,
        around: &Surroundings,
        adapter: Option<&AdapterFeatures>,
    ) -> (Tensor<4>, Vec<Tensor<4>>) {
        let dtype = x.dtype();
        let feature = |index| adapter.and_then(|features| features.at(index, dtype));
        let mut x = x;
        let mut skips = vec![x.clone()];
        for (index, block) in self.down_blocks.iter().enumerate() {
            x = block.forward(x, &around.within(Place::Down, index), feature(index), &mut skips);
        }
        if let Some(mid_block) = self.mid_block {
            x = mid_block.forward(x, &around.within(Place::Mid, 0));
        }
        let x = match feature(self.down_blocks.len()) {
            Some(feature) => for_each_text(x, feature.dims()[0]) + feature,
            None => x,
        };
        // Where the way down has no attention to text, all rows are still to come.
        let [n_rows, _, _] = around.context.dims();
        let skips = skips.into_iter().map(|skip| for_each_text(skip, n_rows));
        (for_each_text(x, n_rows), skips.collect())
    }
}
