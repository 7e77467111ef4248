//! 110 landmarks: the 68 of iBUG, wings of the nose, a denser inner lip, and two contours of the hair.
//!
//! The groups and their counts are those of the Synthetic Faces High Quality data set, which published neither the order
//! nor the derivation; both are ours:
//!
//! | index | what | from |
//! |---|---|---|
//! | 0-67 | iBUG 300-W | the 68 landmarks |
//! | 68-71 | wings of the nose: left, right at the tip's height, left, right halfway to the base | where the class "nose" ends to the sides |
//! | 72-79 | inner lip, between 60 and 61, 61 and 62, ..., 67 and 60 | midpoints |
//! | 80-88 | inner hairline, left temple over the forehead to the right temple | where the face ends on rays from between the brows |
//! | 89-109 | outer contour of head and hair, left to right over the top | where head, hair or hat end on rays from between the eyes |
//!
//! "Left" is the left side of the picture. A bald head has both contours on its outline; hair that leaves the crop ends
//! at its border.

use tronie_image::Pixels;

use super::parsing::Parsing;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Point;
use crate::{Face, FacesError};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "landmarks110",
    title: "110 landmarks with hairline, from 68 landmarks and parsing",
    makes: &[Part::Landmarks110],
    reads: &[Part::Landmarks68, Part::Parsing],
    is_default: false,
    source: Source::Arithmetic(|| Box::new(WithHairline)),
};

const N_INNER: u8 = 9;
const N_OUTER: u8 = 21;
/// Classes: skin, brows, eyes, glasses, nose, mouth and lips.
const FACE: [u8; 10] = [1, 2, 3, 4, 5, 6, 10, 11, 12, 13];
const NOSE: [u8; 1] = [10];
/// The face, ears and earrings, hair and hat.
const HEAD: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 18];

struct WithHairline;

impl Annotator for WithHairline {
    fn annotate(&self, _picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        for face in faces {
            let known = face.landmarks_68.as_deref().zip(face.parsing.as_ref());
            face.landmarks_110 = known.and_then(|(landmarks, parsing)| landmarks_110(landmarks, parsing));
        }
        Ok(())
    }
}

/// `None` for other than 68 landmarks.
fn landmarks_110(landmarks: &[Point], parsing: &Parsing) -> Option<Vec<Point>> {
    let image_from_crop = parsing.transform();
    let crop_from_image = image_from_crop.inverse()?;
    let at = |index: usize| landmarks.get(index).map(|&point| crop_from_image.apply(point));
    let mean =
        |range: std::ops::Range<usize>| Some(crop_from_image.apply(Point::mean(landmarks.get(range)?)));
    let (tip, base) = (at(30)?, at(33)?);
    let (left_eye, right_eye) = (mean(36..42)?, mean(42..48)?);
    let across = Point::new(right_eye.x - left_eye.x, right_eye.y - left_eye.y);
    let to_right = across.y.atan2(across.x);
    let to_left = to_right + std::f32::consts::PI;

    let mut added = Vec::new();
    for center in [tip, Point::mean(&[tip, base])] {
        added.extend([to_left, to_right].map(|angle| first_end(parsing, center, angle, &NOSE)));
    }
    for index in 60..68 {
        let next = if index == 67 { 60 } else { index + 1 };
        added.push(Point::mean(&[at(index)?, at(next)?]));
    }
    let brows = mean(17..27)?;
    let temples = over_the_top(brows, at(0)?, at(16)?, N_INNER);
    added.extend(temples.map(|angle| first_end(parsing, brows, angle, &FACE)));
    let eyes = Point::mean(&[left_eye, right_eye]);
    let contour = over_the_top(eyes, at(2)?, at(14)?, N_OUTER);
    added.extend(contour.map(|angle| last_end(parsing, eyes, angle, &HEAD)));
    let added = added.into_iter().map(|point| image_from_crop.apply(point));
    Some(landmarks.iter().copied().chain(added).collect())
}

/// `n` angles between the directions to `left` and to `right`, both left out, by way of the upper side of the crop.
fn over_the_top(center: Point, left: Point, right: Point, n: u8) -> impl Iterator<Item = f32> {
    let angle = |point: Point| (point.y - center.y).atan2(point.x - center.x);
    // y points down: from left (pi) over the top (3/2 pi) to right (2 pi).
    let turn = std::f32::consts::TAU;
    let from = angle(left).rem_euclid(turn);
    let to = from + (angle(right) - from).rem_euclid(turn);
    (1..=n).map(move |index| from + (to - from) * f32::from(index) / (f32::from(n) + 1.0))
}

/// Places on a ray, half a pixel apart, with their classes, up to the border of the crop.
fn ray(parsing: &Parsing, from: Point, angle: f32) -> impl Iterator<Item = (Point, u8)> {
    let place = move |step: u16| {
        let distance = f32::from(step) / 2.0;
        Point::new(from.x + distance * angle.cos(), from.y + distance * angle.sin())
    };
    (0..2048).map(place).map_while(|point| Some((point, parsing.class_at(point)?)))
}

/// Where the classes end for the first time.
fn first_end(parsing: &Parsing, from: Point, angle: f32, classes: &[u8]) -> Point {
    let inside = ray(parsing, from, angle).take_while(|(_, class)| classes.contains(class));
    inside.last().map_or(from, |(point, _)| point)
}

/// Where the classes end for the last time.
fn last_end(parsing: &Parsing, from: Point, angle: f32, classes: &[u8]) -> Point {
    let inside = ray(parsing, from, angle).filter(|(_, class)| classes.contains(class));
    inside.last().map_or(from, |(point, _)| point)
}

#[cfg(test)]
mod tests;
