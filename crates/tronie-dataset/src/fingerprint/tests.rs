use super::*;

/// A picture of 32x32 pixels that needs no scaling.
fn picture() -> Pixels {
    let rgb = (0..32_u32).flat_map(|y| {
        (0..32_u32).flat_map(move |x| {
            [x * 7 + y * 13 + x * y, x * 3 + y * y, x * x + 5 * y].map(|value| value % 256)
        })
    });
    Pixels::new(32, 32, rgb.map(|value| u8::try_from(value).unwrap()).collect()).unwrap()
}

fn distance(a: &Pixels, b: &Pixels) -> u32 {
    (perceptual_hash(a).unwrap() ^ perceptual_hash(b).unwrap()).count_ones()
}

#[test]
fn the_hash_is_the_published_one() {
    // numpy and scipy 1.17: dctn(luma, type=2)[1:9, 1:9], each above np.median of the 64
    assert_eq!(perceptual_hash(&picture()).unwrap(), 0x1c11_05bf_f831_66ed);
}

#[test]
fn scaling_and_brightness_hardly_change_the_hash_and_other_pictures_do() {
    let large = resize(&picture(), 160, 160).unwrap();
    let brighter = large.rgb().iter().map(|byte| byte.saturating_add(9)).collect();
    let brighter = Pixels::new(160, 160, brighter).unwrap();
    assert!(distance(&large, &resize(&large, 97, 97).unwrap()) <= 4);
    assert!(distance(&large, &brighter) <= 4);
    let turned: Vec<u8> = large.rgb().chunks_exact(3).rev().flatten().copied().collect();
    assert!(distance(&large, &Pixels::new(160, 160, turned).unwrap()) > 16);
}

#[test]
fn one_picture_has_one_fingerprint_and_its_sides_count() {
    let flat = |width, height| Fingerprint::of(&Pixels::new(width, height, vec![9; 24]).unwrap()).unwrap();
    assert_eq!(flat(4, 2), flat(4, 2));
    assert_ne!(flat(4, 2).pixels_sha256, flat(2, 4).pixels_sha256);
}
