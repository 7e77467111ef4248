use std::fs;

use tronie_image::{ImageFormat, Mask, Pixels, encode, psnr_db};

use crate::support::{Outcome, Place};

const FAST: [&str; 6] = ["--steps", "4", "--cfg", "4", "--seed", "7"];

/// Writes a picture of smooth colours, and one that is white in a square of it.
fn pictures(place: &Place, side: u32) {
    let places = |f: fn(u32, u32) -> [u8; 3]| (0..side).flat_map(move |y| (0..side).map(move |x| f(x, y)));
    let rgb = places(|x, y| [x * 3, y * 3, 160].map(|value| u8::try_from(value.min(255)).unwrap()));
    let mask = places(|x, y| if (12..52).contains(&x) && (10..50).contains(&y) { [255; 3] } else { [0; 3] });
    for (name, rgb) in [("in.png", rgb.flatten().collect()), ("mask.png", mask.flatten().collect())] {
        let pixels = Pixels::new(side, side, rgb).unwrap();
        fs::write(place.path(name), encode(&pixels, ImageFormat::Png, &[]).unwrap()).unwrap();
    }
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["generate", "a photo of a smiling woman"].iter().chain(&FAST).chain(more).copied().collect()
}

/// Runs what must succeed; the pixels it made, and their file.
fn made(place: &Place, more: &[&str]) -> (Pixels, String) {
    let path = place.ok(&args(more)).trim().to_owned();
    (open(place, &path), path)
}

fn open(place: &Place, name: &str) -> Pixels {
    tronie_image::open(&place.path(name)).unwrap()
}

#[track_caller]
fn assert_says(outcome: &Outcome, code: i32, says: &[&str]) {
    assert_eq!(outcome.code, code, "{}", outcome.stderr);
    for says in says {
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
}

#[test]
fn an_image_from_a_picture_has_its_size_and_can_be_made_again() {
    let place = Place::new();
    pictures(&place, 70);
    let (image, path) = made(&place, &["--image", "in.png", "--strength", "0.6"]);
    assert_eq!((image.width_px(), image.height_px()), (64, 64), "70 in whole latents");
    let again = place.ok(&["generate", "--like", &path]);
    assert_eq!(open(&place, again.trim()), image);
    let info = place.ok(&["info", &path]);
    for says in ["Denoising strength: 0.6", "\"path\": \"in.png\"", "\"sha256\": \""] {
        assert!(info.contains(says), "{says}: {info}");
    }
    pictures(&place, 64);
    let outcome = place.run(&["generate", "--like", &path]);
    assert_says(&outcome, 2, &["in.png has the SHA-256", "hint: name the file the image was made from"]);
    let (other, _) = made(&place, &["--like", &path, "--image", "in.png", "--strength", "0.2"]);
    assert_ne!(other, image);
}

#[test]
fn strength_goes_from_the_picture_to_a_new_one_in_every_profile() {
    let place = Place::new();
    pictures(&place, 64);
    let picture = open(&place, "in.png");
    for profile in ["a1111", "comfy", "diffusers"] {
        let nearness = |strength| {
            let more = ["--image", "in.png", "--steps", "10", "--profile", profile, "--strength", strength];
            let args = ["generate", "a photo of a smiling woman", "--cfg", "4", "--seed", "7"];
            let path = place.ok(&[args.as_slice(), &more].concat());
            psnr_db(&picture, &open(&place, path.trim())).unwrap()
        };
        let found = ["0.1", "0.5", "1"].map(nearness);
        assert!(found[0] > found[1] && found[1] > found[2] && found[0] > 15.0, "{profile}: {found:?}");
    }
}

#[test]
fn outside_the_mask_an_image_is_its_picture_bit_for_bit() {
    let place = Place::new();
    pictures(&place, 64);
    let picture = open(&place, "in.png");
    let mask = Mask::of_light(&open(&place, "mask.png"));
    let base = ["--image", "in.png", "--mask", "mask.png", "--strength", "0.9"];
    for more in [
        ["--mask-blur", "3"].as_slice(),
        &["--mask-blur", "3", "--only-masked", "8"],
        &["--mask-blur", "3", "--mask-content", "fill", "--sampler", "euler_ancestral"],
        &["--mask-blur", "3", "--mask-content", "latent_noise", "--profile", "comfy"],
        &["--mask-blur", "3", "--mask-content", "latent_nothing", "--profile", "diffusers"],
        &["--mask-blur", "3", "--mask-invert"],
    ] {
        let (image, _) = made(&place, &[base.as_slice(), more].concat());
        let mask = if more.contains(&"--mask-invert") { mask.inverted() } else { mask.clone() }.blurred(3.0);
        let pairs = picture.rgb().chunks(3).zip(image.rgb().chunks(3)).zip(mask.values());
        let kept = pairs.filter(|row| *row.1 == 0).map(|((before, after), _)| before == after);
        let kept: Vec<bool> = kept.collect();
        assert!(kept.len() > 100 && kept.iter().all(|&same| same), "{more:?}");
        assert_ne!(image, picture, "{more:?}");
    }
}

#[test]
fn pictures_of_every_kind_are_started_from() {
    let place = Place::new();
    let images = tronie_testing::repository().join("testdata/images");
    for name in ["cmyk.jpg", "rotated.jpg", "alpha.png", "grey16.png", "palette.png"] {
        fs::copy(images.join(name), place.path(name)).unwrap();
        let (image, _) = made(&place, &["--image", name]);
        let turned = name == "rotated.jpg";
        let size = (image.width_px(), image.height_px());
        assert_eq!(size, if turned { (16, 24) } else { (24, 16) }, "{name}");
    }
    let (white, _) = made(&place, &["--image", "alpha.png", "--strength", "0.1"]);
    let (black, _) = made(&place, &["--image", "alpha.png", "--strength", "0.1", "--background", "000000"]);
    assert!(psnr_db(&white, &black).unwrap() < 20.0, "the background shows");
    let dot = encode(&Pixels::new(1, 1, vec![200, 10, 10]).unwrap(), ImageFormat::Png, &[]).unwrap();
    fs::write(place.path("dot.png"), dot).unwrap();
    let (image, _) = made(&place, &["--image", "dot.png"]);
    assert_eq!((image.width_px(), image.height_px()), (8, 8));
    made(&place, &["--image", "dot.png", "--size", "64x64", "--resize", "latent"]);
}

#[test]
fn pictures_that_cannot_be_used_are_named() {
    let place = Place::new();
    pictures(&place, 64);
    let file = fs::read(place.path("in.png")).unwrap();
    fs::write(place.path("cut.png"), &file[..file.len() / 2]).unwrap();
    fs::write(place.path("text.png"), "no picture").unwrap();
    fs::write(place.path("empty.png"), "").unwrap();
    let mut huge = file.clone();
    huge[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
    fs::write(place.path("huge.png"), huge).unwrap();
    let small = encode(&Pixels::new(8, 8, vec![255; 192]).unwrap(), ImageFormat::Png, &[]).unwrap();
    fs::write(place.path("small.png"), small).unwrap();
    let black = encode(&Pixels::new(64, 64, vec![0; 64 * 64 * 3]).unwrap(), ImageFormat::Png, &[]).unwrap();
    fs::write(place.path("black.png"), black).unwrap();
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&["--image", "absent.png"], 2, &["absent.png: cannot read"]),
        (&["--image", "cut.png"], 2, &["cut.png: broken PNG file"]),
        (&["--image", "text.png"], 2, &["text.png: not a picture", "hint: convert the file to PNG"]),
        (&["--image", "empty.png"], 2, &["empty.png: not a picture"]),
        (&["--image", "huge.png"], 2, &["huge.png: 100000x64 pixels", "scale the picture down"]),
        (&["--image", "in.png", "--strength", "1.5"], 2, &["strength is 1.5, expected 0 to 1"]),
        (
            &["--image", "in.png", "--strength", "0", "--profile", "comfy"],
            2,
            &["strength 0 of 4 steps leaves no step"],
        ),
        (&["--strength", "0.5"], 2, &["strength is given alone, expected it beside an image"]),
        (&["--mask", "mask.png"], 2, &["mask is given without an image"]),
        (&["--image", "in.png", "--mask-blur", "2"], 2, &["mask_blur is given alone"]),
        (&["--image", "in.png", "--mask", "small.png"], 2, &["small.png has 8x8 pixels, expected 64x64"]),
        (&["--image", "in.png", "--mask", "black.png"], 2, &["black.png has nothing to paint"]),
        (&["--image", "in.png", "--mask", "mask.png", "--resize", "latent"], 2, &["resize is latent"]),
        (&["--image", "in.png", "--extend", "left=3"], 2, &["extend is what makes 67x64 pixels"]),
    ];
    for (more, code, says) in cases {
        assert_says(&place.run(&args(more)), code, says);
    }
    assert!(!place.path("out").exists(), "a refused request leaves nothing behind");
}

#[test]
fn an_extended_picture_keeps_its_pixels() {
    let place = Place::new();
    pictures(&place, 64);
    let base = ["--image", "in.png", "--extend", "left=32,bottom=16", "--mask-blur", "0"];
    let (image, path) = made(&place, &base);
    assert_eq!((image.width_px(), image.height_px()), (96, 80));
    let rect = tronie_image::Rect { left: 32, top: 0, width: 64, height: 64 };
    assert_eq!(tronie_image::crop(&image, rect).unwrap(), open(&place, "in.png"));
    let again = place.ok(&["generate", "--like", &path]);
    assert_eq!(open(&place, again.trim()), image);
}

#[test]
fn every_further_pass_can_be_made_again() {
    let place = Place::new();
    pictures(&place, 64);
    let cases: [(&[&str], (u32, u32)); 5] = [
        (&["--size", "64x64", "--hires", "1.5", "--hires-strength", "0.5"], (96, 96)),
        (
            &["--size", "64x64", "--hires", "1.5", "--hires-upscaler", "lanczos", "--hires-steps", "2"],
            (96, 96),
        ),
        (&["--image", "in.png", "--upscale", "2", "--tile", "--upscale-strength", "0.4"], (128, 128)),
        (&["--size", "64x64", "--upscale", "1.25", "--tile", "64"], (80, 80)),
        (&["--image", "in.png", "--strength", "0.5", "--loopback", "2"], (64, 64)),
    ];
    for (more, size) in cases {
        let (image, path) = made(&place, more);
        assert_eq!((image.width_px(), image.height_px()), size, "{more:?}");
        let again = place.ok(&["generate", "--like", &path]);
        assert_eq!(open(&place, again.trim()), image, "{more:?}");
    }
    // The embedded model takes its own last steps over: the same pixels, whoever makes them.
    let (plain, _) = made(&place, &["--size", "64x64"]);
    let (refined, path) =
        made(&place, &["--size", "64x64", "--refiner", "tronie-mini", "--refiner-at", "0.5"]);
    assert_eq!(plain, refined);
    assert!(place.ok(&["info", &path]).contains("Refiner: tronie-mini ["));
}

#[test]
fn options_of_passes_that_there_are_none_of_are_named() {
    let place = Place::new();
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["--hires-steps", "3"], 2, &["hires_steps is given alone, expected it beside hires"]),
        (&["--refiner-at", "0.5"], 2, &["refiner_at is given alone"]),
        (&["--tile", "64"], 2, &["tile is given alone, expected it beside upscale"]),
        (&["--loopback", "3"], 2, &["loopback is given without an image"]),
        (&["--upscale", "0.5"], 2, &["upscale is 0.5, expected a factor from 1 to 8"]),
        (&["--refiner", "absent-model"], 3, &["absent-model", "hint:"]),
    ];
    for (more, code, says) in cases {
        assert_says(&place.run(&args(more)), code, says);
    }
    assert!(!place.path("out").exists(), "a refused request leaves nothing behind");
}

#[test]
fn a_grid_is_every_variant_and_a_sheet_of_them() {
    let place = Place::new();
    let base = ["--size", "64x64"];
    let out = place
        .ok(&args(&[base.as_slice(), &["--grid", "x=sampler:euler,ddim", "--grid", "y=cfg:3,4"]].concat()));
    let paths: Vec<&str> = out.lines().collect();
    assert_eq!(paths.len(), 5);
    assert!(paths[4].ends_with("out/000004-sheet.png"), "{out}");
    let sheet = open(&place, paths[4]);
    assert!(sheet.width_px() > 2 * 192 && sheet.height_px() > 2 * 192);
    let (alone, _) = made(&place, &["--size", "64x64", "--sampler", "ddim"]);
    assert_eq!(open(&place, paths[3]), alone, "a variant is the image of its own request");
    let out = place.ok(&["generate", "a face|glasses|a hat", "--matrix", "--steps", "2", "--size", "64x64"]);
    assert_eq!(out.lines().count(), 5);
}

#[test]
fn grids_that_make_no_sense_are_named() {
    let place = Place::new();
    let cases: [(&[&str], i32, &[&str]); 4] = [
        (&["--grid", "sampler:euler"], 2, &["grid is \"sampler:euler\", expected x, y or z"]),
        (&["--grid", "x=sampler:eulr"], 2, &["sampler is \"eulr\", expected a sampler"]),
        (&["--grid", "x=strength:0.5"], 2, &["strength is \"0.5\", expected a number, with an image"]),
        (&["--matrix"], 2, &["matrix is a prompt without parts"]),
    ];
    for (more, code, says) in cases {
        assert_says(&place.run(&args(more)), code, says);
    }
    assert!(!place.path("out").exists(), "a refused request leaves nothing behind");
}
