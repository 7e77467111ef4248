//! A picture put together from overlapping tiles.
#![expect(clippy::indexing_slicing, reason = "pixel kernel; every tile is checked against the picture")]

use crate::{ImageError, Pixels, Rect};

/// Where tiles of `tile_px` lie along a side of `side_px`, each sharing at least `overlap_px` with its neighbour: (start, length),
/// evenly spread. One of the whole side when a tile is as long.
#[must_use]
pub fn tile_spans(side_px: u32, tile_px: u32, overlap_px: u32) -> Vec<(u32, u32)> {
    if tile_px >= side_px || tile_px == 0 {
        return vec![(0, side_px)];
    }
    let stride = tile_px.saturating_sub(overlap_px).max(1);
    let rest = u64::from(side_px - tile_px);
    let n_strides = rest.div_ceil(u64::from(stride));
    let start = |index: u64| u32::try_from(rest * index / n_strides).unwrap_or_default();
    (0..=n_strides).map(|index| (start(index), tile_px)).collect()
}

/// A picture under construction: the mean of the tiles at every pixel, each weighing less towards its edges.
pub struct Mosaic {
    width_px: u32,
    height_px: u32,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

impl Mosaic {
    /// A picture without any tile.
    #[must_use]
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let n = width_px as usize * height_px as usize;
        Self { width_px, height_px, sums: vec![0.0; 3 * n], weights: vec![0.0; n] }
    }

    /// Adds a tile that fades out over `fade_px` towards those of its edges that are not the picture's.
    ///
    /// # Errors
    /// [`ImageError::Outside`] when it sticks out, [`ImageError::SizesDiffer`] when `rect` has another size.
    pub fn add(&mut self, tile: &Pixels, rect: Rect, fade_px: u32) -> Result<(), ImageError> {
        let (width_px, height_px) = (self.width_px, self.height_px);
        let ends = |start: u32, n: u32| u64::from(start) + u64::from(n);
        if ends(rect.left, rect.width) > width_px.into() || ends(rect.top, rect.height) > height_px.into() {
            return Err(ImageError::Outside { rect, width_px, height_px });
        }
        if tile.size_px() != (rect.width, rect.height) {
            return Err(ImageError::SizesDiffer {
                found: tile.size_px(),
                expected: (rect.width, rect.height),
            });
        }
        let across = fades(rect.left, rect.width, width_px, fade_px);
        let down = fades(rect.top, rect.height, height_px, fade_px);
        let (pixels, _) = tile.rgb().as_chunks::<3>();
        for (row, of_row) in down.iter().enumerate() {
            for (column, of_column) in across.iter().enumerate() {
                let weight = of_row * of_column;
                let from = pixels[row * across.len() + column];
                let at = (rect.top as usize + row) * width_px as usize + rect.left as usize + column;
                self.weights[at] += weight;
                for (sum, byte) in self.sums[3 * at..3 * at + 3].iter_mut().zip(from) {
                    *sum += weight * f32::from(byte);
                }
            }
        }
        Ok(())
    }

    /// The picture; black where no tile lies.
    ///
    /// # Errors
    /// [`ImageError::WrongLength`] for a picture without pixels.
    pub fn finish(self) -> Result<Pixels, ImageError> {
        let Self { width_px, height_px, sums, weights } = self;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "means of bytes")]
        let byte = |sum: f32, weight: f32| (sum / weight.max(f32::MIN_POSITIVE)).round() as u8;
        let triples = sums.chunks_exact(3).zip(weights);
        let rgb = triples.flat_map(|(sums, weight)| [sums[0], sums[1], sums[2]].map(|sum| byte(sum, weight)));
        Pixels::new(width_px, height_px, rgb.collect())
    }
}

/// Weights of `n` places from `start` on a side of `side`.
fn fades(start: u32, n: u32, side: u32, fade_px: u32) -> Vec<f32> {
    let ramp = |from_edge: u32| (from_edge + 1).min(fade_px + 1) as f32 / (fade_px + 1) as f32;
    let before = |place: u32| if start == 0 { 1.0 } else { ramp(place) };
    let after = |place: u32| if start + n == side { 1.0 } else { ramp(n - 1 - place) };
    (0..n).map(|place| before(place) * after(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crop;

    #[test]
    fn tiles_cover_a_side_and_share_what_they_should() {
        for (side, tile, overlap) in [(100, 64, 16), (64, 64, 8), (65, 64, 8), (1000, 128, 32), (40, 64, 8)] {
            let spans = tile_spans(side, tile, overlap);
            assert_eq!((spans[0].0, spans.last().map(|last| last.0 + last.1)), (0, Some(side)));
            for pair in spans.windows(2) {
                assert!(pair[0].0 + pair[0].1 >= pair[1].0 + overlap.min(tile), "{side} {tile}: {spans:?}");
            }
        }
    }

    #[test]
    fn parts_of_a_picture_make_it_again() {
        let bytes = (0..50 * 37 * 3_u32).map(|i| u8::try_from(i * 31 % 256).unwrap()).collect();
        let picture = Pixels::new(50, 37, bytes).unwrap();
        let mut mosaic = Mosaic::new(50, 37);
        for (top, height) in tile_spans(37, 16, 4) {
            for (left, width) in tile_spans(50, 24, 6) {
                let rect = Rect { left, top, width, height };
                mosaic.add(&crop(&picture, rect).unwrap(), rect, 4).unwrap();
            }
        }
        assert_eq!(mosaic.finish().unwrap(), picture);
    }

    #[test]
    fn neighbours_fade_into_each_other() {
        let plain = |value: u8| Pixels::new(16, 4, vec![value; 16 * 4 * 3]).unwrap();
        let mut mosaic = Mosaic::new(24, 4);
        let at = |left: u32| Rect { left, top: 0, width: 16, height: 4 };
        mosaic.add(&plain(0), at(0), 7).unwrap();
        mosaic.add(&plain(200), at(8), 7).unwrap();
        let row: Vec<u8> = mosaic.finish().unwrap().rgb().iter().step_by(3).take(24).copied().collect();
        assert!(row.is_sorted() && row[7] == 0 && row[16] == 200, "{row:?}");
        assert!(row[11].abs_diff(100) < 20 && row[12].abs_diff(100) < 20, "{row:?}");
        assert!(Mosaic::new(15, 4).add(&plain(0), at(0), 1).is_err());
    }
}
