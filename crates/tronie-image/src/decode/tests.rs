use super::*;
use crate::{ImageFormat, encode, psnr_db};

fn smooth(width_px: u32, height_px: u32) -> Pixels {
    let rgb = (0..height_px).flat_map(|y| (0..width_px).flat_map(move |x| [x * 3, y * 3, x + y]));
    Pixels::new(width_px, height_px, rgb.map(|value| u8::try_from(value % 256).unwrap()).collect()).unwrap()
}

#[test]
fn jpeg_quality_orders_size_and_fidelity() {
    let original = smooth(64, 64);
    let files: Vec<_> =
        [30, 75, 95].map(|quality| encode(&original, ImageFormat::Jpeg { quality }, &[]).unwrap()).into();
    let psnr: Vec<_> = files.iter().map(|file| psnr_db(&decode(file).unwrap(), &original).unwrap()).collect();
    assert!(files.is_sorted_by_key(Vec::len));
    assert!(psnr.is_sorted() && psnr[2] > 38.0, "{psnr:?}");
    let error = encode(&original, ImageFormat::Jpeg { quality: 0 }, &[]).unwrap_err();
    assert_eq!(error.to_string(), "jpeg quality 0, expected 1 to 100");
}

#[test]
fn more_pixels_than_allowed_are_refused_before_they_are_decoded() {
    for (width_px, height_px) in [(16_385_u32, 1_u32), (10_001, 10_000), (2_000_000_000, 2_000_000_000)] {
        let mut file = encode(&smooth(1, 1), ImageFormat::Png, &[]).unwrap();
        file[16..20].copy_from_slice(&width_px.to_be_bytes());
        file[20..24].copy_from_slice(&height_px.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..29]);
        file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let error = decode(&file).unwrap_err();
        let expected = format!(
            "{width_px}x{height_px} pixels, expected sides of at most 16384 and at most 100000000 pixels"
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_without_decoding() {
    let error = decode(&vec![0; 64 * 1024 * 1024 + 1]).unwrap_err();
    assert_eq!(error.to_string(), "67108865 bytes, expected a picture of at most 67108864");
}

#[test]
fn broken_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("face.png");
    let file = encode(&smooth(20, 20), ImageFormat::Png, &[]).unwrap();
    std::fs::write(&path, &file[..file.len() - 40]).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("face.png: broken PNG file: "), "{error}");
    std::fs::write(&path, b"").unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("not a picture: begins with nothing (it is empty), expected PNG, JPEG or WebP"),
        "{error}"
    );
    let error = open(&folder.path().join("none.png")).unwrap_err().to_string();
    assert!(error.contains("none.png: cannot read: "), "{error}");
}

#[test]
fn alpha_is_dropped_and_wide_channels_are_rounded() {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    // 0x1234 * 255 / 65535 = 18.13, 0x80ff -> 128.5.. rounds to 128 or 129 by definition (v + 128) / 257
    writer.write_image_data(&[0x12, 0x34, 0xff, 0xff, 0x00, 0x00, 0x00, 0x10]).unwrap();
    writer.finish().unwrap();
    assert_eq!(decode(&file).unwrap().rgb(), [18, 255, 0]);
}

#[test]
fn pictures_of_every_kind_show_what_pillow_shows() {
    let golden = tronie_testing::Golden::open("images/rgb");
    // (file, largest difference of a byte): JPEG decoders round differently, and CMYK twice
    let cases =
        [("cmyk.jpg", 6), ("rotated.jpg", 4), ("alpha.png", 1), ("grey16.png", 1), ("palette.png", 0)];
    for (name, tolerance) in cases {
        let path = tronie_testing::repository().join("testdata/images").join(name);
        let found = decode_onto(&read_file(&path).unwrap(), [10, 200, 30]).unwrap();
        let [height, width, _] = *golden.shape(name) else { panic!("{name} has three sides") };
        assert_eq!((found.width_px() as usize, found.height_px() as usize), (width, height), "{name}");
        let pairs = found.rgb().iter().zip(golden.f64(name));
        let worst = pairs.map(|(&found, &expected)| (f64::from(found) - expected).abs()).fold(0.0, f64::max);
        assert!(worst <= f64::from(tolerance), "{name}: {worst}");
    }
}

#[test]
fn the_size_is_known_without_the_pixels_and_turned_as_they_are() {
    for name in ["rotated.jpg", "palette.png"] {
        let file = std::fs::read(tronie_testing::repository().join("testdata/images").join(name)).unwrap();
        assert_eq!(size_px(&file).unwrap(), decode(&file).unwrap().size_px(), "{name}");
    }
    assert!(size_px(b"no picture").is_err());
}
