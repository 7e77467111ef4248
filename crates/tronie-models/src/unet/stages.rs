//! The blocks of a UNet: down, middle, up; one resolution each.
//!
//! Reference: `CrossAttnDownBlock2D`, `DownBlock2D`, `UNetMidBlock2DCrossAttn`, `CrossAttnUpBlock2D`, `UpBlock2D`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/unets/unet_2d_blocks.py>.

use std::sync::Arc;

use tronie_tensor::burn;
use tronie_tensor::{Device, Module, Tensor};

use crate::blocks::{Attended, Downsample, ResBlock, Transformer, Upsample, for_each_text};
use crate::{AttentionEditor, ImageTokens, Place};

use super::plan::{Frame, Stage};

/// What every block of a UNet sees besides its feature map.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// n d_time: the timestep embedding after SiLU.
    pub(crate) time: Tensor<2>,
    /// n s d: what cross-attention looks at. A map has n rows, or fewer as long as no text has been looked at.
    pub(crate) context: Tensor<3>,
    /// Pictures looked at beside it.
    pub(crate) images: Arc<[ImageTokens]>,
    /// Who watches the attention.
    pub(crate) editor: Option<Arc<dyn AttentionEditor>>,
    /// The part of the network the block is in.
    pub(crate) place: Place,
    /// The block's index there.
    pub(crate) block: usize,
}

impl Surroundings {
    /// The same for another block.
    pub(crate) fn within(&self, place: Place, block: usize) -> Self {
        Self { place, block, ..self.clone() }
    }

    /// What the block's transformer of this index looks at.
    fn attended(&self, transformer: usize) -> Attended<'_> {
        let Self { context, images, editor, place, block, .. } = self;
        Attended { context, images, editor: editor.as_deref(), place: *place, block: *block, transformer }
    }
}

/// Residual blocks, transformers after them in blocks with attention, and half the size for the next.
#[derive(Module, Debug)]
pub(crate) struct DownBlock {
    resnets: Vec<ResBlock>,
    attentions: Vec<Transformer>,  // none, or one per residual block
    downsamplers: Vec<Downsample>, // none in the last block
}

impl DownBlock {
    /// `is_last` is the block of the lowest resolution.
    pub(crate) fn new(c_in: usize, stage: &Stage, frame: &Frame, is_last: bool, device: &Device) -> Self {
        let inputs = (0..stage.n_layers).map(|layer| if layer == 0 { c_in } else { stage.c });
        let downsampler = (!is_last).then(|| Downsample::new(stage.c, device));
        Self {
            resnets: inputs
                .map(|c_in| ResBlock::new(c_in, stage.c, frame.d_time, frame.norm, device))
                .collect(),
            attentions: stage.transformers(frame, device),
            downsamplers: downsampler.into_iter().collect(),
        }
    }

    /// Pushes the map after every layer on `skips`. An adapter's `feature` is added to the map after the last
    /// transformer, or, in a block without attention, to the last map of all, as the reference does.
    ///
    /// # Shapes
    /// `x`: b h w c_in, `feature`: as the map it is added to. Returns b h' w' c, half the size unless the block is the
    /// last.
    pub(crate) fn forward(
        &self,
        x: Tensor<4>,
        around: &Surroundings,
        feature: Option<Tensor<4>>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        let n_more = if self.attentions.is_empty() { self.downsamplers.len() } else { 0 };
        let steered = skips.len() + self.resnets.len() + n_more - 1;
        let mut keep = |x: Tensor<4>| {
            let x = match &feature {
                Some(feature) if skips.len() == steered => {
                    for_each_text(x, around.context.dims()[0]) + feature.clone()
                }
                _ => x,
            };
            skips.push(x.clone());
            x
        };
        let mut x = x;
        for (layer, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, &around.time);
            if let Some(attention) = self.attentions.get(layer) {
                x = attention.forward(x, &around.attended(layer));
            }
            x = keep(x);
        }
        for downsampler in &self.downsamplers {
            x = keep(downsampler.forward(x));
        }
        x
    }
}

/// A residual block, and as often as there is attention: a transformer and another residual block.
#[derive(Module, Debug)]
pub(crate) struct MidBlock {
    resnets: Vec<ResBlock>,
    attentions: Vec<Transformer>,
}

impl MidBlock {
    pub(crate) fn new(stage: &Stage, frame: &Frame, device: &Device) -> Self {
        let attentions = stage.transformers(frame, device);
        let resnets =
            (0..stage.n_layers).map(|_| ResBlock::new(stage.c, stage.c, frame.d_time, frame.norm, device));
        Self { resnets: resnets.collect(), attentions }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    pub(crate) fn forward(&self, x: Tensor<4>, around: &Surroundings) -> Tensor<4> {
        let mut x = x;
        for (layer, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, &around.time);
            if let Some(attention) = self.attentions.get(layer) {
                x = attention.forward(x, &around.attended(layer));
            }
        }
        x
    }
}

/// Residual blocks that take the maps of the way down, transformers after them in blocks with attention, and twice
/// the size for the next.
#[derive(Module, Debug)]
pub(crate) struct UpBlock {
    resnets: Vec<ResBlock>,
    attentions: Vec<Transformer>, // none, or one per residual block
    upsamplers: Vec<Upsample>,    // none in the last block
}

impl UpBlock {
    /// Takes the channels of its skips from the end of `c_skips`; the block that leaves some is not the last.
    pub(crate) fn new(
        c_in: usize,
        stage: &Stage,
        frame: &Frame,
        c_skips: &mut Vec<usize>,
        device: &Device,
    ) -> Self {
        let c_taken = take_last(c_skips, stage.n_layers);
        let mut c_in = c_in;
        let mut resnets = Vec::with_capacity(stage.n_layers);
        for c_skip in c_taken {
            let c_both = c_in + c_skip;
            resnets.push(ResBlock::new(c_both, stage.c, frame.d_time, frame.norm, device));
            c_in = stage.c;
        }
        let upsampler = (!c_skips.is_empty()).then(|| Upsample::new(stage.c, device));
        Self {
            resnets,
            attentions: stage.transformers(frame, device),
            upsamplers: upsampler.into_iter().collect(),
        }
    }

    /// Takes one map per residual block from the end of `skips`.
    ///
    /// # Shapes
    /// `x`: b h w c_in. Returns b h' w' c, the size of the skip that is last then.
    pub(crate) fn forward(
        &self,
        x: Tensor<4>,
        around: &Surroundings,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        let mut x = x;
        let taken = take_last(skips, self.resnets.len());
        for (layer, (resnet, skip)) in self.resnets.iter().zip(taken).enumerate() {
            let both = Tensor::cat(vec![x, skip], 3); // b h w c_in+c_skip
            x = resnet.forward(both, &around.time);
            if let Some(attention) = self.attentions.get(layer) {
                x = attention.forward(x, &around.attended(layer));
            }
        }
        if let (Some(upsampler), Some(next)) = (self.upsamplers.first(), skips.last()) {
            let [_, h, w, _] = next.dims();
            x = upsampler.forward(x, [h, w]);
        }
        x
    }
}

/// The last `n` entries, last first.
fn take_last<T>(stack: &mut Vec<T>, n: usize) -> impl Iterator<Item = T> + use<T> {
    let rest = stack.len().saturating_sub(n);
    stack.split_off(rest).into_iter().rev()
}
