use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tronie_testing::shared;

use crate::support::{Place, contents};

/// A place whose folder `in` has a few pictures and a file that is none, with the networks; `None` where they are absent.
fn place_with_pictures(test: &str) -> Option<(Place, String)> {
    let shared = shared(test)?;
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for name in ["sd14/sd14_0000.jpg", "sd14/sd14_0017.jpg", "tiles/tile_0001.jpg", "tiles/tile_0100.jpg"] {
        let file = Path::new(name).file_name().unwrap();
        fs::copy(shared.join("data/faces").join(name), place.path("in").join(file)).unwrap();
    }
    fs::write(place.path("in/broken.png"), b"\x89PNG\r\n\x1a\n but no more").unwrap();
    let networks: PathBuf = shared.join("data/nets").canonicalize().unwrap();
    Some((place, networks.display().to_string()))
}

#[test]
fn annotate_writes_a_line_for_every_picture_and_continues_after_kills() {
    let Some((place, nets)) = place_with_pictures("annotate_writes_a_line_for_every_picture") else { return };
    let annotate = |out| ["faces", "annotate", "in", "-o", out, "--models-dir", &nets].map(str::to_owned);
    let args = annotate("whole.jsonl");
    let stdout = place.ok(&args.each_ref().map(String::as_str));
    assert_eq!(stdout.trim(), "whole.jsonl");
    let whole = fs::read_to_string(place.path("whole.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0]["error"].as_str().unwrap().contains("PNG"), "{}", lines[0]);
    assert_eq!(lines[1]["file"], "sd14_0000.jpg");
    assert_eq!(lines[1]["faces"][0]["landmarks_68"].as_array().unwrap().len(), 68);
    assert_eq!(lines[1]["faces"][0]["embedding"]["values"].as_array().unwrap().len(), 256);
    assert_eq!(lines[2]["faces"].as_array().unwrap().len(), 0, "no face is no failure");

    let args = annotate("killed.jsonl");
    for moment in 0..8_u64 {
        let mut child = place.command(&args.each_ref().map(String::as_str)).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 + moment * 71));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.ok(&args.each_ref().map(String::as_str));
    assert_eq!(fs::read_to_string(place.path("killed.jsonl")).unwrap(), whole);
}

#[test]
fn a_machine_without_networks_sees_faces() {
    let Some((place, _)) = place_with_pictures("a_machine_without_networks_sees_faces") else { return };
    let outcome = place.run(&[
        "faces",
        "annotate",
        "in",
        "-o",
        "a.jsonl",
        "--use",
        "landmarks110",
        "--use",
        "tronie_parsing",
    ]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("looking with head_pose, landmarks110, quality, tronie_attributes,"),
        "{}",
        outcome.stderr
    );
    let text = fs::read_to_string(place.path("a.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in [&lines[1], &lines[3], &lines[4]] {
        let face = &line["faces"][0];
        assert_eq!(face["landmarks_110"].as_array().unwrap().len(), 110, "{}", line["file"]);
        assert_eq!(face["embedding"]["network"], "tronie_embedding");
        assert!(face["attributes"]["hair"]["dark"].is_number() && face["age_gender"]["male"].is_number());
    }
    let run = fs::read_to_string(place.path("a.jsonl.run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run["annotators"]["tronie_detector"].as_str().unwrap().len(), 64);
    let verified = place.ok(&["faces", "verify", "in/tile_0001.jpg", "in/tile_0001.jpg"]);
    assert!(verified.starts_with("same person: distance 0.0000"), "{verified}");
}

#[test]
fn annotate_draws_what_it_found() {
    let Some((place, nets)) = place_with_pictures("annotate_draws_what_it_found") else { return };
    place.ok(&["faces", "annotate", "in", "-o", "a.jsonl", "--overlay", "drawn", "--models-dir", &nets]);
    let names: Vec<String> = contents(&place.path("drawn")).into_iter().map(|file| file.0).collect();
    assert_eq!(names, ["sd14_0000.png", "sd14_0017.png", "tile_0001.png", "tile_0100.png"]);
}

#[test]
fn align_writes_upright_faces_of_the_size_asked_for() {
    let Some((place, nets)) = place_with_pictures("align_writes_upright_faces") else { return };
    place.ok(&["faces", "align", "in", "-o", "faces", "--size", "128", "--models-dir", &nets]);
    let files = contents(&place.path("faces"));
    let names: Vec<&str> = files.iter().map(|file| file.0.as_str()).collect();
    assert_eq!(
        names,
        ["aligned.jsonl", "aligned.jsonl.run.json", "sd14_0000.png", "tile_0001.png", "tile_0100.png"]
    );
    let face = tronie_image::open(&place.path("faces/tile_0001.png")).unwrap();
    assert_eq!((face.width_px(), face.height_px()), (128, 128));
    let outcome =
        place.run(&["faces", "align", "in", "-o", "faces", "--template", "arcface", "--models-dir", &nets]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("aligned.jsonl was made by other"), "{}", outcome.stderr);
}

#[test]
fn verify_says_same_different_or_no_face() {
    let Some((place, nets)) = place_with_pictures("verify_says_same_different_or_no_face") else { return };
    let verify = |a, b| place.ok(&["faces", "verify", a, b, "--models-dir", &nets]);
    assert!(verify("in/tile_0001.jpg", "in/tile_0001.jpg").starts_with("same person: distance 0.0000"));
    assert!(verify("in/tile_0001.jpg", "in/tile_0100.jpg").starts_with("different people"));
    assert!(verify("in/tile_0001.jpg", "in/sd14_0017.jpg").starts_with("no face"));
}

#[test]
fn cluster_takes_a_folder_or_its_annotations() {
    let Some((place, nets)) = place_with_pictures("cluster_takes_a_folder_or_its_annotations") else {
        return;
    };
    fs::copy(place.path("in/tile_0001.jpg"), place.path("in/twin.jpg")).unwrap();
    let by_folder = place.ok(&["faces", "cluster", "in", "--models-dir", &nets]);
    assert!(
        by_folder.starts_with("0: 2 faces, up to 0.000 apart\n  tile_0001.jpg 0\n  twin.jpg 0\n"),
        "{by_folder}"
    );
    place.ok(&["faces", "annotate", "in", "--models-dir", &nets]);
    assert_eq!(place.ok(&["faces", "cluster", "in/annotations.jsonl"]), by_folder);
}

#[test]
fn calibrate_finds_the_threshold_of_distances() {
    let place = Place::new();
    place.write("pairs.csv", "distance,same\n0.1,1\n0.2,1\n0.3,1\n0.5,0\n0.7,0\n");
    let text = place.ok(&["faces", "calibrate", "pairs.csv"]);
    assert!(text.contains("3 pairs of one person, 2 of two; AUC 1.0000"), "{text}");
    assert!(text.contains("threshold 0.4000"), "{text}");
}

#[test]
fn judge_learns_the_labels_of_sd14() {
    let Some(shared) = shared("judge_learns_the_labels_of_sd14") else { return };
    let nets = shared.join("data/nets").canonicalize().unwrap().display().to_string();
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    let metadata = fs::read_to_string(shared.join("data/faces/metadata.jsonl")).unwrap();
    let mut labels = String::from("file,label\n");
    for line in metadata.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        if let (Some(name), Some(label)) = (row["file_name"].as_str(), row["human_label"].as_str()) {
            let file = Path::new(name).file_name().unwrap().to_string_lossy();
            fs::copy(shared.join("data/faces").join(name), place.path("in").join(&*file)).unwrap();
            labels.push_str(&format!("{file},{label}\n"));
        }
    }
    place.write("labels.csv", &labels);
    place.ok(&["faces", "annotate", "in", "--models-dir", &nets]);
    let outcome = place.run(&["faces", "judge", "in/annotations.jsonl", "--labels", "labels.csv"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let auc = outcome.stderr.split("AUC ").nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(auc > 0.93, "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), 200);
}
