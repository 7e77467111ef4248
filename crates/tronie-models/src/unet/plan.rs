//! From a configuration's lists to one description per block, with everything that must fit checked.

use tronie_tensor::Device;

use crate::Place;
use crate::blocks::{AttentionShape, NormShape, Sinusoid, TextSite, Transformer, TransformerShape};

use super::config::{AdditionEmbedType, DownBlockType, MidBlockType, PerBlock, UnetConfig, UpBlockType};
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
    /// Its residual blocks.
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
                attention: AttentionShape { d: self.c, d_context: self.d_context, n_heads: self.n_heads },
                n_layers,
                only_cross_attention: self.only_cross_attention,
                linear_projection: frame.linear_projection,
                n_groups: frame.norm.n_groups,
            };
            Transformer::new(shape, device)
        });
        transformers.collect()
    }

    fn check(&self, n_groups: usize) -> Result<(), UnetConfigError> {
        check_not_zero(CHANNELS, self.c)?;
        check_not_zero(LAYERS, self.n_layers)?;
        check_divisible("norm_num_groups", self.c, n_groups)?;
        if self.depths.is_empty() {
            return Ok(());
        }
        check_not_zero(CONTEXT, self.d_context)?;
        check_divisible(HEADS, self.c, self.n_heads)
    }
}

/// SDXL's second embedding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddedPlan {
    /// For each number.
    pub(crate) time_proj: Sinusoid,
    /// Width of all numbers and the pooled text.
    pub(crate) d_in: usize,
}

/// A whole UNet, checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What all blocks share.
    pub(crate) frame: Frame,
    /// Channels before the first block, and after the last.
    pub(crate) c_first: usize,
    /// For the timestep.
    pub(crate) time_proj: Sinusoid,
    /// What is added to the timestep, in SDXL.
    pub(crate) added: Option<AddedPlan>,
    /// Way down.
    pub(crate) down: Vec<Stage>,
    /// Between them, unless there is none.
    pub(crate) mid: Option<Stage>,
    /// Way up.
    pub(crate) up: Vec<Stage>,
}

impl Plan {
    /// Every layer that looks at text, with its width, in the order in which the reference numbers attention layers: down, up,
    /// middle.
    pub(crate) fn text_sites(&self) -> Vec<(TextSite, usize)> {
        let down = self.down.iter().enumerate().map(|(block, stage)| (Place::Down, block, stage));
        let up = self.up.iter().enumerate().map(|(block, stage)| (Place::Up, block, stage));
        let stages = down.chain(up).chain(self.mid.iter().map(|stage| (Place::Mid, 0, stage)));
        let sites = stages.flat_map(|(place, block, stage)| {
            let depths = stage.depths.iter().enumerate();
            depths.flat_map(move |(transformer, &depth)| {
                let site = move |layer| TextSite { place, block, transformer, layer };
                (0..depth).map(move |layer| (site(layer), stage.c))
            })
        });
        sites.collect()
    }
}

impl UnetConfig {
    /// What the lists of the configuration come to.
    ///
    /// # Errors
    /// [`UnetConfigError`] when lists have the wrong length, something is zero or missing, or channels cannot be
    /// split into groups or heads.
    pub(crate) fn plan(&self) -> Result<Plan, UnetConfigError> {
        let n = self.block_out_channels.len();
        let &c_first = self.block_out_channels.first().ok_or(length(CHANNELS, 0, 1))?;
        let depths = self.transformer_layers_per_block.expand(DEPTHS, n)?;
        let down = self.down_stages(&depths)?;
        let mid = match (self.mid_block_type, down.last(), depths.last()) {
            (Some(kind), Some(last), Some(depth)) => Some(mid_stage(kind, last, depth)?),
            _ => None,
        };
        let up = self.up_stages(&down, depths)?;
        check_not_zero("in_channels", self.in_channels)?;
        check_not_zero("out_channels", self.out_channels)?;
        for stage in down.iter().chain(&mid).chain(&up) {
            stage.check(self.norm_num_groups)?;
        }
        Ok(Plan {
            frame: Frame {
                d_time: self.time_embedding_dim.unwrap_or(4 * c_first),
                norm: NormShape { n_groups: self.norm_num_groups, epsilon: self.norm_eps },
                linear_projection: self.use_linear_projection,
            },
            c_first,
            time_proj: self.sinusoid(CHANNELS, c_first)?,
            added: self.added_plan()?,
            down,
            mid,
            up,
        })
    }

    fn added_plan(&self) -> Result<Option<AddedPlan>, UnetConfigError> {
        match self.addition_embed_type {
            None => Ok(None),
            Some(AdditionEmbedType::TextTime) => {
                let need = |key, value: Option<usize>| {
                    value.ok_or(UnetConfigError::Missing { key, needed_by: "addition_embed_type" })
                };
                let d = need("addition_time_embed_dim", self.addition_time_embed_dim)?;
                let d_in = need(
                    "projection_class_embeddings_input_dim",
                    self.projection_class_embeddings_input_dim,
                )?;
                let time_proj = self.sinusoid("addition_time_embed_dim", d)?;
                Ok(Some(AddedPlan { time_proj, d_in }))
            }
        }
    }

    fn sinusoid(&self, key: &'static str, d: usize) -> Result<Sinusoid, UnetConfigError> {
        check_divisible(key, d, 2)?;
        Ok(Sinusoid { d, flip_sin_to_cos: self.flip_sin_to_cos, freq_shift: self.freq_shift })
    }

    fn down_stages(&self, depths: &[PerBlock<usize>]) -> Result<Vec<Stage>, UnetConfigError> {
        let n = self.block_out_channels.len();
        if self.down_block_types.len() != n {
            return Err(length("down_block_types", self.down_block_types.len(), n));
        }
        let n_layers = self.layers_per_block.expand(LAYERS, n)?;
        let d_context = self.cross_attention_dim.expand(CONTEXT, n)?;
        let n_heads = self.attention_head_dim.expand(HEADS, n)?;
        let only_cross = self.only_cross_attention.expand("only_cross_attention", n)?;
        let blocks = self.down_block_types.iter().zip(&self.block_out_channels);
        let layers = n_layers.into_iter().zip(depths);
        let attention = d_context.into_iter().zip(n_heads).zip(only_cross);
        let stages = blocks.zip(layers).zip(attention).map(
            |(((kind, &c), (n_layers, depths)), ((d_context, n_heads), only_cross_attention))| {
                let depths = match kind {
                    DownBlockType::CrossAttnDownBlock2D => depths.expand(DEPTHS, n_layers)?,
                    DownBlockType::DownBlock2D => Vec::new(),
                };
                Ok(Stage { c, n_layers, depths, d_context, n_heads, only_cross_attention })
            },
        );
        stages.collect()
    }

    /// The mirror image of the way down, with one layer more in each block.
    fn up_stages(&self, down: &[Stage], depths: Vec<PerBlock<usize>>) -> Result<Vec<Stage>, UnetConfigError> {
        let n = down.len();
        if self.up_block_types.len() != n {
            return Err(length("up_block_types", self.up_block_types.len(), n));
        }
        let depths = match &self.reverse_transformer_layers_per_block {
            Some(depths) if depths.len() == n => depths.clone(),
            Some(depths) => return Err(length(REVERSE_DEPTHS, depths.len(), n)),
            None => depths.into_iter().rev().collect(),
        };
        let mirrored = down.iter().rev().zip(&self.up_block_types).zip(depths);
        let stages = mirrored.map(|((below, kind), depths)| {
            let n_layers = below.n_layers + 1;
            let depths = match kind {
                UpBlockType::CrossAttnUpBlock2D => depths.expand(REVERSE_DEPTHS, n_layers)?,
                UpBlockType::UpBlock2D => Vec::new(),
            };
            Ok(Stage { n_layers, depths, ..below.clone() })
        });
        stages.collect()
    }
}

/// The middle takes everything from the last block down, but its transformer always sees the image too. Where that
/// block's transformers differ in depth, the middle's is as deep as the first of them, as in the reference.
fn mid_stage(kind: MidBlockType, last: &Stage, depth: &PerBlock<usize>) -> Result<Stage, UnetConfigError> {
    let depths = match (kind, depth) {
        (MidBlockType::UNetMidBlock2D, _) => Vec::new(),
        (MidBlockType::UNetMidBlock2DCrossAttn, PerBlock::One(depth)) => vec![*depth],
        (MidBlockType::UNetMidBlock2DCrossAttn, PerBlock::Each(depths)) => {
            vec![*depths.first().ok_or(length(DEPTHS, 0, 1))?]
        }
    };
    Ok(Stage { n_layers: depths.len() + 1, depths, only_cross_attention: false, ..last.clone() })
}

const CHANNELS: &str = "block_out_channels";
const LAYERS: &str = "layers_per_block";
const CONTEXT: &str = "cross_attention_dim";
const HEADS: &str = "attention_head_dim";
const DEPTHS: &str = "transformer_layers_per_block";
const REVERSE_DEPTHS: &str = "reverse_transformer_layers_per_block";

fn length(key: &'static str, found: usize, expected: usize) -> UnetConfigError {
    UnetConfigError::ListLength { key, found, expected }
}

fn check_divisible(key: &'static str, n_channels: usize, n_parts: usize) -> Result<(), UnetConfigError> {
    match n_channels.checked_rem(n_parts) {
        Some(0) => Ok(()),
        _ => Err(UnetConfigError::Indivisible { key, n_channels, n_parts }),
    }
}

fn check_not_zero(key: &'static str, value: usize) -> Result<(), UnetConfigError> {
    if value == 0 {
        return Err(UnetConfigError::Zero { key });
    }
    Ok(())
}
