//! Where a head points, from six of its 68 landmarks.
//!
//! The landmarks are taken for a scaled orthographic picture of a rigid head: the first step of POSIT (DeMenthon and
//! Davis, "Model-based object pose in 25 lines of code", IJCV 1995). Least squares gives the two rows of the 2x3 matrix
//! that projects the head; the nearest pair of orthonormal rows is two rows of its rotation. Without a perspective model
//! no focal length has to be guessed; for portraits the error is a few degrees.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Point;
use crate::{Face, FacesError};

/// Angles of the head in degrees; all 0 when it faces the camera upright.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadPose {
    /// Positive when the nose points to the right side of the picture; -90 to 90.
    pub yaw_deg: f32,
    /// Positive when the nose points up; -90 to 90.
    pub pitch_deg: f32,
    /// Positive when the head is turned clockwise in the picture; -180 to 180.
    pub roll_deg: f32,
}

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "head_pose",
    title: "yaw, pitch and roll from six landmarks",
    makes: &[Part::HeadPose],
    reads: &[Part::Landmarks68],
    is_default: true,
    source: Source::Arithmetic(|| Box::new(FromLandmarks)),
};

/// iBUG index and place of six rigid points of a generic head that faces the camera: x to the right of the picture, y
/// down, z away from the camera, in an arbitrary unit. Nose tip, chin, outer eye corners and mouth corners of S. Mallick,
/// "Head pose estimation using OpenCV and dlib" (learnopencv.com, 2016).
const HEAD: [(usize, Vector); 6] = [
    (30, [0.0, 0.0, 0.0]),
    (8, [0.0, 330.0, 65.0]),
    (36, [-225.0, -170.0, 135.0]),
    (45, [225.0, -170.0, 135.0]),
    (48, [-150.0, 150.0, 125.0]),
    (54, [150.0, 150.0, 125.0]),
];

struct FromLandmarks;

impl Annotator for FromLandmarks {
    fn annotate(&self, _picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        for face in faces {
            face.head_pose = face.landmarks_68.as_deref().and_then(head_pose);
        }
        Ok(())
    }
}

type Vector = [f64; 3];

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cross(a: Vector, b: Vector) -> Vector {
    let ([a0, a1, a2], [b0, b1, b2]) = (a, b);
    [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0]
}

fn scaled(a: Vector, factor: f64) -> Vector {
    a.map(|value| value * factor)
}

fn sum(a: Vector, b: Vector) -> Vector {
    let ([a0, a1, a2], [b0, b1, b2]) = (a, b);
    [a0 + b0, a1 + b1, a2 + b2]
}

fn unit(a: Vector) -> Option<Vector> {
    let length = dot(a, a).sqrt();
    length.is_normal().then(|| scaled(a, 1.0 / length))
}

/// The pose of a head with these 68 landmarks; `None` where they coincide or are not 68.
fn head_pose(landmarks: &[Point]) -> Option<HeadPose> {
    let (right, down) = projection(landmarks)?;
    let (right, down) = (unit(right)?, unit(down)?);
    // The orthonormal pair nearest to two unit vectors lies around their bisectors.
    let (middle, across) = (unit(sum(right, down))?, unit(sum(right, scaled(down, -1.0)))?);
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let right = scaled(sum(middle, across), half);
    let down = scaled(sum(middle, scaled(across, -1.0)), half);
    // Rows of the rotation R from head to camera, R = R_y(yaw) R_x(-pitch) R_z(roll). The nose points to -z of the head.
    let ([_, _, right_z], [down_x, down_y, down_z], [_, _, away_z]) = (right, down, cross(right, down));
    Some(HeadPose {
        yaw_deg: degrees((-right_z).atan2(away_z)),
        pitch_deg: degrees(down_z.clamp(-1.0, 1.0).asin()),
        roll_deg: degrees(down_x.atan2(down_y)),
    })
}

/// The two rows of the scaled projection that brings the generic head nearest to the landmarks.
fn projection(landmarks: &[Point]) -> Option<(Vector, Vector)> {
    let n = HEAD.len() as f64;
    let seen: Vec<Point> =
        HEAD.iter().map(|&(index, _)| landmarks.get(index).copied()).collect::<Option<_>>()?;
    let seen_mean = Point::mean(&seen);
    let head_mean = scaled(HEAD.iter().fold([0.0; 3], |total, (_, place)| sum(total, *place)), 1.0 / n);
    let (mut x, mut y) = ([0.0; 3], [0.0; 3]);
    let mut normal = [[0.0; 3]; 3];
    for ((_, place), seen) in HEAD.iter().zip(seen) {
        let place = sum(*place, scaled(head_mean, -1.0));
        x = sum(x, scaled(place, f64::from(seen.x - seen_mean.x)));
        y = sum(y, scaled(place, f64::from(seen.y - seen_mean.y)));
        for (row, factor) in normal.iter_mut().zip(place) {
            *row = sum(*row, scaled(place, factor));
        }
    }
    // Rows of the inverse of the symmetric 3x3 matrix of normal equations, times its determinant.
    let [a, b, c] = normal;
    let adjugate = [cross(b, c), cross(c, a), cross(a, b)];
    let determinant = dot(a, cross(b, c));
    let solve = |right_side: Vector| adjugate.map(|row| dot(row, right_side) / determinant);
    Some((solve(x), solve(y)))
}

#[expect(clippy::cast_possible_truncation, reason = "an angle")]
fn degrees(radians: f64) -> f32 {
    radians.to_degrees() as f32
}

#[cfg(test)]
mod tests;
