use std::fs;

use serde_json::{Value, json};
use tronie_image::{ImageFormat, Pixels, encode};

use crate::support::Place;

const N: usize = 60;

/// Pictures with metadata, and what was found in them: faces whose embeddings are near to one of two directions.
fn pictures(place: &Place) {
    fs::create_dir_all(place.path("in")).unwrap();
    let (mut metadata, mut faces, mut person) = (String::new(), String::new(), String::new());
    for index in 0..N {
        let name = format!("{index:02}.png");
        let rgb = (0..16 * 16 * 3).map(|value| u8::try_from((value * (index + 3)) % 251).unwrap()).collect();
        let png = encode(&Pixels::new(16, 16, rgb).unwrap(), ImageFormat::Png, &[]).unwrap();
        fs::write(place.path("in").join(&name), png).unwrap();
        let sex = if index % 2 == 0 { "man" } else { "woman" };
        let age = if index < N / 2 { "20" } else { "60" };
        let row = json!({ "file_name": name, "attributes": { "sex": sex, "age": age } });
        metadata += &format!("{row}\n");
        let angle = (index % 2) as f64 * 1.2 + index as f64 * 0.004;
        // The first picture has no face.
        let found = if index == 0 { json!([]) } else { face(angle, index % 2 == 0 || index == 1) };
        faces += &format!("{}\n", json!({ "file": name, "width_px": 16, "height_px": 16, "faces": found }));
        if index < 3 {
            let line = json!({ "file": name, "width_px": 16, "height_px": 16, "faces": face(0.0, true) });
            person += &format!("{line}\n");
        }
    }
    place.write("in/metadata.jsonl", &metadata);
    place.write("faces.jsonl", &faces);
    place.write("person.jsonl", &person);
}

fn face(angle: f64, is_male: bool) -> Value {
    json!([{
        "box": [1.0, 1.0, 9.0, 9.0], "score": 0.9,
        "embedding": { "network": "sface", "values": [angle.cos(), angle.sin(), 0.0] },
        "age_gender": { "age_years": 30.0, "male": if is_male { 0.9 } else { 0.1 } },
    }])
}

#[test]
fn a_folder_is_evaluated_into_numbers_and_a_page() {
    let place = Place::new();
    pictures(&place);
    let args = [
        "dataset",
        "evaluate",
        "in",
        "-o",
        "out",
        "--annotations",
        "faces.jsonl",
        "--reference",
        "faces.jsonl",
        "--training",
        "faces.jsonl",
        "--person",
        "person.jsonl",
        "--by",
        "age",
        "--confusion",
        "sex=sex",
        "--ssim",
        "standard",
        "--ssim-pictures",
        "5",
    ];
    assert_eq!(place.ok(&args).trim(), "out/evaluation.html");
    let text = fs::read_to_string(place.path("out/evaluation.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let number = |path: &str| {
        found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {text}"))
    };
    assert!(number("/distribution/fid/value").abs() < 1e-6);
    assert!((number("/distribution/precision/value") - 1.0).abs() < 1e-9);
    assert!((number("/memorisation/nearest_cosine/value") - 1.0).abs() < 1e-9);
    // Half of the pictures, less the one without a face, are near to the person.
    assert!((number("/identity/all/rate/value") - 29.0 / 60.0).abs() < 1e-9);
    assert_eq!(found["identity"]["prompts"][0]["prompt"], "20");
    assert_eq!(found["identity"]["prompts"][0]["n_without_face"], 1);
    // Asked for 30 men and 30 women; one woman looks like a man, one man has no face.
    assert_eq!(found["confusions"][0]["counts"], json!([[29, 1], [0, 29]]));
    assert_eq!(found["ssim"]["values"].as_array().unwrap().len(), 5);
    let warnings = found["warnings"].to_string();
    assert!(
        warnings.contains("the pictures: 1 of 60 have no face") && warnings.contains("FID of 59"),
        "{warnings}"
    );
    let page = fs::read_to_string(place.path("out/evaluation.html")).unwrap();
    assert!(page.contains("<h2>Identity</h2>") && page.contains("</html>"));
}

#[test]
fn samples_that_mean_nothing_and_nothing_at_all_are_refused() {
    let place = Place::new();
    pictures(&place);
    let nothing = place.run(&["dataset", "evaluate", "in", "-o", "out"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("there is nothing to evaluate the pictures by"), "{}", nothing.stderr);
    let few = place.run(&[
        "dataset",
        "evaluate",
        "in",
        "-o",
        "out",
        "--annotations",
        "faces.jsonl",
        "--reference",
        "person.jsonl",
    ]);
    assert_eq!(few.code, 2);
    assert!(few.stderr.contains("FID of 3 pictures, expected at least 50"), "{}", few.stderr);
    assert!(!place.path("out").exists());
}
