//! Everything a UNet is told besides latents and timestep, in one argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use tronie_tensor::{DType, Tensor};

use crate::AttentionEditor;
use crate::blocks::TextSite;

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
    /// Pictures that are looked at beside the text; empty for none.
    pub images: Vec<ImageTokens>,
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
        Self { context, added: None, control: None, adapter: None, images: Vec::new(), editor: None }
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

/// What an [`IpAdapter`](crate::IpAdapter) makes of pictures for every layer that looks at text: keys and values of their own,
/// the attention to which is added to the attention to the text.
#[derive(Debug, Clone)]
pub struct ImageTokens {
    /// b s d each, keys and values.
    layers: Arc<BTreeMap<TextSite, [Tensor<3>; 2]>>,
    weight: f64,
}

impl ImageTokens {
    pub(crate) fn new(layers: BTreeMap<TextSite, [Tensor<3>; 2]>) -> Self {
        Self { layers: Arc::new(layers), weight: 1.0 }
    }

    /// The same, with their attention multiplied by `weight`.
    #[must_use]
    pub fn weighted(self, weight: f64) -> Self {
        Self { weight: self.weight * weight, ..self }
    }

    /// For a batch of several groups of rows: `n` rows see these of one picture each, in this order, in the given dtype. All
    /// must come from one adapter; the weight is that of the first.
    #[must_use]
    pub fn rows(groups: &[(&Self, usize)], dtype: DType) -> Self {
        let layers = |site: &TextSite| {
            [0, 1].map(|which: usize| {
                let rows = groups.iter().filter_map(|(tokens, n)| {
                    let row = tokens.layers.get(site)?.get(which)?.clone().cast(dtype);
                    Some(vec![row; *n])
                });
                Tensor::cat(rows.flatten().collect(), 0)
            })
        };
        let sites = groups.first().into_iter().flat_map(|(tokens, _)| tokens.layers.keys());
        let weight = groups.first().map_or(1.0, |(tokens, _)| tokens.weight);
        Self { layers: Arc::new(sites.map(|site| (*site, layers(site))).collect()), weight }
    }

    /// Keys and values for a layer, and what the attention to them is multiplied by.
    pub(crate) fn at(&self, site: &TextSite) -> Option<(&[Tensor<3>; 2], f64)> {
        self.layers.get(site).map(|layer| (layer, self.weight))
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
