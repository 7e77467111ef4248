//! Boxes and greedy non-maximum suppression.

use serde::{Deserialize, Serialize};

use super::{Point, Transform};

/// An upright box in a picture, in pixels; it may leave the picture. Stored as `[left, top, right, bottom]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct Rect {
    /// Smallest x.
    pub left: f32,
    /// Smallest y.
    pub top: f32,
    /// Largest x.
    pub right: f32,
    /// Largest y.
    pub bottom: f32,
}

impl From<[f32; 4]> for Rect {
    fn from([left, top, right, bottom]: [f32; 4]) -> Self {
        Self { left, top, right, bottom }
    }
}

impl From<Rect> for [f32; 4] {
    fn from(rect: Rect) -> Self {
        [rect.left, rect.top, rect.right, rect.bottom]
    }
}

impl Rect {
    /// The box of a center and two sides.
    #[must_use]
    pub fn around(center: Point, width: f32, height: f32) -> Self {
        let (x, y) = (width / 2.0, height / 2.0);
        Self { left: center.x - x, top: center.y - y, right: center.x + x, bottom: center.y + y }
    }

    /// Width, 0 for a box turned inside out.
    #[must_use]
    pub fn width(&self) -> f32 {
        (self.right - self.left).max(0.0)
    }

    /// Height, 0 for a box turned inside out.
    #[must_use]
    pub fn height(&self) -> f32 {
        (self.bottom - self.top).max(0.0)
    }

    /// Number of square pixels.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The middle.
    #[must_use]
    pub fn center(&self) -> Point {
        Point::new(f32::midpoint(self.left, self.right), f32::midpoint(self.top, self.bottom))
    }

    /// Area of the intersection over area of the union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let common = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        let union = self.area() + other.area() - common.area();
        if union > 0.0 { common.area() / union } else { 0.0 }
    }

    /// The square around the same center whose side is `factor` times the longer side.
    #[must_use]
    pub fn square(&self, factor: f32) -> Self {
        let side = self.width().max(self.height()) * factor;
        Self::around(self.center(), side, side)
    }

    /// The transform that shows this box as a crop of `width_px` by `height_px`.
    #[must_use]
    pub fn image_from_crop(&self, width_px: usize, height_px: usize) -> Transform {
        let (width, height) = (f64::from(self.width()), f64::from(self.height()));
        Transform {
            x: [width / width_px as f64, 0.0, f64::from(self.left)],
            y: [0.0, height / height_px as f64, f64::from(self.top)],
        }
    }
}

/// Greedy non-maximum suppression: the indices of the boxes that stay, best score first.
///
/// A box goes when it overlaps a better one that stays by an intersection over union above `max_iou`. Equal scores keep
/// the order they came in.
#[must_use]
pub fn suppress(boxes: &[(Rect, f32)], max_iou: f32) -> Vec<usize> {
    let mut order: Vec<(usize, &(Rect, f32))> = boxes.iter().enumerate().collect();
    order.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let mut kept: Vec<(usize, Rect)> = Vec::new();
    for (index, (rect, _)) in order {
        if kept.iter().all(|(_, better)| better.iou(rect) <= max_iou) {
            kept.push((index, *rect));
        }
    }
    kept.into_iter().map(|(index, _)| index).collect()
}
