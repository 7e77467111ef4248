use std::fs;

use serde_json::Value;
use tronie_image::{ImageFormat, KEY_PARAMETERS, TextEntry, encode, open, read_text_from};

use crate::support::Place;

const REQUEST: [&str; 12] = [
    "generate",
    "a photo of a man with glasses",
    "--steps",
    "3",
    "--size",
    "64x64",
    "--sampler",
    "DPM++ 2M Karras",
    "--seed",
    "7",
    "-N",
    "blurry",
];

/// The same pixels with A1111's text alone, as another program would have written it.
fn as_foreign(place: &Place, from: &str, to: &str, change: impl Fn(String) -> String) {
    let entries = read_text_from(&place.path(from)).unwrap();
    let entry = entries.into_iter().find(|entry| entry.key == KEY_PARAMETERS).unwrap();
    let entries = [TextEntry::new(KEY_PARAMETERS, change(entry.value))];
    let pixels = open(&place.path(from)).unwrap();
    fs::write(place.path(to), encode(&pixels, ImageFormat::Png, &entries).unwrap()).unwrap();
}

#[test]
fn a_picture_is_made_again_from_its_record_and_from_a1111s_text() {
    let place = Place::new();
    let made = place.ok(&REQUEST);
    let again = place.ok(&["reproduce", made.trim()]);
    assert!(again.contains("checkpoint tronie-mini [") && again.contains(": found"), "{again}");
    assert!(again.trim_end().ends_with("out/000000-7-again.png: the same in every pixel"), "{again}");
    as_foreign(&place, made.trim(), "foreign.png", |text| {
        text.replace("Version: tronie", "Version: v1.10.1, Was")
    });
    let again = place.ok(&["reproduce", "foreign.png"]);
    assert!(again.starts_with("made by Stable Diffusion web UI v1.10.1, followed as a1111\n"), "{again}");
    assert!(again.trim_end().ends_with("foreign-again.png: the same in every pixel"), "{again}");
    // Made twice: nothing is overwritten.
    assert!(place.ok(&["reproduce", "foreign.png"]).contains("foreign-again-2.png"));
}

#[test]
fn half_precision_before_1_7_0_225_makes_another_picture() {
    let place = Place::new();
    let made = place.ok(&REQUEST);
    as_foreign(&place, made.trim(), "old.png", |text| {
        text.replace("Version: tronie", "Version: v1.7.0, Was")
    });
    let lines = place.ok(&["--json", "--quiet", "reproduce", "old.png"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["request"]["profile"], "a1111_1_7");
    let psnr = lines[1]["psnr_db"].as_f64().unwrap();
    assert!((15.0..60.0).contains(&psnr), "near, not equal: {psnr}");
    assert!((0.3..1.0).contains(&lines[1]["ssim"].as_f64().unwrap()), "{}", lines[1]);
    assert!(lines[1]["largest_difference"].as_u64().unwrap() > 0);
    // The person knows better.
    let again = place.ok(&["reproduce", "old.png", "--profile", "a1111"]);
    assert!(again.contains("the same in every pixel"), "{again}");
}

#[test]
fn what_is_missing_is_listed_and_nothing_is_made() {
    let place = Place::new();
    let made = place.ok(&REQUEST);
    let change =
        |text: String| text.replace("Model: tronie-mini", "Model: gone, Lora hashes: \"film: 8635d637a2e7\"");
    as_foreign(&place, made.trim(), "foreign.png", change);
    let outcome = place.run(&["reproduce", "foreign.png", "-o", "again"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("checkpoint gone [")
            && outcome.stderr.contains("lora film [8635d637a2e7] missing")
    );
    assert!(
        outcome.stderr.contains("--models-dir") && outcome.stderr.contains("--anyway"),
        "{}",
        outcome.stderr
    );
    assert!(!place.path("again").exists());
    place.ok(&["reproduce", "foreign.png", "--dry-run"]);
    let again = place.ok(&["reproduce", "foreign.png", "--model", "tronie-mini", "--anyway"]);
    assert!(again.contains("the same in every pixel"), "the prompt has no tag: {again}");
}

#[test]
fn a_picture_from_a_picture_needs_it() {
    let place = Place::new();
    let first = place.ok(&REQUEST);
    let args = [
        "generate",
        "a photo of a woman",
        "--image",
        first.trim(),
        "--strength",
        "0.6",
        "--steps",
        "4",
        "--seed",
        "3",
        "-o",
        "second",
    ];
    let second = place.ok(&args);
    as_foreign(&place, second.trim(), "foreign.png", |text| {
        text.replace("Version: tronie", "Version: v1.10.1, Was")
    });
    let outcome = place.run(&["reproduce", "foreign.png"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("was started from another picture") && outcome.stderr.contains("--image")
    );
    let again = place.ok(&["reproduce", "foreign.png", "--image", first.trim()]);
    assert!(again.contains("the same in every pixel"), "{again}");
}

#[test]
fn a_picture_without_settings_says_whose_are_understood() {
    let place = Place::new();
    let pixels = tronie_image::Pixels::new(8, 8, vec![0; 8 * 8 * 3]).unwrap();
    fs::write(place.path("plain.png"), encode(&pixels, ImageFormat::Png, &[]).unwrap()).unwrap();
    let outcome = place.run(&["reproduce", "plain.png"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("ComfyUI") && outcome.stderr.contains("tronie info"),
        "{}",
        outcome.stderr
    );
    assert_eq!(place.run(&["reproduce", "nowhere.png"]).code, 2);
}
