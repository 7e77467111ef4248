//! Poses drawn the way pose networks saw them in training: OpenPose's coloured limbs on black.
//!
//! Key points come as OpenPose writes them (`--write_json`), in the arrangement of 18 body points, 21 for each hand and 70 of
//! the face: <https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/v1.7.0/doc/02_output.md>. Colours, orders and
//! thicknesses are those of lllyasviel/ControlNet's `annotator/openpose/util.py`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "colours are clamped to a byte, sides are at most MAX_SIDE_PX"
)]

use serde::Deserialize;
use tronie_base::{Fault, Faulty};

use crate::{ImageError, Pixels};

/// Numbers of a key point in the file: x, y, and how sure the detector was.
const PER_POINT: usize = 3;
/// Half the thickness of a limb of the body, in pixels.
const LIMB_PX: f32 = 4.0;
/// Limbs are darker than the points they join.
const LIMB_SHADE: f32 = 0.6;
/// Radii of the points of body, hands and face, in pixels.
const POINTS_PX: [f32; 3] = [4.0, 4.0, 3.0];
/// Half the thickness of a finger, in pixels.
const FINGER_PX: f32 = 1.0;

/// Body points that are joined: 0 nose, 1 neck, 2 to 4 right shoulder, elbow and wrist, 5 to 7 left, 8 to 10 right hip, knee
/// and ankle, 11 to 13 left, 14 and 15 right and left eye, 16 and 17 ears.
const LIMBS: [(usize, usize); 17] = [
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
];

/// Colour of each body point; limb i has colour i.
const COLORS: [[u8; 3]; 18] = [
    [255, 0, 0],
    [255, 85, 0],
    [255, 170, 0],
    [255, 255, 0],
    [170, 255, 0],
    [85, 255, 0],
    [0, 255, 0],
    [0, 255, 85],
    [0, 255, 170],
    [0, 255, 255],
    [0, 170, 255],
    [0, 85, 255],
    [0, 0, 255],
    [85, 0, 255],
    [170, 0, 255],
    [255, 0, 255],
    [255, 0, 170],
    [255, 0, 85],
];
const HAND_POINT: [u8; 3] = [0, 0, 255];
const FACE_POINT: [u8; 3] = [255, 255, 255];
/// Fingers of a hand, and their points behind the wrist (0).
const N_FINGERS: usize = 5;
const PER_FINGER: usize = 4;

/// A pose file that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum PoseError {
    /// Not JSON, or not of that form.
    #[error("not a pose in OpenPose's JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A list that is no list of key points.
    #[error("{list} has {found} numbers, expected {expected}")]
    Length {
        /// Name of the list.
        list: &'static str,
        /// Numbers it has.
        found: usize,
        /// Three for each point.
        expected: usize,
    },
    /// Nobody in it.
    #[error("the pose has no people")]
    Empty,
}

impl Faulty for PoseError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some(
            "people[].pose_keypoints_2d holds x, y, confidence of 18 points (COCO), beside canvas_width and canvas_height"
                .into(),
        )
    }
}

/// Key points of people in a picture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pose {
    people: Vec<Person>,
    /// Size of the picture the points are in, in pixels; without it points are fractions of its sides.
    canvas_width: Option<f32>,
    canvas_height: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Person {
    #[serde(default)]
    pose_keypoints_2d: Option<Vec<f32>>,
    #[serde(default)]
    hand_left_keypoints_2d: Option<Vec<f32>>,
    #[serde(default)]
    hand_right_keypoints_2d: Option<Vec<f32>>,
    #[serde(default)]
    face_keypoints_2d: Option<Vec<f32>>,
}

/// A list of key points: its name, its numbers, and how many points it must have.
type List<'a> = (&'static str, Option<&'a Vec<f32>>, usize);

impl Person {
    fn lists(&self) -> [List<'_>; 4] {
        [
            ("pose_keypoints_2d", self.pose_keypoints_2d.as_ref(), 18),
            ("hand_left_keypoints_2d", self.hand_left_keypoints_2d.as_ref(), 21),
            ("hand_right_keypoints_2d", self.hand_right_keypoints_2d.as_ref(), 21),
            ("face_keypoints_2d", self.face_keypoints_2d.as_ref(), 70),
        ]
    }
}

impl Pose {
    /// Reads the JSON of one picture: an object with `people`, or a list of one such object.
    ///
    /// # Errors
    /// [`PoseError`].
    pub fn from_json(text: &str) -> Result<Self, PoseError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum File {
            One(Pose),
            List(Vec<Pose>),
        }
        let pose = match serde_json::from_str(text)? {
            File::One(pose) => pose,
            File::List(poses) => poses.into_iter().next().ok_or(PoseError::Empty)?,
        };
        if pose.people.is_empty() {
            return Err(PoseError::Empty);
        }
        for (list, numbers, n_points) in pose.people.iter().flat_map(Person::lists) {
            let (found, expected) = (numbers.map_or(0, Vec::len), PER_POINT * n_points);
            if found != 0 && found != expected {
                return Err(PoseError::Length { list, found, expected });
            }
        }
        Ok(pose)
    }

    /// Draws everybody, scaled to this size.
    ///
    /// # Errors
    /// [`ImageError::WrongLength`] when a side is zero.
    pub fn draw(&self, width_px: u32, height_px: u32) -> Result<Pixels, ImageError> {
        let size = (width_px, height_px);
        let mut canvas = Canvas { size, rgb: vec![0; width_px as usize * height_px as usize * 3] };
        let scale = [
            width_px as f32 / self.canvas_width.unwrap_or(1.0),
            height_px as f32 / self.canvas_height.unwrap_or(1.0),
        ];
        for person in &self.people {
            let [body, left, right, face] = person.lists().map(|(_, numbers, _)| points(numbers, scale));
            canvas.body(&body);
            canvas.hand(&left);
            canvas.hand(&right);
            for point in face.into_iter().flatten() {
                canvas.disc(point, POINTS_PX[2], FACE_POINT);
            }
        }
        Pixels::new(width_px, height_px, canvas.rgb)
    }
}

/// A key point in the canvas, in pixels.
type Point = [f32; 2];

/// Key points in the canvas; `None` for those the detector did not see.
fn points(numbers: Option<&Vec<f32>>, [x_scale, y_scale]: [f32; 2]) -> Vec<Option<Point>> {
    let points = numbers.into_iter().flat_map(|numbers| numbers.chunks_exact(PER_POINT));
    let point = |point: &[f32]| match *point {
        [x, y, confidence] if confidence > 0.0 => Some([x * x_scale, y * y_scale]),
        _ => None,
    };
    points.map(point).collect()
}

struct Canvas {
    size: (u32, u32),
    rgb: Vec<u8>,
}

impl Canvas {
    fn body(&mut self, points: &[Option<Point>]) {
        let at = |index: usize| points.get(index).copied().flatten();
        for (&(from, to), color) in LIMBS.iter().zip(COLORS) {
            if let (Some(from), Some(to)) = (at(from), at(to)) {
                self.limb([from, to], color.map(|byte| (f32::from(byte) * LIMB_SHADE) as u8));
            }
        }
        for (point, color) in points.iter().zip(COLORS) {
            if let Some(point) = point {
                self.disc(*point, POINTS_PX[0], color);
            }
        }
    }

    fn hand(&mut self, points: &[Option<Point>]) {
        let at = |index: usize| points.get(index).copied().flatten();
        for bone in 0..N_FINGERS * PER_FINGER {
            // a finger's first bone begins at the wrist
            let from = if bone % PER_FINGER == 0 { 0 } else { bone };
            if let (Some(from), Some(to)) = (at(from), at(bone + 1)) {
                self.bar([from, to], FINGER_PX, hue(bone as f32 / (N_FINGERS * PER_FINGER) as f32));
            }
        }
        for point in points.iter().copied().flatten() {
            self.disc(point, POINTS_PX[1], HAND_POINT);
        }
    }

    /// An ellipse from point to point.
    fn limb(&mut self, [from, to]: [Point; 2], color: [u8; 3]) {
        let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
        let along = [(to[0] - from[0]) / 2.0, (to[1] - from[1]) / 2.0];
        let length = along[0].hypot(along[1]);
        let is_inside = |[x, y]: Point| {
            let [dx, dy] = [x - middle[0], y - middle[1]];
            let (parallel, across) = (dx * along[0] + dy * along[1], dx * along[1] - dy * along[0]);
            let unit = length.max(f32::MIN_POSITIVE);
            (parallel / unit / unit).powi(2) + (across / unit / LIMB_PX).powi(2) <= 1.0
        };
        self.fill([from, to], LIMB_PX, color, is_inside);
    }

    /// A line with round ends.
    fn bar(&mut self, [from, to]: [Point; 2], radius_px: f32, color: [u8; 3]) {
        let along = [to[0] - from[0], to[1] - from[1]];
        let squared = (along[0].powi(2) + along[1].powi(2)).max(f32::MIN_POSITIVE);
        let is_inside = |[x, y]: Point| {
            let share = ((x - from[0]) * along[0] + (y - from[1]) * along[1]) / squared;
            let share = share.clamp(0.0, 1.0);
            (x - from[0] - share * along[0]).hypot(y - from[1] - share * along[1]) <= radius_px
        };
        self.fill([from, to], radius_px, color, is_inside);
    }

    fn disc(&mut self, center: Point, radius_px: f32, color: [u8; 3]) {
        self.bar([center, center], radius_px, color);
    }

    /// Colours the pixels around two points whose centres are inside.
    fn fill(
        &mut self,
        [a, b]: [Point; 2],
        margin_px: f32,
        color: [u8; 3],
        is_inside: impl Fn(Point) -> bool,
    ) {
        let (w, h) = self.size;
        let range = |a: f32, b: f32, n: u32| {
            let first = (a.min(b) - margin_px).floor().max(0.0) as u32;
            first.min(n)..((a.max(b) + margin_px).ceil().max(0.0) as u32).saturating_add(1).min(n)
        };
        for y in range(a[1], b[1], h) {
            for x in range(a[0], b[0], w) {
                let start = (y as usize * w as usize + x as usize) * 3;
                if is_inside([x as f32, y as f32])
                    && let Some(pixel) = self.rgb.get_mut(start..start + 3)
                {
                    pixel.copy_from_slice(&color);
                }
            }
        }
    }
}

/// The full colour of a hue, 0 to 1 around the circle from red over green and blue.
fn hue(share: f32) -> [u8; 3] {
    let channel = |offset: f32| {
        let distance = ((share * 6.0 + offset).rem_euclid(6.0) - 3.0).abs();
        ((distance - 1.0).clamp(0.0, 1.0) * 255.0) as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

#[cfg(test)]
mod tests;
