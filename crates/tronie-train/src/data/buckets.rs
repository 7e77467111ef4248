//! Sizes that pictures of different shapes are trained at, so that little is cut off.
//!
//! The rule is kohya's (`make_bucket_resolutions` in `library/model_util.py` of kohya-ss/sd-scripts).

use serde::{Deserialize, Serialize};

/// Which sizes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Buckets {
    /// Shortest side, in pixels.
    pub min_px: u32,
    /// Longest side, in pixels.
    pub max_px: u32,
    /// All sides are multiples of this many pixels.
    pub step_px: u32,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { min_px: 256, max_px: 1024, step_px: 64 }
    }
}

impl Buckets {
    /// All sizes (width, height) with at most as many pixels as `size_px`, sorted.
    #[must_use]
    pub fn sizes(self, [width, height]: [u32; 2]) -> Vec<[u32; 2]> {
        let Self { min_px, max_px, step_px } = self;
        let down = |side: u64| u32::try_from(side).unwrap_or(u32::MAX) / step_px * step_px;
        let area = u64::from(width) * u64::from(height);
        let square = down(area.isqrt());
        let mut sizes = vec![[square, square]];
        let mut width = min_px;
        while width <= max_px {
            let height = down((area / u64::from(width)).min(u64::from(max_px)));
            if height >= min_px {
                sizes.extend([[width, height], [height, width]]);
            }
            width += step_px;
        }
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The size for a picture: its own if there is one, else the one whose shape is nearest.
    #[must_use]
    pub fn choose(self, sizes: &[[u32; 2]], picture_px: [u32; 2]) -> [u32; 2] {
        if sizes.contains(&picture_px) {
            return picture_px;
        }
        let shape = |[width, height]: [u32; 2]| f64::from(width) / f64::from(height);
        let distance = |size: &[u32; 2]| (shape(*size) - shape(picture_px)).abs();
        let nearest = sizes.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.copied().unwrap_or(picture_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_kohya() {
        let sizes = Buckets::default().sizes([512, 512]);
        // Printed by make_bucket_resolutions((512, 512), 256, 1024, 64).
        let tall = [
            [256, 832],
            [256, 896],
            [256, 960],
            [256, 1024],
            [320, 704],
            [320, 768],
            [384, 640],
            [448, 576],
            [512, 512],
        ];
        let wide = tall.iter().rev().skip(1).map(|[w, h]| [*h, *w]);
        let mut expected: Vec<[u32; 2]> = tall.iter().copied().chain(wide).collect();
        expected.sort_unstable();
        assert_eq!(sizes, expected);
    }

    #[test]
    fn a_picture_goes_where_its_shape_fits() {
        let buckets = Buckets::default();
        let sizes = buckets.sizes([512, 512]);
        assert_eq!(buckets.choose(&sizes, [2000, 2000]), [512, 512]);
        assert_eq!(buckets.choose(&sizes, [600, 900]), [384, 640]);
        assert_eq!(buckets.choose(&sizes, [640, 384]), [640, 384]);
    }
}
