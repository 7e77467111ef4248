//! Faces drawn onto their picture, to be looked at.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "pixel kernel: every place is checked against the picture before it is written"
)]

use tronie_image::{ImageError, Pixels};

use crate::Face;
use crate::geometry::{Point, Rect};

type Color = [u8; 3];

const BOX: Color = [0, 220, 0];
const POINTS: Color = [255, 40, 40];
const LANDMARKS: Color = [255, 220, 0];
const MESH: Color = [0, 200, 255];
const NOSE: Color = [255, 0, 255];

/// The picture with the box of each face in green, its five points in red, landmarks (the most there are) in yellow, the mesh in light blue,
/// and a line from the nose tip to where it points in magenta, half a box long when it points sideways.
///
/// # Errors
/// None that a picture can cause; the type is that of [`Pixels::new`].
pub fn overlay(pixels: &Pixels, faces: &[Face]) -> Result<Pixels, ImageError> {
    let shorter = pixels.width_px().min(pixels.height_px()) as f32;
    let mut canvas = Canvas {
        width: i64::from(pixels.width_px()),
        height: i64::from(pixels.height_px()),
        rgb: pixels.rgb().to_vec(),
        radius: (shorter / 400.0).max(0.5),
    };
    for face in faces {
        canvas.draw(face);
    }
    Pixels::new(pixels.width_px(), pixels.height_px(), canvas.rgb)
}

struct Canvas {
    width: i64,
    height: i64,
    rgb: Vec<u8>,
    /// Half the width of a line, and the radius of a landmark.
    radius: f32,
}

impl Canvas {
    fn draw(&mut self, face: &Face) {
        let Rect { left, top, right, bottom } = face.rect;
        let corners =
            [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| Point::new(x, y));
        for (index, &corner) in corners.iter().enumerate() {
            self.line(corner, corners[(index + 1) % corners.len()], BOX);
        }
        for &[x, y, _] in face.mesh_468.iter().flatten() {
            self.dot(Point::new(x, y), self.radius * 0.6, MESH);
        }
        let landmarks =
            face.landmarks_110.as_ref().or(face.landmarks_106.as_ref()).or(face.landmarks_68.as_ref());
        for &point in landmarks.into_iter().flatten() {
            self.dot(point, self.radius * 1.2, LANDMARKS);
        }
        for &point in face.points.iter().flatten() {
            self.dot(point, self.radius * 2.0, POINTS);
        }
        if let (Some(pose), Some([_, _, nose, _, _])) = (face.head_pose, face.points) {
            let (yaw, pitch) = (pose.yaw_deg.to_radians(), pose.pitch_deg.to_radians());
            let length = face.rect.width() / 2.0;
            let tip = Point::new(nose.x + length * yaw.sin() * pitch.cos(), nose.y - length * pitch.sin());
            self.line(nose, tip, NOSE);
        }
    }

    fn line(&mut self, from: Point, to: Point, color: Color) {
        let n = from.distance(to).ceil().clamp(1.0, 100_000.0);
        for step in 0..=n as usize {
            let part = step as f32 / n;
            let point = Point::new(from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part);
            self.dot(point, self.radius, color);
        }
    }

    /// All pixels whose centers lie within `radius`, and the one the point is in.
    fn dot(&mut self, center: Point, radius: f32, color: Color) {
        let reach = radius.ceil() as i64;
        let (x, y) = (center.x.floor() as i64, center.y.floor() as i64);
        for row in y.saturating_sub(reach)..=y.saturating_add(reach) {
            for column in x.saturating_sub(reach)..=x.saturating_add(reach) {
                let distance = center.distance(Point::new(column as f32 + 0.5, row as f32 + 0.5));
                let is_inside = (0..self.width).contains(&column) && (0..self.height).contains(&row);
                if is_inside && (distance <= radius || (column, row) == (x, y)) {
                    let start = (row * self.width + column) as usize * 3;
                    self.rgb[start..start + 3].copy_from_slice(&color);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_drawn_inside_and_outside_of_the_picture_without_a_panic() {
        let black = Pixels::new(40, 30, vec![0; 3600]).unwrap();
        let face = Face::new(Rect::from([10.0, 5.0, 60.0, 20.0]), 0.9, Some([Point::new(-9.0, 1e30); 5]));
        let drawn = overlay(&black, &[face]).unwrap();
        let color = |x: usize, y: usize| drawn.rgb()[(y * 40 + x) * 3..][..3].to_vec();
        assert_eq!(color(10, 5), BOX);
        assert_eq!(color(25, 5), BOX);
        assert_eq!(color(25, 12), [0, 0, 0]);
    }
}
