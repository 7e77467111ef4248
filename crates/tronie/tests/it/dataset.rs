use std::fs;
use std::time::Duration;

use crate::support::{Place, contents};

const SPEC: &str = r#"
name = "small"
version = 1
template = "a photo of a {age} {sex}"
total = 8

[generation]
model = "tronie-mini"
width_px = 64
height_px = 64
steps = 2
cfg = 4

[attributes.sex]
values = ["man", "woman"]

[attributes.age]
values = ["young", "old"]

[quota]
by = ["sex", "age"]
per_cell = 2
"#;

#[test]
fn a_build_makes_the_folder_that_the_spec_describes() {
    let place = Place::new();
    place.write("small.toml", SPEC);
    assert_eq!(place.ok(&["dataset", "build", "small.toml"]).trim(), "datasets/small");
    let names: Vec<String> = contents(&place.path("datasets/small")).into_iter().map(|file| file.0).collect();
    for name in [
        "metadata.jsonl",
        "contact_sheet.png",
        "summary.json",
        "summary.md",
        "spec.toml",
        "images/000007.png",
    ] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    assert!(place.ok(&["dataset", "status", "datasets/small"]).contains("8 of 8 images, complete"));
}

#[test]
fn killed_at_25_moments_and_restarted_the_folder_is_the_same_to_the_byte() {
    let place = Place::new();
    place.write("small.toml", SPEC);
    place.ok(&["dataset", "build", "small.toml", "-o", "whole"]);
    for moment in 0..25_u64 {
        let mut child = place.command(&["dataset", "build", "small.toml", "-o", "killed"]).spawn().unwrap();
        // Spread over start-up, loading and the first images; each restart gets a little further.
        std::thread::sleep(Duration::from_millis(20 + (moment * 7919) % 400));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    place.ok(&["dataset", "build", "small.toml", "-o", "killed"]);
    let (whole, killed) = (contents(&place.path("whole")), contents(&place.path("killed")));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&killed), names(&whole));
    assert!(killed == whole, "some file differs");
}

#[test]
fn shards_together_are_the_whole() {
    let place = Place::new();
    place.write("small.toml", SPEC);
    place.ok(&["dataset", "build", "small.toml", "-o", "whole"]);
    for shard in ["1/3", "2/3", "3/3"] {
        place.ok(&["dataset", "build", "small.toml", "-o", "shards", "--shard", shard]);
    }
    assert!(contents(&place.path("shards")) == contents(&place.path("whole")));
}

#[test]
fn the_shipped_specs_plan() {
    let place = Place::new();
    let specs = tronie_testing::repository().join("specs");
    for (name, n_images) in [
        ("portraits-mini", 96),
        ("agfd", 21_100),
        ("agfd-mini", 90),
        ("regularization-man", 1500),
        ("regularization-woman", 1500),
        ("identity-ages", 30),
    ] {
        let path = specs.join(format!("{name}.toml"));
        let text = place.ok(&["dataset", "plan", path.to_str().unwrap()]);
        assert!(text.contains(&format!("{n_images} images")), "{text}");
    }
}

#[test]
fn a_folder_of_another_spec_is_not_touched() {
    let place = Place::new();
    place.write("small.toml", SPEC);
    place.ok(&["dataset", "build", "small.toml", "-o", "data"]);
    let before = contents(&place.path("data"));
    place.write("other.toml", &SPEC.replace("steps = 2", "steps = 3"));
    let outcome = place.run(&["dataset", "build", "other.toml", "-o", "data"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("steps"), "{}", outcome.stderr);
    assert!(contents(&place.path("data")) == before);
}

/// Rules that need no network: no two pictures with the same hash.
const RULES: &str = "
[attempts]
per_slot = 3

[duplicates]
hash_bits = 12
";

#[test]
fn a_build_with_rules_can_be_reviewed_and_decides_again() {
    let place = Place::new();
    place.write("small.toml", &format!("{SPEC}{RULES}"));
    place.ok(&["dataset", "build", "small.toml", "-o", "data"]);
    let list = place.ok(&["dataset", "review", "data"]);
    let n_kept = list.lines().filter(|line| line.contains(" kept images/")).count();
    assert!(list.lines().count() >= 8 && n_kept > 0, "{list}");
    let report = place.ok(&["dataset", "report", "data"]);
    assert!(report.contains("## Cells, asked for and verified"), "{report}");
    place.ok(&["dataset", "review", "data", "--drop", "images/000000.png", "--because", "a test"]);
    place.ok(&["dataset", "build", "small.toml", "-o", "data"]);
    let dropped = place.ok(&["dataset", "review", "data", "--rule", "by hand"]);
    assert!(dropped.contains("dropped rejected/000000-") && dropped.contains("a test"), "{dropped}");
    let outcome = place.run(&["dataset", "review", "data", "--keep", "000099-0"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
}

#[test]
fn a_build_with_rules_that_is_killed_ends_the_same() {
    let place = Place::new();
    place.write("small.toml", &format!("{SPEC}{RULES}"));
    place.ok(&["dataset", "build", "small.toml", "-o", "whole"]);
    for moment in 0..12_u64 {
        let mut child = place.command(&["dataset", "build", "small.toml", "-o", "killed"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + (moment * 7919) % 400));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    place.ok(&["dataset", "build", "small.toml", "-o", "killed"]);
    assert!(contents(&place.path("killed")) == contents(&place.path("whole")));
}

#[test]
fn a_build_with_annotators_measures_what_it_keeps() {
    let place = Place::new();
    let rules = "[[filters]]\nmeasure = \"n_faces\"\nmax = 9\n";
    place.write("small.toml", &format!("{SPEC}[measure]\n{rules}"));
    place.ok(&["dataset", "build", "small.toml", "-o", "data"]);
    let metadata = fs::read_to_string(place.path("data/metadata.jsonl")).unwrap();
    assert_eq!(metadata.lines().count(), 8);
    for line in metadata.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["measures"]["n_faces"].is_number() && line["attempt"] == 0, "{line}");
    }
    place.write("other.toml", &format!("{SPEC}[measure]\nannotators = [\"scrfd\"]\n{rules}"));
    let outcome = place.run(&["dataset", "build", "other.toml", "-o", "other"]);
    assert_eq!(outcome.code, 3, "a network that was chosen: {}", outcome.stderr);
    assert!(
        outcome.stderr.contains("scrfd") && outcome.stderr.contains("--models-dir"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn dedup_finds_the_same_picture_under_another_name() {
    let place = Place::new();
    place.write("small.toml", SPEC);
    place.ok(&["dataset", "build", "small.toml", "-o", "data"]);
    fs::create_dir(place.path("other")).unwrap();
    fs::copy(place.path("data/images/000003.png"), place.path("other/twin.png")).unwrap();
    let found = place.ok(&["dataset", "dedup", "other", "--against", "data", "--hash-bits", "0"]);
    assert_eq!(found.trim(), "other/twin.png repeats data/images/000003.png: the same pixels");
    place.ok(&["dataset", "dedup", "other", "--different", "other/twin.png", "data/images/000003.png"]);
    assert_eq!(place.ok(&["dataset", "dedup", "other", "--against", "data", "--hash-bits", "0"]), "");
}
