//! A small network that steers a UNet by a picture: it runs once, and its maps are added on the way down.
//!
//! Mou et al. 2023 (arXiv:2302.08453). Reference: `T2IAdapter`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/adapter.py>.
//!
//! Three arrangements are published: for SD (`full_adapter`), for SDXL (`full_adapter_xl`) and a light one
//! (`light_adapter`). Their tensors tell them apart.

use tronie_tensor::burn;
use tronie_tensor::burn::tensor::activation::relu;
use tronie_tensor::{Device, Module, Tensor};
use tronie_weights::TensorFile;

use crate::controlnet::same;
use crate::unet::{AdapterFeatures, UnetConfig};
use crate::{ControlFitError, Conv2d, DownBlockType};

/// Side of a square of pixels that becomes one, by the number of channels that come of it: pictures have 3 or 1.
const UNSHUFFLED: [(usize, Shuffle); 4] = [
    (3 * 8 * 8, Shuffle { side: 8, channels: 3 }),
    (8 * 8, Shuffle { side: 8, channels: 1 }),
    (3 * 16 * 16, Shuffle { side: 16, channels: 3 }),
    (16 * 16, Shuffle { side: 16, channels: 1 }),
];
/// The side in adapters for SDXL, whose maps have other sizes.
const SIDE_XL: usize = 16;

/// How pixels become channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shuffle {
    side: usize,
    channels: usize,
}

/// One block of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    c_in: usize,
    c: usize,
    n_resnets: usize,
    /// Channels of its residual blocks, where they are fewer (light).
    c_inner: Option<usize>,
    halves: bool,
}

/// Architecture of a T2I-Adapter, read off its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct T2iAdapterConfig {
    shuffle: Shuffle,
    is_light: bool,
    stages: Vec<Stage>,
}

impl T2iAdapterConfig {
    /// What an adapter with these tensors, in diffusers' names, is like.
    ///
    /// # Errors
    /// [`ControlFitError`] when tensors are missing or are those of no adapter.
    pub fn of(tensors: &dyn TensorFile) -> Result<Self, ControlFitError> {
        let shape = |name: &str| tensors.meta(name).map(|meta| meta.shape);
        let dim = |name: String, index: usize| {
            let dim = shape(&name).and_then(|shape| shape.get(index).copied());
            dim.ok_or(ControlFitError::Missing { name })
        };
        let names = tensors.names();
        let count = |prefix: &str, suffix: &str| {
            (0..).take_while(|n| names.contains(&format!("{prefix}.{n}.{suffix}"))).count()
        };
        let is_light = shape("adapter.conv_in.weight").is_none();
        let first = if is_light { "adapter.body.0.in_conv.weight" } else { "adapter.conv_in.weight" };
        let unshuffled = dim(first.to_owned(), 1)?;
        let known = UNSHUFFLED.iter().find(|row| row.0 == unshuffled);
        let &(_, shuffle) = known.ok_or_else(|| ControlFitError::Differs {
            what: "channels after its first step",
            found: vec![unshuffled],
            expected: UNSHUFFLED.map(|row| row.0).to_vec(),
        })?;
        let mut stages = Vec::new();
        for block in 0..count("adapter.body", "resnets.0.block1.weight") {
            let path = format!("adapter.body.{block}");
            let c_inner = dim(format!("{path}.resnets.0.block1.weight"), 0)?;
            let c = if is_light { dim(format!("{path}.out_conv.weight"), 0)? } else { c_inner };
            let in_conv = shape(&format!("{path}.in_conv.weight"));
            stages.push(Stage {
                c_in: in_conv.and_then(|shape| shape.get(1).copied()).unwrap_or(c),
                c,
                n_resnets: count(&format!("{path}.resnets"), "block1.weight"),
                c_inner: is_light.then_some(c_inner),
                halves: if shuffle.side == SIDE_XL { block == 2 } else { block > 0 },
            });
        }
        Ok(Self { shuffle, is_light, stages })
    }

    /// Channels of the picture: 3 colours, or 1 of gray.
    #[must_use]
    pub fn picture_channels(&self) -> usize {
        self.shuffle.channels
    }

    /// Height and width of the picture must be multiples of this, in pixels.
    #[must_use]
    pub fn multiple_px(&self) -> usize {
        self.shuffle.side
    }

    /// Whether its maps are those of `base`, whose latents have one pixel for `factor` of the picture on a side.
    ///
    /// # Errors
    /// [`ControlFitError::Differs`].
    pub fn check(&self, base: &UnetConfig, factor: usize) -> Result<(), ControlFitError> {
        let last = base.block_out_channels.len().saturating_sub(1);
        let blocks = base.block_out_channels.iter().zip(&base.down_block_types).enumerate();
        let places = blocks.map(|(block, (&c, kind))| {
            // behind a block without attention the map is that of the next
            let is_next = *kind == DownBlockType::DownBlock2D && block < last;
            [c, factor << (block + usize::from(is_next))]
        });
        let mut expected: Vec<usize> = places.flatten().collect();
        let mut side = self.shuffle.side;
        let mut found = Vec::new();
        for stage in &self.stages {
            side <<= usize::from(stage.halves);
            found.extend([stage.c, side]);
        }
        if found.len() > expected.len() {
            // one more, for the middle
            expected.extend(expected.split_at(2 * last).1.to_vec());
        }
        same("maps (channels, pixels of the picture for one of theirs)", found, expected)
    }

    /// A network of this architecture without values; [`crate::load()`] fills it.
    #[must_use]
    pub fn init(&self, device: &Device) -> T2iAdapter {
        let Shuffle { side, channels } = self.shuffle;
        let c_first = self.stages.first().map_or(0, |stage| stage.c_in);
        let conv_in = (!self.is_light).then(|| Conv2d::same_3x3(channels * side * side, c_first, device));
        let body = self.stages.iter().map(|stage| AdapterBlock::new(*stage, device));
        let adapter = Body { conv_in, body: body.collect() };
        T2iAdapter { adapter, side }
    }
}

/// The network. Fields are the keys of the diffusers checkpoint.
#[derive(Module, Debug)]
pub struct T2iAdapter {
    adapter: Body,
    #[module(skip)]
    side: usize,
}

#[derive(Module, Debug)]
struct Body {
    conv_in: Option<Conv2d>, // none in light adapters
    body: Vec<AdapterBlock>,
}

/// Half the size, other channels, residual blocks, and other channels again; all but the blocks optional.
#[derive(Module, Debug)]
struct AdapterBlock {
    in_conv: Option<Conv2d>,
    resnets: Vec<AdapterResBlock>,
    out_conv: Option<Conv2d>, // in light adapters
    #[module(skip)]
    halves: bool,
}

#[derive(Module, Debug)]
struct AdapterResBlock {
    block1: Conv2d,
    block2: Conv2d,
}

impl AdapterBlock {
    fn new(stage: Stage, device: &Device) -> Self {
        let Stage { c_in, c, n_resnets, c_inner, halves } = stage;
        let inner = c_inner.unwrap_or(c);
        let block2 = || match c_inner {
            Some(inner) => Conv2d::same_3x3(inner, inner, device),
            None => Conv2d::pointwise(c, c, device),
        };
        let resnet = |_| AdapterResBlock { block1: Conv2d::same_3x3(inner, inner, device), block2: block2() };
        Self {
            in_conv: (c_in != inner || c_inner.is_some()).then(|| Conv2d::pointwise(c_in, inner, device)),
            resnets: (0..n_resnets).map(resnet).collect(),
            out_conv: c_inner.map(|inner| Conv2d::pointwise(inner, c, device)),
            halves,
        }
    }

    /// # Shapes
    /// `x`: b h w c_in. Returns b h' w' c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.halves { halved(x) } else { x };
        let x = self.in_conv.iter().fold(x, |x, conv| conv.forward(x));
        let x = self.resnets.iter().fold(x, |x, resnet| resnet.forward(x));
        self.out_conv.iter().fold(x, |x, conv| conv.forward(x))
    }
}

impl AdapterResBlock {
    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block2.forward(relu(self.block1.forward(x.clone()))) + x
    }
}

impl T2iAdapter {
    /// What the UNet is to add to its maps, unscaled.
    ///
    /// # Shapes
    /// `picture`: b c H W, values in 0..=1, H and W multiples of [`T2iAdapterConfig::multiple_px`]. Maps are b h w c.
    #[must_use]
    pub fn forward(&self, picture: Tensor<4>) -> AdapterFeatures {
        let Body { conv_in, body } = &self.adapter;
        let mut x = conv_in.iter().fold(unshuffled(picture, self.side), |x, conv| conv.forward(x));
        let mut maps = Vec::with_capacity(body.len());
        for block in body {
            x = block.forward(x);
            maps.push(x.clone());
        }
        AdapterFeatures { maps }
    }
}

/// Squares of `side` x `side` pixels as channels, in the order of `torch.nn.PixelUnshuffle`.
///
/// # Shapes
/// `x`: b c H W. Returns b H/side W/side c*side*side.
pub(crate) fn unshuffled(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b, c, h / side, side, w / side, side]);
    let x = x.permute([0, 2, 4, 1, 3, 5]); // b h w c row column
    x.reshape([b, h / side, w / side, c * side * side])
}

/// Means of squares of 2 x 2 pixels; at an odd edge, of the pixels there are, which is what repeating the edge gives.
///
/// # Shapes
/// `x`: b h w c. Returns b ceil(h/2) ceil(w/2) c.
fn halved(x: Tensor<4>) -> Tensor<4> {
    let x = even(even(x, 1), 2);
    let [b, h, w, c] = x.dims();
    x.reshape([b, h / 2, 2, w / 2, 2, c]).mean_dims(&[2, 4]).reshape([b, h / 2, w / 2, c])
}

/// The map with its last row (`dim` 1) or column (2) repeated if their number is odd.
fn even(x: Tensor<4>, dim: usize) -> Tensor<4> {
    let n = x.dims().get(dim).copied().unwrap_or_default();
    if n % 2 == 0 {
        return x;
    }
    let last = x.clone().narrow(dim, n - 1, 1);
    Tensor::cat(vec![x, last], dim)
}

#[cfg(test)]
mod tests;
