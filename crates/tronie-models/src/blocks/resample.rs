//! Between resolutions: half the size by a strided convolution, twice the size by repetition and a convolution.
//!
//! Reference: `Downsample2D` and `Upsample2D` with `use_conv`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/downsampling.py>,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/upsampling.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::{ConvGeometry, upsample_nearest_2x};
use tronie_tensor::{Device, Module, Tensor};

use crate::Conv2d;

/// b h w c -> b ceil(h/2) ceil(w/2) c.
#[derive(Module, Debug)]
pub(crate) struct Downsample {
    conv: Conv2d,
}

impl Downsample {
    pub(crate) fn new(c: usize, device: &Device) -> Self {
        let geometry = ConvGeometry { stride: 2, padding: 1 };
        Self { conv: Conv2d::new(c, c, 3, geometry, device) }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b ceil(h/2) ceil(w/2) c.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(x)
    }
}

/// b h w c -> b h' w' c, where h' and w' are what [`Downsample`] made h and w of.
#[derive(Module, Debug)]
pub(crate) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    pub(crate) fn new(c: usize, device: &Device) -> Self {
        Self { conv: Conv2d::same_3x3(c, c, device) }
    }

    /// # Shapes
    /// `x`: b h w c; `size`: h' and w', each twice of what `x` has or one less. Returns b h' w' c.
    ///
    /// Nearest-neighbour interpolation from n to 2n - 1 pixels reads pixel floor(i n / (2n - 1)) = floor(i / 2) for
    /// every i it has, so it is the interpolation to 2n without its last pixel.
    pub(crate) fn forward(&self, x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let [b, _, _, c] = x.dims();
        let [h, w] = size;
        let x = upsample_nearest_2x(x);
        let [_, h_doubled, w_doubled, _] = x.dims();
        let x = if [h, w] == [h_doubled, w_doubled] {
            x
        } else {
            x.slice([0..b, 0..h, 0..w, 0..c]) // b h' w' c
        };
        self.conv.forward(x)
    }
}
