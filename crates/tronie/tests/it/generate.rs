use std::fs;

use crate::support::Place;

const FAST: [&str; 8] = ["--steps", "3", "--size", "64x64", "--cfg", "4", "--seed", "7"];

fn generate(place: &Place, more: &[&str]) -> Vec<String> {
    let args: Vec<&str> =
        ["generate", "a photo of a smiling woman"].iter().chain(&FAST).chain(more).copied().collect();
    place.ok(&args).lines().map(str::to_owned).collect()
}

fn pixels(place: &Place, path: &str) -> tronie_image::Pixels {
    tronie_image::open(&place.path(path)).unwrap()
}

#[test]
fn stdout_is_one_path_per_image_and_nothing_is_overwritten() {
    let place = Place::new();
    assert_eq!(generate(&place, &["-n", "2"]), ["out/000000-7.png", "out/000001-8.png"]);
    assert_eq!(generate(&place, &[]), ["out/000002-7.png"]);
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 3);
}

#[test]
fn image_i_of_a_batch_is_the_image_of_seed_plus_i() {
    let place = Place::new();
    generate(&place, &["-n", "3"]);
    place.ok(&[
        "generate",
        "a photo of a smiling woman",
        "--steps",
        "3",
        "--size",
        "64x64",
        "--cfg",
        "4",
        "--seed",
        "9",
    ]);
    assert_eq!(pixels(&place, "out/000002-9.png"), pixels(&place, "out/000003-9.png"));
    assert_ne!(pixels(&place, "out/000000-7.png"), pixels(&place, "out/000001-8.png"));
}

#[test]
fn like_makes_the_same_pixels_again_in_every_profile() {
    for profile in ["a1111", "diffusers", "comfy"] {
        let place = Place::new();
        let more = ["-n", "2", "--profile", profile, "--sampler", "euler_ancestral"];
        let paths = generate(&place, &more);
        let again = place.ok(&["generate", "--like", &paths[1]]);
        assert_eq!(pixels(&place, &paths[1]), pixels(&place, again.trim()), "{profile}");
    }
}

#[test]
fn an_image_says_how_it_was_made_in_a1111s_words_and_in_ours() {
    let place = Place::new();
    let paths = generate(&place, &["-N", "blurry", "--sampler", "DPM++ 2M", "--schedule", "karras"]);
    let info = place.ok(&["info", &paths[0]]);
    let expected = "a photo of a smiling woman\nNegative prompt: blurry\n\
        Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, Seed: 7, Size: 64x64, Model hash: ";
    assert!(info.contains(expected), "{info}");
    assert!(info.contains("\"sampler\": \"dpmpp_2m\""), "{info}");
    assert!(info.contains("trainedAlgorithmicMedia"), "{info}");
    let unmarked = generate(&place, &["--no-mark"]);
    assert!(!place.ok(&["info", &unmarked[0]]).contains("trainedAlgorithmicMedia"));
}

#[test]
fn jpeg_and_webp_carry_the_request_too() {
    let place = Place::new();
    for format in ["jpeg", "webp"] {
        let paths = generate(&place, &["--format", format]);
        let again = place.ok(&["generate", "--like", &paths[0], "--format", format]);
        assert_eq!(pixels(&place, &paths[0]), pixels(&place, again.trim()), "{format}");
    }
}

#[test]
fn json_lines_have_a_schema_version_and_end_with_the_result() {
    let place = Place::new();
    let lines = generate(&place, &["--json"]);
    for line in &lines {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["schema_version"], 1);
    }
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["seed"]), (&"result".into(), &7.into()));
}

#[test]
fn every_sampler_and_schedule_of_the_tables_makes_an_image() {
    let place = Place::new();
    for sampler in tronie_sampling::SAMPLERS {
        generate(&place, &["--sampler", sampler.id, "-o", sampler.id]);
    }
    for schedule in tronie_sampling::SCHEDULES {
        generate(&place, &["--schedule", schedule.id, "-o", schedule.id]);
    }
}

#[test]
fn prompt_editing_composition_and_weights_change_the_image() {
    let place = Place::new();
    let mut seen = vec![pixels(&place, &generate(&place, &[])[0])];
    for prompt in [
        "a photo of a (smiling:1.4) woman",
        "a photo of a [smiling:angry:0.5] woman",
        "a photo of a [smiling|angry] woman",
        "a photo of a smiling woman AND a photo of an old man :0.5",
        "a photo of a smiling woman BREAK black hair",
    ] {
        let args: Vec<&str> = ["generate", prompt].iter().chain(&FAST).copied().collect();
        let path = place.ok(&args);
        let image = pixels(&place, path.trim());
        assert!(!seen.contains(&image), "{prompt}");
        seen.push(image);
    }
}
