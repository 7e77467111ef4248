#![expect(clippy::cast_possible_truncation, reason = "points are f32")]

use super::*;

/// 68 landmarks of the generic head turned by (yaw, pitch, roll), scaled and shifted, without perspective.
fn landmarks(angles_deg: [f64; 3]) -> Vec<Point> {
    let [yaw, pitch, roll] = angles_deg.map(f64::to_radians);
    let turn = |[x, y, z]: Vector| {
        let (x, y) = (x * roll.cos() - y * roll.sin(), x * roll.sin() + y * roll.cos());
        let (y, z) = (y * pitch.cos() + z * pitch.sin(), z * pitch.cos() - y * pitch.sin());
        // The nose, at -z, goes to the right for a positive yaw.
        let (x, z) = (x * yaw.cos() - z * yaw.sin(), z * yaw.cos() + x * yaw.sin());
        [x, y, z]
    };
    let mut landmarks = vec![Point::new(0.0, 0.0); 68];
    for (index, place) in HEAD {
        let [x, y, _] = turn(place);
        landmarks[index] = Point::new((x * 0.3 + 200.0) as f32, (y * 0.3 + 150.0) as f32);
    }
    landmarks
}

#[test]
fn angles_of_a_turned_head_come_back() {
    for angles in
        [[0.0, 0.0, 0.0], [30.0, 0.0, 0.0], [-60.0, 20.0, 0.0], [10.0, -25.0, 40.0], [0.0, 0.0, -100.0]]
    {
        let pose = head_pose(&landmarks(angles)).unwrap();
        for (found, expected) in [pose.yaw_deg, pose.pitch_deg, pose.roll_deg].into_iter().zip(angles) {
            assert!((f64::from(found) - expected).abs() < 1e-3, "{pose:?}, expected {angles:?}");
        }
    }
}

#[test]
fn a_nose_to_the_right_is_a_positive_yaw_and_one_above_a_positive_pitch() {
    let frontal = landmarks([0.0; 3]);
    let moved = |x: f32, y: f32| {
        let mut landmarks = frontal.clone();
        landmarks[30] = Point::new(landmarks[30].x + x, landmarks[30].y + y);
        head_pose(&landmarks).unwrap()
    };
    assert!(moved(10.0, 0.0).yaw_deg > 1.0);
    assert!(moved(0.0, -10.0).pitch_deg > 1.0);
}

#[test]
fn points_that_coincide_have_no_pose() {
    assert_eq!(head_pose(&[Point::new(5.0, 5.0); 68]), None);
    assert_eq!(head_pose(&[]), None);
}
