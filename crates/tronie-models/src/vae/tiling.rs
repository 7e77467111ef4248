//! A map too large to compute at once, computed in overlapping tiles.
//!
//! The tiles, their overlap and the linear blend are those of diffusers' `tiled_decode` and `tiled_encode`,
//! <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/autoencoders/autoencoder_kl.py>,
//! so the same sizes give the same image. Memory then depends on the tile, not on the image; colours may drift
//! slightly from tile to tile, because group norms and attention see one tile at a time.

use tronie_tensor::{Tensor, TensorData};

/// How large tiles are and how much they share.
///
/// Both count in whole latents, rounded down, at least one. (Where a tile's overlap is no whole number of latents,
/// diffusers' image comes out in the wrong size.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiling {
    /// Side of a tile in pixels.
    pub tile_px: usize,
    /// Part of a tile that it shares with its neighbour, 0 to just below 1. diffusers uses 0.25.
    pub overlap: f64,
}

/// Sizes of one tiled pass, in units of its input (`_in`) and its output (`_out`).
#[derive(Debug, Clone, Copy)]
pub(super) struct TilePlan {
    /// Side of a tile.
    pub(super) tile_in: usize,
    /// Distance between the beginnings of neighbouring tiles.
    stride_in: usize,
    /// Fewest rows or columns that still give output; a shorter rest at the far edge has no latent.
    least_in: usize,
    /// Width of the blend with the neighbour before.
    blend_out: usize,
    /// What is kept of a tile; the rest is the next one's blend.
    keep_out: usize,
}

impl TilePlan {
    /// From latents to pixels, `factor` of these per latent.
    pub(super) fn decode(tiling: Tiling, factor: usize) -> Self {
        Self::new(tiling, factor, 1, factor)
    }

    /// From pixels to latents, `factor` of those per latent.
    pub(super) fn encode(tiling: Tiling, factor: usize) -> Self {
        Self::new(tiling, factor, factor, 1)
    }

    /// `unit_in` and `unit_out`: what one latent is on either side.
    fn new(tiling: Tiling, factor: usize, unit_in: usize, unit_out: usize) -> Self {
        let tile = (tiling.tile_px / factor).max(1);
        let stride = portion(tile, 1.0 - tiling.overlap.clamp(0.0, 1.0)).max(1);
        Self {
            tile_in: tile * unit_in,
            stride_in: stride * unit_in,
            least_in: unit_in,
            blend_out: (tile - stride) * unit_out,
            keep_out: stride * unit_out,
        }
    }

    /// Begin and end of every tile along a side of `n` rows or columns.
    fn spans(self, n: usize) -> Vec<(usize, usize)> {
        let starts = (0..n).step_by(self.stride_in);
        let spans = starts.map(|start| (start, n.min(start + self.tile_in)));
        spans.filter(|(start, end)| end - start >= self.least_in).collect()
    }

    /// Runs `network` over the tiles of `x` and joins what it gives.
    ///
    /// # Shapes
    /// `x`: b h w c; `network`: maps b h w c to b h' w' c'. Returns b h' w' c'.
    pub(super) fn run(self, x: &Tensor<4>, network: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let [b, h, w, c] = x.dims();
        let columns = self.spans(w);
        let mut above: Vec<Tensor<4>> = Vec::new();
        let mut rows = Vec::new();
        for (top, bottom) in self.spans(h) {
            let mut row: Vec<Tensor<4>> = Vec::with_capacity(columns.len());
            for (index, &(left, right)) in columns.iter().enumerate() {
                let tile = network(x.clone().slice([0..b, top..bottom, left..right, 0..c]));
                let tile = match above.get(index) {
                    Some(neighbour) => blend(neighbour, tile, 1, self.blend_out),
                    None => tile,
                };
                let tile = match row.last() {
                    Some(neighbour) => blend(neighbour, tile, 2, self.blend_out),
                    None => tile,
                };
                row.push(tile);
            }
            let kept = row.iter().map(|tile| self.keep(tile.clone())).collect();
            rows.push(Tensor::cat(kept, 2));
            above = row;
        }
        Tensor::cat(rows, 1)
    }

    fn keep(self, tile: Tensor<4>) -> Tensor<4> {
        let [_, h, w, _] = tile.dims();
        tile.narrow(1, 0, h.min(self.keep_out)).narrow(2, 0, w.min(self.keep_out))
    }
}

/// `n * share` rounded down, as the reference rounds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "tile sizes are small and shares lie in 0..=1"
)]
fn portion(n: usize, share: f64) -> usize {
    (n as f64 * share) as usize
}

/// Fades from the last rows (`dim` 1) or columns (`dim` 2) of `before` to the first of `tile`.
fn blend(before: &Tensor<4>, tile: Tensor<4>, dim: usize, extent: usize) -> Tensor<4> {
    let n_before = before.dims().get(dim).copied().unwrap_or_default();
    let n = tile.dims().get(dim).copied().unwrap_or_default();
    let extent = extent.min(n_before).min(n);
    if extent == 0 {
        return tile;
    }
    #[expect(clippy::cast_precision_loss, reason = "tile sizes are small")]
    let ramp: Vec<f32> = (0..extent).map(|i| i as f32 / extent as f32).collect(); // 0 at the edge
    let mut dims = [1; 4];
    if let Some(side) = dims.get_mut(dim) {
        *side = extent;
    }
    let options = (&tile.device(), tile.dtype());
    let ramp = Tensor::<4>::from_data(TensorData::new(ramp, dims), options);
    let old = before.clone().narrow(dim, n_before - extent, extent);
    let new = tile.clone().narrow(dim, 0, extent);
    let faded = old.clone() + (new - old) * ramp;
    if extent == n {
        return faded;
    }
    Tensor::cat(vec![faded, tile.narrow(dim, extent, n - extent)], dim)
}
