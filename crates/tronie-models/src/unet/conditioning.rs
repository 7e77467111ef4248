//! Everything a UNet is told besides latents and timestep, in one argument.

use std::sync::Arc;

use tronie_tensor::{DType, Tensor};

use crate::AttentionEditor;

/// Everything a UNet is told besides latents and timestep.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// b s d: the text encoder's tokens, d as wide as the configuration's `cross_attention_dim`.
    pub context: Tensor<3>,
    /// What SDXL adds to the timestep; other networks ignore it.
    pub added: Option<Added>,
    /// What ControlNets add on the way; `None` for none.
    pub control: Option<ControlResiduals>,
    /// What T2I-Adapters add on the way; `None` for none.
    pub adapter: Option<AdapterFeatures>,
    /// Who watches the attention and may change it; `None` runs every layer fused.
    pub editor: Option<Arc<dyn AttentionEditor>>,
}

impl Conditioning {
    /// Text alone.
    ///
    /// # Shapes
    /// `context`: b s d.
    #[must_use]
    pub fn new(context: Tensor<3>) -> Self {
        Self { context, added: None, control: None, adapter: None, editor: None }
    }
}

/// SDXL's second conditioning: the pooled text, and numbers about the image.
#[derive(Debug, Clone)]
pub struct Added {
    /// b d: the pooled output of the larger text encoder.
    pub pooled: Tensor<2>,
    /// b k: original height and width, top and left of the crop, target height and width (base, k = 6), or original
    /// height and width, top and left of the crop, aesthetic score (refiner, k = 5).
    pub time_ids: Tensor<2>,
}

/// Feature maps of a [`ControlNet`](crate::ControlNet), channels-last, to be added to the UNet's own.
#[derive(Debug, Clone)]
pub struct ControlResiduals {
    /// b h w c each: one for every map the way down hands to the way up, in that order. h and w are 1 where the
    /// network pools its maps.
    pub down: Vec<Tensor<4>>,
    /// b h w c: for the map after the middle block.
    pub mid: Tensor<4>,
}

impl ControlResiduals {
    /// All maps, each times its weight: `weights` has one for each of `down`, and one for `mid` at its end. Maps
    /// beyond the weights keep their size.
    #[must_use]
    pub fn scaled(self, weights: &[f64]) -> Self {
        let (of_mid, of_down) = weights.split_last().map_or((1.0, weights), |(last, rest)| (*last, rest));
        let of_down = of_down.iter().copied().chain(std::iter::repeat(1.0));
        let down = self.down.into_iter().zip(of_down).map(|(map, weight)| map * weight);
        Self { down: down.collect(), mid: self.mid * of_mid }
    }

    /// The same for a batch of `n_rows`, whose further rows get nothing.
    #[must_use]
    pub fn padded(self, n_rows: usize) -> Self {
        let down = self.down.into_iter().map(|map| padded(map, n_rows));
        Self { down: down.collect(), mid: padded(self.mid, n_rows) }
    }

    /// Both: what several ControlNets add is the sum of what each adds.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let down = self.down.into_iter().zip(other.down).map(|(a, b)| a + b);
        Self { down: down.collect(), mid: self.mid + other.mid }
    }

    /// # Shapes
    /// `mid`: b h w c, `skips`: b h w c each. Returns both with the residuals added, in the same shapes.
    pub(super) fn add(&self, mid: Tensor<4>, skips: Vec<Tensor<4>>) -> (Tensor<4>, Vec<Tensor<4>>) {
        assert_eq!(self.down.len(), skips.len(), "residuals of the way down, one per skip");
        let dtype = mid.dtype();
        let residuals = self.down.iter().map(|residual| residual.clone().cast(dtype));
        let skips = skips.into_iter().zip(residuals).map(|(skip, residual)| skip + residual);
        (mid + self.mid.clone().cast(dtype), skips.collect())
    }
}

/// Feature maps of a [`T2iAdapter`](crate::T2iAdapter), channels-last, to be added to the UNet's own.
#[derive(Debug, Clone)]
pub struct AdapterFeatures {
    /// b h w c each: one for each block of the way down, and in SDXL one more for the map after the middle block.
    pub maps: Vec<Tensor<4>>,
}

impl AdapterFeatures {
    /// All maps, each times its weight; maps beyond the weights keep their size.
    #[must_use]
    pub fn scaled(self, weights: &[f64]) -> Self {
        let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
        Self { maps: self.maps.into_iter().zip(weights).map(|(map, weight)| map * weight).collect() }
    }

    /// The same for a batch of `n_rows`, whose further rows get nothing.
    #[must_use]
    pub fn padded(self, n_rows: usize) -> Self {
        Self { maps: self.maps.into_iter().map(|map| padded(map, n_rows)).collect() }
    }

    /// One row of maps for each of `n_rows` rows.
    ///
    /// # Shapes
    /// Maps of 1 h w c become n_rows h w c.
    #[must_use]
    pub fn repeated(self, n_rows: usize) -> Self {
        let repeated = |map: Tensor<4>| Tensor::cat(vec![map; n_rows], 0);
        Self { maps: self.maps.into_iter().map(repeated).collect() }
    }

    /// Both: what several adapters add is the sum of what each adds.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { maps: self.maps.into_iter().zip(other.maps).map(|(a, b)| a + b).collect() }
    }

    /// The map for place `index` of the way down, or for the middle where `index` is the number of blocks.
    pub(super) fn at(&self, index: usize, dtype: DType) -> Option<Tensor<4>> {
        self.maps.get(index).map(|map| map.clone().cast(dtype))
    }
}

/// # Shapes
/// `map`: b h w c with b at most `n_rows`. Returns n_rows h w c, zeros behind the first b.
fn padded(map: Tensor<4>, n_rows: usize) -> Tensor<4> {
    let [b, h, w, c] = map.dims();
    if b >= n_rows {
        return map;
    }
    let nothing = Tensor::zeros([n_rows - b, h, w, c], (&map.device(), map.dtype()));
    Tensor::cat(vec![map, nothing], 0)
}
