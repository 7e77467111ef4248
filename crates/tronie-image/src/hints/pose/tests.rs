use serde_json::json;

use super::*;

/// A pose in which only these body points are seen.
fn body(points: &[(usize, f32, f32)], canvas: Option<f32>) -> String {
    let mut numbers = vec![0.0; 54];
    for &(index, x, y) in points {
        numbers[3 * index..3 * index + 3].copy_from_slice(&[x, y, 0.9]);
    }
    let side = |value: Option<f32>| value.map_or(json!(null), |px| json!(px));
    json!({"people": [{"pose_keypoints_2d": numbers}], "canvas_width": side(canvas), "canvas_height": side(canvas)})
        .to_string()
}

fn pixel(pixels: &Pixels, x: usize, y: usize) -> [u8; 3] {
    let start = 3 * (y * pixels.width_px() as usize + x);
    pixels.rgb()[start..start + 3].try_into().unwrap()
}

#[test]
fn a_limb_is_an_ellipse_in_its_darker_colour_between_two_points_in_theirs() {
    // neck and right shoulder
    let pose = Pose::from_json(&body(&[(1, 20.0, 50.0), (2, 80.0, 50.0)], Some(100.0))).unwrap();
    let drawn = pose.draw(100, 100).unwrap();
    assert_eq!(pixel(&drawn, 50, 50), [153, 0, 0], "the first limb");
    assert_eq!(pixel(&drawn, 50, 54), [153, 0, 0], "four pixels to either side in the middle");
    assert_eq!(pixel(&drawn, 50, 55), [0; 3]);
    assert_eq!(pixel(&drawn, 27, 54), [0; 3], "and thinner at its ends");
    assert_eq!(pixel(&drawn, 20, 50), [255, 85, 0], "point 1");
    assert_eq!(pixel(&drawn, 80, 54), [255, 170, 0], "point 2");
    assert_eq!(pixel(&drawn, 80, 55), [0; 3]);
}

#[test]
fn points_are_scaled_to_the_picture_and_fractions_are_of_its_sides() {
    let in_pixels = Pose::from_json(&body(&[(0, 50.0, 25.0)], Some(100.0))).unwrap();
    let in_shares = Pose::from_json(&body(&[(0, 0.5, 0.25)], None)).unwrap();
    let drawn = in_pixels.draw(200, 40).unwrap();
    assert_eq!(pixel(&drawn, 100, 10), [255, 0, 0]);
    assert_eq!(in_shares.draw(200, 40).unwrap(), drawn);
}

#[test]
fn points_that_were_not_seen_or_lie_outside_draw_nothing() {
    let pose = Pose::from_json(&body(&[(4, -50.0, 500.0)], Some(100.0))).unwrap();
    assert!(pose.draw(32, 32).unwrap().rgb().iter().all(|&byte| byte == 0));
}

#[test]
fn fingers_go_around_the_circle_of_hues_and_faces_are_white() {
    let mut hand = vec![0.0; 63];
    for (index, x, y) in [(0, 50.0, 90.0), (1, 20.0, 60.0), (9, 50.0, 60.0)] {
        hand[3 * index..3 * index + 3].copy_from_slice(&[x, y, 1.0]);
    }
    let mut face = vec![0.0; 210];
    face[..3].copy_from_slice(&[5.0, 5.0, 1.0]);
    let text = json!([{"people": [{"hand_left_keypoints_2d": hand, "face_keypoints_2d": face}],
        "canvas_width": 100, "canvas_height": 100}]);
    let drawn = Pose::from_json(&text.to_string()).unwrap().draw(100, 100).unwrap();
    assert_eq!(pixel(&drawn, 35, 75), [255, 0, 0], "the thumb is bone 0");
    assert_eq!(pixel(&drawn, 50, 75), hue(8.0 / 20.0));
    assert_eq!(pixel(&drawn, 50, 90), [0, 0, 255]);
    assert_eq!(pixel(&drawn, 5, 5), [255; 3]);
    assert_eq!(hue(1.0 / 3.0), [0, 255, 0]);
    assert_eq!(hue(2.0 / 3.0), [0, 0, 255]);
}

#[test]
fn what_is_no_pose_is_an_error_that_says_what_is_expected() {
    let cases = [
        ("{", "not a pose in OpenPose's JSON: "),
        (r#"{"people": []}"#, "the pose has no people"),
        (r#"{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}"#, "pose_keypoints_2d has 3 numbers, expected 54"),
    ];
    for (text, says) in cases {
        let error = Pose::from_json(text).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("18 points")));
    }
}
