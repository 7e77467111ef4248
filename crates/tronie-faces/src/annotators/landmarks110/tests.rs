use super::*;
use crate::geometry::Transform;

const CENTER: Point = Point::new(256.0, 280.0);
const FACE_RADIUS: f32 = 120.0;
const HAIR_RADIUS: f32 = 180.0;

/// A round face with a round nose, and hair above its middle up to `hair_radius`.
fn parsing(hair_radius: f32) -> Parsing {
    let class = |index: usize| {
        let point = Point::new((index % 512) as f32 + 0.5, (index / 512) as f32 + 0.5);
        let distance = point.distance(CENTER);
        match () {
            () if distance < 25.0 => 10,
            () if distance < FACE_RADIUS => 1,
            () if distance < hair_radius && point.y < CENTER.y => 17,
            () => 0,
        }
    };
    Parsing {
        areas: vec![],
        classes: (0..512 * 512).map(class).collect(),
        image_from_crop: [Transform::IDENTITY.x, Transform::IDENTITY.y],
    }
}

/// Landmarks of that face: the jaw on its outline, eyes and brows above the nose.
fn landmarks() -> Vec<Point> {
    let mut landmarks = vec![CENTER; 68];
    for (index, point) in landmarks.iter_mut().enumerate().take(17) {
        let angle = std::f32::consts::PI * (1.0 - index as f32 / 16.0);
        *point = Point::new(CENTER.x + FACE_RADIUS * angle.cos(), CENTER.y + FACE_RADIUS * angle.sin());
    }
    let mut set = |range: std::ops::Range<usize>, x: f32, y: f32| {
        landmarks[range].fill(Point::new(CENTER.x + x, CENTER.y + y));
    };
    set(17..27, 0.0, -50.0);
    set(36..42, -40.0, -30.0);
    set(42..48, 40.0, -30.0);
    set(33..34, 0.0, 10.0);
    for (index, point) in landmarks.iter_mut().enumerate().skip(60) {
        *point = Point::new(CENTER.x + index as f32, CENTER.y + 60.0);
    }
    landmarks
}

#[test]
fn contours_lie_where_face_and_hair_end() {
    let found = landmarks_110(&landmarks(), &parsing(HAIR_RADIUS)).unwrap();
    assert_eq!(found.len(), 110);
    for point in &found[80..89] {
        assert!((point.distance(CENTER) - FACE_RADIUS).abs() < 1.5, "{point:?}");
    }
    for point in found[89..110].iter().filter(|point| point.y < CENTER.y - 5.0) {
        assert!((point.distance(CENTER) - HAIR_RADIUS).abs() < 1.5, "{point:?}");
    }
    let is_left_to_right = |points: &[Point]| points.is_sorted_by(|a, b| a.x < b.x);
    assert!(is_left_to_right(&found[80..89]));
    assert!(found[80].x < CENTER.x - 80.0 && found[88].x > CENTER.x + 80.0 && found[84].y < CENTER.y - 118.0);
}

#[test]
fn wings_of_the_nose_and_the_inner_lip_lie_between_their_neighbors() {
    let found = landmarks_110(&landmarks(), &parsing(HAIR_RADIUS)).unwrap();
    assert!((found[68].x - (CENTER.x - 25.0)).abs() < 1.0 && (found[69].x - (CENTER.x + 25.0)).abs() < 1.0);
    assert!((found[72].x - (CENTER.x + 60.5)).abs() < 1e-3);
    assert!((found[79].x - (CENTER.x + 63.5)).abs() < 1e-3);
}

#[test]
fn a_bald_head_has_both_contours_on_its_outline() {
    let found = landmarks_110(&landmarks(), &parsing(0.0)).unwrap();
    for point in &found[80..110] {
        assert!((point.distance(CENTER) - FACE_RADIUS).abs() < 1.5, "{point:?}");
    }
}

#[test]
fn hair_that_leaves_the_crop_ends_at_its_border() {
    let found = landmarks_110(&landmarks(), &parsing(1000.0)).unwrap();
    let top = found[89 + 10];
    assert!(top.y < 1.0, "{top:?}");
    assert_eq!(landmarks_110(&[CENTER; 5], &parsing(0.0)), None);
}
