use tronie_testing::Golden;

use super::*;

#[test]
fn edges_equal_those_of_opencv() {
    let golden = Golden::open("hints/canny");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 256")]
    let bytes = |name: &str| -> Vec<u8> { golden.f64(name).iter().map(|&value| value as u8).collect() };
    let [h, w, 3] = *golden.shape("pixels") else { panic!("h w 3") };
    let pixels = Pixels::new(u32::try_from(w).unwrap(), u32::try_from(h).unwrap(), bytes("pixels")).unwrap();
    for (low, high) in [(100, 200), (30, 90), (200, 100), (0, 0)] {
        let found = canny(&pixels, low, high);
        let expected = bytes(&format!("canny.{low}.{high}"));
        let expected: Vec<u8> = expected.into_iter().flat_map(|byte| [byte; 3]).collect();
        assert_eq!(found.rgb(), expected, "{low} {high}");
    }
}

#[test]
fn a_picture_of_one_colour_or_one_pixel_has_no_edges() {
    for (w, h) in [(5, 4), (1, 1), (1, 7)] {
        let pixels = Pixels::new(w, h, vec![77; (w * h * 3) as usize]).unwrap();
        assert!(canny(&pixels, 0, 0).rgb().iter().all(|&byte| byte == 0));
    }
}
