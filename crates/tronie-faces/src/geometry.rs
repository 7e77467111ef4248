//! Points, boxes and the transforms between pictures and crops.
//!
//! Coordinates are pixels from the top left corner of a picture: the center of its first pixel is (0.5, 0.5), and a
//! picture of width w ends at x = w. A transform from space b to space a is named `a_from_b`, so that compositions read
//! `a_from_b.after(&b_from_c)`.

mod boxes;
pub mod templates;
mod transform;

use serde::{Deserialize, Serialize};

pub use boxes::{Rect, suppress};
pub use transform::Transform;

/// A place in a picture, in pixels; stored as `[x, y]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "[f32; 2]", into = "[f32; 2]")]
pub struct Point {
    /// From the left edge.
    pub x: f32,
    /// From the top edge.
    pub y: f32,
}

impl Point {
    /// The point at (x, y).
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Distance to another point.
    #[must_use]
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The mean of some points; the origin for none.
    #[must_use]
    pub fn mean(points: &[Self]) -> Self {
        let n = points.len().max(1) as f32;
        let sum =
            points.iter().fold(Self::default(), |sum, point| Self::new(sum.x + point.x, sum.y + point.y));
        Self::new(sum.x / n, sum.y / n)
    }
}

impl From<[f32; 2]> for Point {
    fn from([x, y]: [f32; 2]) -> Self {
        Self { x, y }
    }
}

impl From<Point> for [f32; 2] {
    fn from(point: Point) -> Self {
        [point.x, point.y]
    }
}

#[cfg(test)]
mod tests;
