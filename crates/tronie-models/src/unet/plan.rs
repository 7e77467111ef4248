//! From a configuration's lists to one description per block, with everything that must fit checked.

use tronie_tensor::Device;

use crate::blocks::{AttentionShape, NormShape, Transformer, TransformerShape};

use super::config::{DownBlockType, MidBlockType, PerBlock, UnetConfig, UpBlockType};
use super::error::UnetConfigError;

/// What all blocks of a UNet share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Width of the timestep embedding.
    pub(crate) d_time: usize,
    /// Group norms.
    pub(crate) norm: NormShape,
    /// Transformers are entered and left through matrices.
    pub(crate) linear_projection: bool,
}

/// One block of a UNet.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Its channels.
    pub(crate) c: usize,
    /// Its residual blocks; the middle has one more.
    pub(crate) n_layers: usize,
    /// Transformer blocks in each of its transformers; empty for a block without attention.
    depths: Vec<usize>,
    d_context: usize,
    n_heads: usize,
    only_cross_attention: bool,
}

impl Stage {
    /// The transformers of this block, none in a block without attention.
    pub(super) fn transformers(&self, frame: &Frame, device: &Device) -> Vec<Transformer> {
        let transformers = self.depths.iter().map(|&n_layers| {
            let shape = TransformerShape {
                attention: AttentionShape {
                    d: self.c,
                    d_context: self.d_context,
                    n_heads: self.n_heads,
                },
                n_layers,
                only_cross_attention: self.only_cross_attention,
                linear_projection: frame.linear_projection,
                n_groups: frame.norm.n_groups,
            };
            Transformer::new(shape, device)
        });
        transformers.collect()
    }
}

/// All blocks of a UNet in the order they are run.
#[derive(Debug, Clone)]
pub(crate) struct Stages {
    /// Way down.
    pub(crate) down: Vec<Stage>,
    /// Between them, unless there is none.
    pub(crate) mid: Option<Stage>,
    /// Way up.
    pub(crate) up: Vec<Stage>,
}

impl UnetConfig {
    /// What all blocks share.
    pub(crate) fn frame(&self) -> Frame {
        Frame {
            d_time: self.d_time(),
            norm: NormShape {
                n_groups: self.norm_num_groups,
                epsilon: self.norm_eps,
            },
            linear_projection: self.use_linear_projection,
        }
    }

    /// One description per block.
    ///
    /// # Errors
    /// [`UnetConfigError`] when lists have the wrong length, or channels cannot be split into groups or heads.
    pub(crate) fn stages(&self) -> Result<Stages, UnetConfigError> {
        let down = self.down_stages()?;
        let mid = match (self.mid_block_type, down.last()) {
            (Some(kind), Some(last)) => Some(self.mid_stage(kind, last)?),
            _ => None,
        };
        let up = self.up_stages(&down)?;
        for stage in down.iter().chain(&mid).chain(&up) {
            check_divisible("norm_num_groups", stage.c, self.norm_num_groups)?;
            if !stage.depths.is_empty() {
                check_divisible("attention_head_dim", stage.c, stage.n_heads)?;
            }
        }
        Ok(Stages { down, mid, up })
    }

    fn down_stages(&self) -> Result<Vec<Stage>, UnetConfigError> {
        let n = self.block_out_channels.len();
        if n == 0 {
            return Err(length("block_out_channels", 0, 1));
        }
        if self.down_block_types.len() != n {
            return Err(length("down_block_types", self.down_block_types.len(), n));
        }
        let n_layers = self.layers_per_block.expand("layers_per_block", n)?;
        let d_context = self.cross_attention_dim.expand("cross_attention_dim", n)?;
        let n_heads = self.attention_head_dim.expand("attention_head_dim", n)?;
        let only_cross = self.only_cross_attention.expand("only_cross_attention", n)?;
        let depths = self.transformer_layers_per_block.expand(DEPTHS, n)?;
        let kinds = self.down_block_types.iter().zip(&self.block_out_channels);
        let lists = kinds.zip(n_layers).zip(depths);
        let attention = d_context.into_iter().zip(n_heads).zip(only_cross);
        let stages = lists.zip(attention).map(
            |((((kind, &c), n_layers), depths), ((d_context, n_heads), only_cross_attention))| {
                let depths = match kind {
                    DownBlockType::CrossAttnDownBlock2D => depths.expand(DEPTHS, n_layers)?,
                    DownBlockType::DownBlock2D => Vec::new(),
                };
                Ok(Stage {
                    c,
                    n_layers,
                    depths,
                    d_context,
                    n_heads,
                    only_cross_attention,
                })
            },
        );
        stages.collect()
    }

    /// The middle takes everything from the last block down, but its transformer always sees the image too.
    fn mid_stage(&self, kind: MidBlockType, last: &Stage) -> Result<Stage, UnetConfigError> {
        let depths = match (kind, &self.transformer_layers_per_block) {
            (MidBlockType::UNetMidBlock2D, _) => Vec::new(),
            (MidBlockType::UNetMidBlock2DCrossAttn, PerBlock::One(depth)) => first(depth)?,
            (MidBlockType::UNetMidBlock2DCrossAttn, PerBlock::Each(depths)) => match depths.last() {
                Some(depth) => first(depth)?,
                None => Vec::new(),
            },
        };
        Ok(Stage {
            n_layers: depths.len(),
            depths,
            only_cross_attention: false,
            ..last.clone()
        })
    }

    /// The mirror image of the way down, with one layer more in each block.
    fn up_stages(&self, down: &[Stage]) -> Result<Vec<Stage>, UnetConfigError> {
        if self.up_block_types.len() != down.len() {
            return Err(length("up_block_types", self.up_block_types.len(), down.len()));
        }
        let depths = match &self.reverse_transformer_layers_per_block {
            Some(depths) => PerBlock::Each(depths.clone()).expand(REVERSE_DEPTHS, down.len())?,
            None => {
                let mut depths = self.transformer_layers_per_block.expand(DEPTHS, down.len())?;
                depths.reverse();
                depths
            }
        };
        let mirrored = down.iter().rev().zip(&self.up_block_types).zip(depths);
        let stages = mirrored.map(|((below, kind), depths)| {
            let n_layers = below.n_layers + 1;
            let depths = match kind {
                UpBlockType::CrossAttnUpBlock2D => depths.expand(REVERSE_DEPTHS, n_layers)?,
                UpBlockType::UpBlock2D => Vec::new(),
            };
            Ok(Stage {
                n_layers,
                depths,
                ..below.clone()
            })
        });
        stages.collect()
    }
}

const DEPTHS: &str = "transformer_layers_per_block";
const REVERSE_DEPTHS: &str = "reverse_transformer_layers_per_block";

/// Depth of the middle's only transformer: a list's first entry, as in the reference.
fn first(depth: &PerBlock<usize>) -> Result<Vec<usize>, UnetConfigError> {
    match depth {
        PerBlock::One(depth) => Ok(vec![*depth]),
        PerBlock::Each(depths) => match depths.first() {
            Some(depth) => Ok(vec![*depth]),
            None => Err(length(DEPTHS, 0, 1)),
        },
    }
}

fn length(key: &'static str, found: usize, expected: usize) -> UnetConfigError {
    UnetConfigError::ListLength { key, found, expected }
}

pub(super) fn check_divisible(
    key: &'static str,
    n_channels: usize,
    n_parts: usize,
) -> Result<(), UnetConfigError> {
    match n_channels.checked_rem(n_parts) {
        Some(0) => Ok(()),
        _ => Err(UnetConfigError::Indivisible {
            key,
            n_channels,
            n_parts,
        }),
    }
}
