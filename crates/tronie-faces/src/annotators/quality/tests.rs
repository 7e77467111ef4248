#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "values of made-up pixels are 0 to 255"
)]

use super::*;

fn picture(side: u32, gray: impl Fn(u32, u32) -> u8) -> Pixels {
    let places = (0..side * side).map(|index| (index % side, index / side));
    Pixels::new(side, side, places.flat_map(|(x, y)| [gray(x, y); 3]).collect()).unwrap()
}

fn whole(side: u32) -> Rect {
    Rect { left: 0.0, top: 0.0, right: side as f32, bottom: side as f32 }
}

/// Uniform noise of -amplitude to amplitude, from an integer hash.
fn noise(x: u32, y: u32, amplitude: i32) -> i32 {
    let hash = (x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263)).wrapping_mul(1_274_126_177);
    let hash = (hash ^ (hash >> 15)).wrapping_mul(2_246_822_519) >> 16;
    hash.cast_signed() % (2 * amplitude + 1) - amplitude
}

#[test]
fn a_flat_gray_face_is_neither_sharp_nor_noisy_nor_blocky() {
    let found = quality(&picture(112, |_, _| 128), &whole(112)).unwrap();
    assert!((found.brightness - 128.0 / 255.0).abs() < 1e-6, "{found:?}");
    assert!(found.sharpness.abs() < 1e-3 && found.noise.abs() < 1e-3 && found.clipped == 0.0, "{found:?}");
    assert_eq!((found.blockiness, found.face_px), (1.0, 112.0));
}

#[test]
fn noise_of_a_known_deviation_is_estimated() {
    // Uniform integers of -12 to 12 have a variance of (25^2 - 1) / 12.
    let expected = ((25.0_f32 * 25.0 - 1.0) / 12.0).sqrt();
    let noisy = picture(128, |x, y| (128 + noise(x, y, 12)) as u8);
    let found = quality(&noisy, &whole(128)).unwrap().noise;
    assert!((found / expected - 1.0).abs() < 0.1, "{found}, expected {expected}");
}

#[test]
fn blocks_of_eight_pixels_show_only_where_jpeg_has_them() {
    let blocks = |shift: u32| {
        picture(128, |x, y| {
            let block = ((x + shift) / 8 * 7 + (y + shift) / 8 * 13) % 5 * 12;
            (100 + block.cast_signed() + noise(x, y, 2)) as u8
        })
    };
    let (on_grid, off_grid) = (quality(&blocks(0), &whole(128)), quality(&blocks(4), &whole(128)));
    assert!(on_grid.unwrap().blockiness > 3.0);
    assert!(off_grid.unwrap().blockiness < 1.0);
}

#[test]
fn lost_detail_is_counted_at_both_ends() {
    let found = quality(
        &picture(100, |x, _| {
            if x < 25 {
                0
            } else if x < 35 {
                255
            } else {
                100
            }
        }),
        &whole(100),
    );
    assert!((found.unwrap().clipped - 0.35).abs() < 1e-6);
}

#[test]
fn blur_lowers_sharpness() {
    let edges = picture(112, |x, y| if (x / 6 + y / 6) % 2 == 0 { 60 } else { 180 });
    let soft = picture(112, |x, y| (120.0 + 60.0 * (x as f32 / 6.0).sin() * (y as f32 / 6.0).sin()) as u8);
    let of = |picture: &Pixels| quality(picture, &whole(112)).unwrap().sharpness;
    assert!(of(&edges) > 5.0 * of(&soft));
}

#[test]
fn a_box_outside_of_the_picture_has_no_quality() {
    let outside = Rect { left: 200.0, top: 0.0, right: 300.0, bottom: 100.0 };
    assert_eq!(quality(&picture(112, |_, _| 9), &outside), None);
}
