//! Confining a change: a mask over the latents, where certain words are looked at.

use tronie_tensor::{Device, Tensor, TensorData};

use super::watch::Looks;
use super::{Role, Watch};

impl Watch {
    /// 1 where the change may be, 0 elsewhere; `None` before anything was seen. The union of where either picture has its words.
    ///
    /// # Shapes
    /// Returns 1 1 h w.
    pub(crate) fn mask(&self, [h, w]: [usize; 2], device: &Device) -> Option<Tensor<4>> {
        let plan = self.plan();
        let threshold = plan.edit.blend.as_ref()?.threshold;
        let [old, new] = &plan.blended;
        let looks = [self.looks(Role::Old, old)?, self.looks(Role::New, new)?];
        let masks = looks.map(|looks| mask(&looks, [h, w], threshold));
        let [old, new] = masks;
        let values = old.into_iter().zip(new).map(|(old, new)| if old || new { 1.0_f32 } else { 0.0 });
        Some(Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), [1, 1, h, w]), device))
    }
}

/// Where a map, widened by a pixel on each side, exceeds a share of its maximum; scaled to h w by repetition.
fn mask(looks: &Looks, [h, w]: [usize; 2], threshold: f64) -> Vec<bool> {
    let [map_h, map_w] = looks.size;
    let widened: Vec<f32> =
        (0..map_h * map_w).map(|index| around(looks, [index / map_w, index % map_w])).collect();
    let most = widened.iter().copied().fold(0.0_f32, f32::max);
    let at = |row: usize, column: usize| {
        let index = (row * map_h / h) * map_w + column * map_w / w;
        f64::from(widened.get(index).copied().unwrap_or_default()) > threshold * f64::from(most)
    };
    (0..h)
        .flat_map(|row| (0..w).map(move |column| (row, column)))
        .map(|(row, column)| at(row, column))
        .collect()
}

/// The largest value of a pixel and its eight neighbours.
fn around(looks: &Looks, [row, column]: [usize; 2]) -> f32 {
    let [h, w] = looks.size;
    let rows = row.saturating_sub(1)..(row + 2).min(h);
    let columns = column.saturating_sub(1)..(column + 2).min(w);
    let values = rows.flat_map(|row| columns.clone().map(move |column| row * w + column));
    values.filter_map(|index| looks.values.get(index)).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The new picture inside the mask, the old one outside.
///
/// # Shapes
/// `old` and `new`: 1 c h w, `mask`: 1 1 h w. Returns 1 c h w.
pub(crate) fn blended(old: &Tensor<4>, new: Tensor<4>, mask: &Tensor<4>) -> Tensor<4> {
    old.clone() + (new - old.clone()) * mask.clone()
}

#[cfg(test)]
mod tests;
