use serde_json::Value;
use tronie_base::Silent;
use tronie_testing::{Golden, shared};

use super::*;

/// The picture that `reference/evaluate.py` makes of the same number: smooth waves and a little of another picture.
fn wave(number: u32, width: u32, height: u32) -> Pixels {
    let value = |x: u32, y: u32, channel: u32| {
        let mixed =
            (x * (number % 7 + 3) + y * (number % 5 + 2) + channel * 40 + (x * y * number) % 31) % 256;
        u8::try_from(mixed).unwrap()
    };
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| value(x, y, c))));
    Pixels::new(width, height, rgb.collect()).unwrap()
}

#[test]
fn fifty_pairs_are_as_similar_as_scikit_image_says() {
    let golden = Golden::open("evaluate/ssim");
    for (settings, name) in [(SsimSettings::Standard, "standard"), (SsimSettings::Coursework, "coursework")] {
        for (pair, &expected) in (0_u32..).zip(golden.f64(name)) {
            let (width, height) = (32 + pair % 9, 24 + pair % 5);
            let found =
                ssim(&wave(pair, width, height), &wave(pair * 3 + 1, width, height), settings).unwrap();
            assert!((found - expected).abs() < 1e-6, "{name}, pair {pair}: {found}, expected {expected}");
        }
        assert_eq!(golden.f64(name).len(), 50);
    }
}

#[test]
fn the_published_matrix_of_the_coursework_is_reproduced() {
    let Some(folder) = shared("the_published_matrix_of_the_coursework_is_reproduced") else { return };
    let folder = folder.join("data/fixtures/ssim_set1");
    let published: Value =
        serde_json::from_slice(&std::fs::read(folder.join("matrix.json")).unwrap()).unwrap();
    let names: Vec<String> = serde_json::from_value(published["images"].clone()).unwrap();
    let pictures = names.into_iter().map(|name| {
        let pixels = tronie_image::open(&folder.join(&name)).unwrap();
        (name, pixels)
    });
    let pictures: Vec<(String, Pixels)> = pictures.collect();
    let found = ssim_matrix(&pictures, SsimSettings::Coursework, &mut Silent).unwrap();
    let expected: Vec<Vec<f64>> = serde_json::from_value(published["ssim"].clone()).unwrap();
    assert_eq!(found.values, expected);
    assert!((found.mean - 0.346).abs() < 1e-9, "{}", found.mean);
}

#[test]
fn pictures_that_cannot_be_compared_are_refused() {
    let small = ssim(&wave(1, 9, 9), &wave(2, 9, 9), SsimSettings::Standard).unwrap_err();
    assert_eq!(small.to_string(), "SSIM of 9x9 pixels, expected sides of at least 11");
    let other = ssim(&wave(1, 20, 20), &wave(2, 20, 21), SsimSettings::Standard).unwrap_err();
    assert_eq!(other.to_string(), "SSIM of pictures of 20x20 and 20x21 pixels, expected one size");
    let same = ssim(&wave(1, 20, 20), &wave(1, 20, 20), SsimSettings::Standard).unwrap();
    assert!((same - 1.0).abs() < 1e-12);
}
