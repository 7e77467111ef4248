//! Networks that enlarge pictures: ESRGAN, Real-ESRGAN, and Real-ESRGAN's compact one.
//!
//! Wang et al. 2018 (arXiv:1809.00219): residual-in-residual dense blocks. Wang et al. 2021 (arXiv:2107.10833): the same with pixels folded into channels
//! for smaller factors, and a plain chain of convolutions. Reference: XPixelGroup/BasicSR 1.4.2, `basicsr/archs/rrdbnet_arch.py`, `srvgg_arch.py`.
//!
//! Shapes: b batch, h w rows and columns, c channels; maps are channels-last.

use tronie_tensor::burn;
use tronie_tensor::burn::module::Param;
use tronie_tensor::burn::tensor::activation::leaky_relu;
use tronie_tensor::ops::upsample_nearest_2x;
use tronie_tensor::{Device, Module, ParamId, Shape, Tensor};
use tronie_weights::TensorFile;

use crate::Conv2d;
use crate::blocks::Either;
use crate::t2i_adapter::unshuffled;

/// Slope of the activations below 0.
const SLOPE: f64 = 0.2;
/// Share of every residual that is added.
const RESIDUAL: f64 = 0.2;
const N_DENSE: usize = 3;
const N_CONVS: usize = 5;
const C_IMAGE: usize = 3;

/// A file that is no upscaler of these architectures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpscalerFitError {
    /// A tensor by which it is recognised is missing.
    #[error("it has no tensor \"{name}\"")]
    Missing {
        /// Which one.
        name: String,
    },
    /// A number that no such network has.
    #[error("it has {found} {what}, expected {expected}")]
    Number {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// What there can be.
        expected: &'static str,
    },
}

/// Architecture of an upscaler, read off its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpscalerConfig {
    /// ESRGAN's.
    Dense {
        /// Channels of every map.
        c: usize,
        /// Channels that each dense layer adds.
        c_growth: usize,
        /// Blocks.
        n_blocks: usize,
        /// Enlargements by two.
        n_doublings: usize,
        /// Side of the square of pixels that becomes one.
        fold: usize,
    },
    /// Real-ESRGAN's compact one.
    Compact {
        /// Channels of every map.
        c: usize,
        /// Convolutions between the first and the last.
        n_convs: usize,
        /// Its factor.
        scale: usize,
    },
}

impl UpscalerConfig {
    /// What an upscaler with these tensors, in the names of [`tronie_weights::open_upscaler`], is like.
    ///
    /// # Errors
    /// [`UpscalerFitError`] when they are those of something else.
    pub fn of(tensors: &dyn TensorFile) -> Result<Self, UpscalerFitError> {
        let dim = |name: &str, index: usize| {
            let dim = tensors.meta(name).and_then(|meta| meta.shape.get(index).copied());
            dim.ok_or_else(|| UpscalerFitError::Missing { name: name.to_owned() })
        };
        let count =
            |name: &dyn Fn(usize) -> String| (0..).take_while(|&n| tensors.meta(&name(n)).is_some()).count();
        if tensors.meta("conv_first.weight").is_some() {
            let c_in = dim("conv_first.weight", 1)?;
            let fold = [1, 2, 4].into_iter().find(|fold| C_IMAGE * fold * fold == c_in);
            let expected = "3, 12 or 48: colours, of one, four or sixteen pixels";
            return Ok(Self::Dense {
                c: dim("conv_first.weight", 0)?,
                c_growth: dim("body.0.rdb.0.conv.0.weight", 0)?,
                n_blocks: count(&|n| format!("body.{n}.rdb.0.conv.0.weight")),
                n_doublings: count(&|n| format!("conv_up.{n}.weight")),
                fold: fold.ok_or(UpscalerFitError::Number { what: "channels", found: c_in, expected })?,
            });
        }
        let n_layers = count(&|n| format!("body.{n}.weight"));
        let last = n_layers.saturating_sub(1);
        let c_out = dim(&format!("body.{last}.weight"), 0)?;
        let scale = (1..=8).find(|scale| C_IMAGE * scale * scale == c_out);
        Ok(Self::Compact {
            c: dim("body.0.weight", 0)?,
            n_convs: (n_layers / 2).saturating_sub(1),
            scale: scale.ok_or(UpscalerFitError::Number {
                what: "channels at its end",
                found: c_out,
                expected: "three times a square",
            })?,
        })
    }

    /// How many pixels one becomes on a side.
    #[must_use]
    pub fn scale(&self) -> usize {
        match self {
            Self::Dense { n_doublings, fold, .. } => ((1 << n_doublings) / fold).max(1),
            Self::Compact { scale, .. } => *scale,
        }
    }

    /// Height and width of what it is given must be multiples of this, in pixels.
    #[must_use]
    pub fn multiple_px(&self) -> usize {
        match self {
            Self::Dense { fold, .. } => *fold,
            Self::Compact { .. } => 1,
        }
    }

    /// A network of this architecture without values; [`crate::load()`] fills it.
    #[must_use]
    pub fn init(&self, device: &Device) -> Upscaler {
        let network = match self {
            Self::Dense { c, c_growth, n_blocks, n_doublings, fold } => {
                let same = || Conv2d::same_3x3(*c, *c, device);
                Either::First(Dense {
                    conv_first: Conv2d::same_3x3(C_IMAGE * fold * fold, *c, device),
                    body: (0..*n_blocks).map(|_| Block::new(*c, *c_growth, device)).collect(),
                    conv_body: same(),
                    conv_up: (0..*n_doublings).map(|_| same()).collect(),
                    conv_hr: same(),
                    conv_last: Conv2d::same_3x3(*c, C_IMAGE, device),
                    fold: *fold,
                })
            }
            Self::Compact { c, n_convs, scale } => {
                let mut body = vec![Either::First(Conv2d::same_3x3(C_IMAGE, *c, device))];
                body.push(Either::Second(Prelu::new(*c, device)));
                for _ in 0..*n_convs {
                    body.push(Either::First(Conv2d::same_3x3(*c, *c, device)));
                    body.push(Either::Second(Prelu::new(*c, device)));
                }
                body.push(Either::First(Conv2d::same_3x3(*c, C_IMAGE * scale * scale, device)));
                Either::Second(Compact { body, scale: *scale })
            }
        };
        Upscaler { network }
    }
}

/// A network that enlarges pictures.
#[derive(Debug, Clone)]
pub struct Upscaler {
    network: Either<Dense, Compact>,
}

impl Upscaler {
    /// Fills it from a file.
    ///
    /// # Errors
    /// [`crate::LoadError`] when tensors are missing or have other shapes.
    pub fn load(self, tensors: &dyn TensorFile, device: &Device) -> Result<Self, crate::LoadError> {
        Ok(Self { network: crate::load(self.network, tensors, device)? })
    }

    /// # Shapes
    /// `image`: b 3 h w in 0..=1. Returns b 3 s h s w with s the network's scale, about 0..=1.
    #[must_use]
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let out = match &self.network {
            Either::First(dense) => dense.forward(image),
            Either::Second(compact) => compact.forward(image.permute([0, 2, 3, 1])),
        };
        out.permute([0, 3, 1, 2]) // b 3 sh sw
    }
}

/// ESRGAN's network.
#[derive(Module, Debug)]
pub(crate) struct Dense {
    conv_first: Conv2d,
    body: Vec<Block>,
    conv_body: Conv2d,
    conv_up: Vec<Conv2d>,
    conv_hr: Conv2d,
    conv_last: Conv2d,
    #[module(skip)]
    fold: usize,
}

impl Dense {
    /// # Shapes
    /// `image`: b 3 h w. Returns b sh sw 3.
    fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let first = self.conv_first.forward(unshuffled(image, self.fold));
        let x = self.body.iter().fold(first.clone(), |x, block| block.forward(x));
        let mut x = self.conv_body.forward(x) + first;
        for conv in &self.conv_up {
            x = leaky_relu(conv.forward(upsample_nearest_2x(x)), SLOPE);
        }
        self.conv_last.forward(leaky_relu(self.conv_hr.forward(x), SLOPE))
    }
}

/// Three dense blocks beside the identity.
#[derive(Module, Debug)]
struct Block {
    rdb: Vec<DenseBlock>,
}

impl Block {
    fn new(c: usize, c_growth: usize, device: &Device) -> Self {
        Self { rdb: (0..N_DENSE).map(|_| DenseBlock::new(c, c_growth, device)).collect() }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.rdb.iter().fold(x.clone(), |x, block| block.forward(x)) * RESIDUAL + x
    }
}

/// Five convolutions, each of which sees all maps before it.
#[derive(Module, Debug)]
struct DenseBlock {
    conv: Vec<Conv2d>,
}

impl DenseBlock {
    fn new(c: usize, c_growth: usize, device: &Device) -> Self {
        let c_out = |index| if index + 1 == N_CONVS { c } else { c_growth };
        let conv = (0..N_CONVS).map(|index| Conv2d::same_3x3(c + index * c_growth, c_out(index), device));
        Self { conv: conv.collect() }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut seen = x.clone();
        for (index, conv) in self.conv.iter().enumerate() {
            let map = conv.forward(seen.clone());
            if index + 1 == self.conv.len() {
                return map * RESIDUAL + x;
            }
            seen = Tensor::cat(vec![seen, leaky_relu(map, SLOPE)], 3);
        }
        seen
    }
}

/// Real-ESRGAN's compact network: a torch `Sequential`, whose numbers are the places in the list.
#[derive(Module, Debug)]
pub(crate) struct Compact {
    body: Vec<Either<Conv2d, Prelu>>,
    #[module(skip)]
    scale: usize,
}

impl Compact {
    /// # Shapes
    /// `image`: b h w 3. Returns b sh sw 3.
    fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let x = self.body.iter().fold(image.clone(), |x, layer| match layer {
            Either::First(conv) => conv.forward(x),
            Either::Second(prelu) => prelu.forward(x),
        });
        shuffled(x, self.scale) + repeated(image, self.scale)
    }
}

/// Below 0 a slope for each channel.
#[derive(Module, Debug)]
pub(crate) struct Prelu {
    weight: Param<Tensor<1>>,
}

impl Prelu {
    fn new(c: usize, device: &Device) -> Self {
        let init = move |device: &Device, _require_grad: bool| Tensor::zeros([c], device);
        Self { weight: Param::uninitialized(ParamId::new(), init, device.clone(), false, Shape::from([c])) }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [.., c] = x.dims();
        let slope = self.weight.val().reshape([1, 1, 1, c]).cast(x.dtype());
        x.clone().clamp_min(0.0) + x.clamp_max(0.0) * slope
    }
}

/// Channels as squares of pixels, in the order of `torch.nn.PixelShuffle`.
///
/// # Shapes
/// `x`: b h w c*s*s. Returns b sh sw c.
fn shuffled(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let c = c / (side * side);
    let x = x.reshape([b, h, w, c, side, side]).permute([0, 1, 4, 2, 5, 3]); // b h row w column c
    x.reshape([b, h * side, w * side, c])
}

/// Every pixel as a square of them.
///
/// # Shapes
/// `x`: b h w c. Returns b sh sw c.
fn repeated(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let x = x.reshape([b, h, 1, w, 1, c]).expand([b, h, side, w, side, c]);
    x.reshape([b, h * side, w * side, c])
}

#[cfg(test)]
mod tests;
