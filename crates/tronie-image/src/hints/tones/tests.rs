use super::*;

/// A black picture with one white pixel in the middle.
fn dot(side_px: u32) -> Pixels {
    let n = side_px * side_px;
    let rgb = (0..n).flat_map(|index| [if index == n / 2 { 255 } else { 0 }; 3]).collect();
    Pixels::new(side_px, side_px, rgb).unwrap()
}

#[test]
fn a_blurred_dot_is_a_gaussian() {
    let blurred = blur(&dot(31), 2.0);
    let at = |x: usize, y: usize| f64::from(blurred.rgb()[3 * (y * 31 + x)]);
    for (dx, dy) in [(0, 0), (2, 0), (0, 3), (2, 2)] {
        let expected = 255.0 * (-((dx * dx + dy * dy) as f64) / 8.0).exp() / (8.0 * std::f64::consts::PI);
        assert!((at(15 + dx, 15 + dy) - expected).abs() < 1.5, "{dx} {dy}: {}", at(15 + dx, 15 + dy));
    }
}

#[test]
fn threshold_wants_every_channel_above_the_level() {
    let pixels = Pixels::new(3, 1, vec![200, 200, 128, 200, 200, 127, 0, 255, 255]).unwrap();
    assert_eq!(threshold(&pixels, 127).rgb(), [[255; 3], [0; 3], [0; 3]].concat());
}

#[test]
fn inverting_twice_gives_the_picture_back() {
    let pixels = dot(3);
    assert_eq!(invert(&pixels).rgb()[12], 0);
    assert_eq!(invert(&invert(&pixels)), pixels);
}

#[test]
fn dark_strokes_on_light_become_white_and_flat_parts_black() {
    let rgb = (0..40 * 40).flat_map(|index| [if index % 40 == 20 { 30 } else { 220 }; 3]).collect();
    let strokes = scribble(&Pixels::new(40, 40, rgb).unwrap(), 32);
    let at = |x: usize| strokes.rgb()[3 * (20 * 40 + x)];
    assert_eq!([at(3), at(20), at(37)], [0, 255, 0]);
}

#[test]
fn a_tile_keeps_its_size_and_loses_what_is_small() {
    let pixels = dot(16);
    assert_eq!(tile(&pixels, 1).unwrap(), pixels);
    let coarse = tile(&pixels, 8).unwrap();
    assert_eq!((coarse.width_px(), coarse.height_px()), (16, 16));
    assert!(coarse.rgb().iter().all(|&byte| byte < 40));
}
