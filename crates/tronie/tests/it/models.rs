use std::fs;

use crate::support::Place;

const FAST: [&str; 8] = ["--steps", "2", "--size", "64x64", "--cfg", "4", "--seed", "3"];

#[test]
fn one_model_in_every_form_makes_identical_pixels() {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "folder"]);
    place.ok(&["models", "convert", "tronie-mini", "single.safetensors"]);
    place.ok(&["models", "convert", "single.safetensors", "again/"]);
    let forms = ["tronie-mini", "folder", "single.safetensors", "again/"].map(|model| {
        let args: Vec<&str> =
            ["generate", "a photo of an old man", "--model", model].iter().chain(&FAST).copied().collect();
        let path = place.ok(&args);
        tronie_image::open(&place.path(path.trim())).unwrap()
    });
    assert_eq!(forms[0], forms[1], "folder");
    assert_eq!(forms[0], forms[2], "single file");
    assert_eq!(forms[0], forms[3], "folder from the single file");
}

#[test]
fn a_model_is_found_by_name_in_a_models_folder() {
    let place = Place::new();
    fs::create_dir_all(place.path("tree/models/Stable-diffusion")).unwrap();
    place.ok(&["models", "convert", "tronie-mini", "tree/models/Stable-diffusion/face.safetensors"]);
    let args: Vec<&str> =
        ["generate", "x", "--model", "face", "--models-dir", "tree"].iter().chain(&FAST).copied().collect();
    place.ok(&args);
    let list = place.ok(&["models", "list", "--models-dir", "tree"]);
    assert!(list.contains("face.safetensors"), "{list}");
}

#[test]
fn inspect_counts_what_is_inside() {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "single.safetensors"]);
    let text = place.ok(&["models", "inspect", "single.safetensors"]);
    assert!(text.contains("unet") && text.contains("text_encoder") && text.contains("vae"), "{text}");
}

#[test]
fn a_malicious_pickle_is_refused_by_name_and_never_run() {
    let place = Place::new();
    // Protocol 2: os.system("touch canary")
    let mut bytes = vec![0x80, 2];
    bytes.extend(b"cos\nsystem\n(X\x0c\x00\x00\x00touch canarytR.");
    fs::write(place.path("bad.ckpt"), bytes).unwrap();
    for args in [["models", "inspect", "bad.ckpt"], ["generate", "x", "--model=bad.ckpt"]] {
        let outcome = place.run(&args);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!((outcome.stderr + &outcome.stdout).contains("os.system"), "{args:?}");
    }
    assert!(!place.path("canary").exists());
}
