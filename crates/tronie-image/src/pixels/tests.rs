use super::*;

fn filled(width_px: u32, height_px: u32, value: u8) -> Pixels {
    Pixels::new(width_px, height_px, vec![value; (width_px * height_px * 3) as usize]).unwrap()
}

#[test]
fn a_buffer_of_the_wrong_length_is_refused_with_both_numbers() {
    let error = Pixels::new(2, 2, vec![0; 11]).unwrap_err();
    assert_eq!(error.to_string(), "11 bytes for 2x2 pixels, expected 3 for each, and at least one pixel");
    assert!(Pixels::new(0, 5, Vec::new()).is_err());
}

#[test]
fn psnr_follows_its_definition() {
    // 20 log10(255) for a difference of one everywhere, 20 log10(255 / 5) for five
    let cases = [(1, 48.130_803_608_679_1), (5, 34.151_403_521_958_7), (255, 0.0)];
    for (difference, expected_db) in cases {
        let found = psnr_db(&filled(3, 2, 0), &filled(3, 2, difference)).unwrap();
        assert!((found - expected_db).abs() < 1e-9, "{difference}: {found}");
    }
    assert_eq!(psnr_db(&filled(3, 2, 9), &filled(3, 2, 9)).unwrap(), f64::INFINITY);
    let error = psnr_db(&filled(3, 2, 9), &filled(2, 3, 9)).unwrap_err();
    assert_eq!(error.to_string(), "3x2 pixels compared with 2x3, expected equal sizes");
}

#[test]
fn resizing_keeps_flat_colour_and_mean_brightness() {
    let flat = resize(&filled(64, 48, 77), 20, 90).unwrap();
    assert_eq!(flat, filled(20, 90, 77));
    let stripes: Vec<u8> = (0..64 * 64 * 3).map(|i| if i / 3 % 2 == 0 { 0 } else { 200 }).collect();
    let small = resize(&Pixels::new(64, 64, stripes).unwrap(), 16, 16).unwrap();
    // Stripes of one pixel are above the resolution of the result: only their mean may be left.
    let inner = small.rgb().chunks_exact(48).flat_map(|row| &row[6..42]);
    for &value in inner {
        assert!(value.abs_diff(100) <= 2, "{value}");
    }
    assert!(resize(&filled(4, 4, 0), 0, 4).is_err());
}

#[test]
fn thumbnails_keep_proportions() {
    for (width_px, height_px, side_px, expected) in
        [(64, 32, 16, (16, 8)), (1, 100, 10, (1, 10)), (3, 3, 7, (7, 7)), (2, 3, 1, (1, 1))]
    {
        let small = thumbnail(&filled(width_px, height_px, 9), side_px).unwrap();
        assert_eq!((small.width_px(), small.height_px()), expected);
    }
    assert!(thumbnail(&filled(2, 2, 0), 0).is_err());
}
