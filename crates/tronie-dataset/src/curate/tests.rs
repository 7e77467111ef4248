use std::collections::{BTreeMap, BTreeSet};

use tronie_base::{Silent, derive_seed};
use tronie_faces::geometry::Rect;
use tronie_faces::{AgeGender, Embedding, Face, Quality, Seen};
use tronie_image::{ImageFormat, encode};

use super::*;
use crate::build::build_on;
use crate::generator::GeneratedImage;
use crate::testing::{FailingDisk, assert_same, content};
use crate::{
    BoxedFaulty, BuildOptions, Decided, Decision, Generator, Ruling, Shard, Spec, build, decided, report,
    review, status,
};

mod edits;

/// Two attributes, four cells of six places; all rules at once.
const SPEC: &str = r#"
name = "tiny"
version = 1
template = "a {age} {sex}"
[attributes.sex]
values = ["man", "woman"]
[attributes.age]
values = ["young", "old"]
[quota]
by = ["sex", "age"]
per_cell = 6

[measure]
[[filters]]
measure = "sharpness"
min = 20
[verify.sex]
measure = "male"
values = { man = [0.5, 1.01], woman = [0, 0.5] }
[verify.age]
measure = "age_years"
tolerance = 3
values = { young = [0, 40], old = [40, 120] }
[attempts]
per_slot = 6
stop_below = 0.3
[duplicates]
hash_bits = 0
cosine = 0.9999
"#;
const N_IMAGES: u64 = 24;

fn spec(text: &str) -> Spec {
    Spec::parse(text).unwrap()
}

/// A model with known faults. Its pictures say in their first pixel what a measurer is to see: red is how male, green the
/// age, blue the sharpness. One in four shows the other sex, one in four the other age, one in five is not sharp, one in
/// four repeats one of two pictures but for that pixel, and old women it cannot make.
#[derive(Default)]
struct Model {
    n_made: u64,
}

impl Model {
    fn picture(item: &Item) -> Pixels {
        let draw = |purpose: &str, n: u64| derive_seed(purpose, item.seed) % n;
        let asks = |name: &str, id: &str| item.attributes[name] == id;
        let is_impossible = asks("sex", "woman") && asks("age", "old");
        let is_man = asks("sex", "man") != (draw("sex", 4) == 0) || is_impossible;
        let is_old = asks("age", "old") != (draw("age", 4) == 0);
        let is_sharp = draw("sharpness", 5) > 0;
        let noise = |purpose: &str| u8::try_from(draw(purpose, 10)).unwrap();
        let first = [
            if is_man { 200 } else { 20 } + noise("male"),
            if is_old { 60 } else { 25 } + noise("years"),
            if is_sharp { 30 } else { 5 } + noise("laplacian"),
        ];
        let mut seed = item.seed;
        if draw("again", 4) == 0 {
            seed = draw("which", 2);
        }
        let rest = (0..16 * 16 - 1).flat_map(|pixel| {
            [0, 1, 2].map(|channel| derive_seed("pixels", seed * 1024 + pixel * 4 + channel))
        });
        let rest = rest.map(|bits| u8::try_from(bits % 256).unwrap());
        Pixels::new(16, 16, first.into_iter().chain(rest).collect()).unwrap()
    }
}

impl Generator for Model {
    fn batch_size(&self) -> usize {
        3
    }

    fn model_id(&self) -> &str {
        "fake"
    }

    fn model_hash(&self) -> &str {
        "abc"
    }

    fn generate(
        &mut self,
        items: &[Item],
        _progress: &mut dyn Progress,
    ) -> Result<Vec<GeneratedImage>, BoxedFaulty> {
        self.n_made += items.len() as u64;
        let file = |item| {
            let bytes = encode(&Self::picture(item), ImageFormat::Png, &[]).unwrap();
            GeneratedImage { bytes, extension: "png".to_owned() }
        };
        Ok(items.iter().map(file).collect())
    }
}

/// Reads the first pixel; the embedding is the rest of the picture.
#[derive(Default)]
struct Reader {
    n_looked: u64,
}

impl Measurer for Reader {
    fn identity(&self) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([("first pixel".to_owned(), None)])
    }

    fn batch_size(&self) -> usize {
        5
    }

    fn measure(&mut self, pictures: &[Pixels]) -> Result<Vec<Seen>, BoxedFaulty> {
        self.n_looked += pictures.len() as u64;
        Ok(pictures.iter().map(seen).collect())
    }
}

fn seen(pixels: &Pixels) -> Seen {
    let [red, green, blue] = [0, 1, 2].map(|index| f32::from(pixels.rgb()[index]));
    let mut face = Face::new(Rect { left: 1.0, top: 1.0, right: 9.0, bottom: 9.0 }, 0.9, None);
    face.age_gender = Some(AgeGender { age_years: green, male: red / 255.0 });
    face.quality = Some(Quality {
        face_px: 8.0,
        sharpness: blue,
        brightness: 0.5,
        clipped: 0.0,
        noise: 3.0,
        blockiness: 1.0,
    });
    let values: Vec<f32> = pixels.rgb()[3..35].iter().map(|&byte| f32::from(byte) - 127.5).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let values = values.iter().map(|value| value / length).collect();
    face.embedding = Some(Embedding { network: "fake".to_owned(), values });
    Seen { width_px: 16, height_px: 16, faces: vec![face] }
}

/// A build, and how many pictures it made and looked at.
fn run_spec(spec: &Spec, folder: &Path, shard: Shard) -> (Summary, u64, u64) {
    let (mut model, mut reader) = (Model::default(), Reader::default());
    let crew = Crew { generator: &mut model, measurer: &mut reader };
    let options = BuildOptions { shard, ..BuildOptions::default() };
    let summary = build(spec, folder, crew, options, &mut Silent).unwrap();
    (summary, model.n_made, reader.n_looked)
}

fn run(text: &str, folder: &Path) -> (Summary, u64, u64) {
    run_spec(&spec(text), folder, Shard::ALL)
}

fn uninterrupted(text: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    run(text, folder.path());
    content(folder.path())
}

/// What a dataset is, without the candidates that it did not keep.
fn essence(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let is_essence = |name: &String| {
        name.starts_with("images/")
            || ["metadata.jsonl", "summary.json", "summary.md", "contact_sheet.png"].contains(&name.as_str())
    };
    files.retain(|name, _| is_essence(name));
    files
}

#[test]
fn every_place_is_filled_by_its_first_attempt_that_passes() {
    // Without rules that look at other places, each place can be foretold on its own.
    let text = SPEC.replace("stop_below = 0.3\n", "");
    let text = text.split("[duplicates]").next().unwrap();
    let spec = spec(text);
    let folder = tempfile::tempdir().unwrap();
    let (summary, n_made, n_looked) = run(text, folder.path());
    let passes = |item: &Item| {
        let pixels = Model::picture(item);
        let &[red, green, blue] = pixels.rgb().first_chunk().unwrap();
        let is_man = f32::from(red) / 255.0 >= 0.5;
        let fits_age = if item.attributes["age"] == "old" { green >= 37 } else { green < 43 };
        blue >= 20 && fits_age && is_man == (item.attributes["sex"] == "man")
    };
    let (mut n_expected, mut n_open) = (0, 0);
    for slot in 0..N_IMAGES {
        let items = (0..6).map(|attempt| spec.candidate(Candidate { slot, attempt }).unwrap());
        let path = folder.path().join(spec.file_name(slot));
        match items.enumerate().find(|(_, item)| passes(item)) {
            Some((attempt, item)) => {
                n_expected += attempt as u64 + 1;
                assert_eq!(tronie_image::open(&path).unwrap(), Model::picture(&item), "place {slot}");
            }
            None => {
                n_expected += 6;
                n_open += 1;
                assert!(!path.exists(), "place {slot}");
            }
        }
    }
    assert_eq!((n_made, summary.n_open), (n_expected, n_open));
    assert!(n_looked <= n_made, "a picture that comes twice is looked at once");
    assert!(n_open >= 6 && n_expected > 60, "{n_open} {n_expected}");
    assert_eq!(status(folder.path()).unwrap().n_done, N_IMAGES - n_open);
}

#[test]
fn every_candidate_has_a_record_and_lies_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (_, n_made, _) = run(SPEC, folder.path());
    let files = content(folder.path());
    let decided = decided(folder.path()).unwrap();
    assert_eq!(decided.len() as u64, n_made);
    for line in &decided {
        let file = line.file_name.as_ref().unwrap();
        assert_eq!(tronie_base::sha256_hex(&files[file]), line.sha256, "{file}");
        assert_eq!(file.starts_with("images/"), line.decision == Decision::Kept);
        assert_eq!(line.reasons.is_empty(), line.decision != Decision::Dropped);
        assert!(line.measures.contains_key("sharpness"));
    }
    let n_pictures = files.keys().filter(|name| name.ends_with(".png") && name.contains('/')).count();
    assert_eq!(n_pictures, decided.len(), "no picture without a record");
    let rules: BTreeSet<&str> =
        decided.iter().flat_map(|line| &line.reasons).map(|reason| reason.rule.as_str()).collect();
    assert_eq!(rules, BTreeSet::from(["duplicate", "sharpness", "verify age", "verify sex"]));
    let manifest = String::from_utf8(files["manifest.sha256"].clone()).unwrap();
    let names = files.keys().filter(|name| ![".lock", "manifest.sha256"].contains(&name.as_str()));
    let expected: String =
        names.map(|name| format!("{}  {name}\n", tronie_base::sha256_hex(&files[name]))).collect();
    assert_eq!(manifest, expected);
}

#[test]
fn no_two_kept_pictures_are_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let kept: Vec<Pixels> = (0..N_IMAGES)
        .map(|index| folder.path().join(spec(SPEC).file_name(index)))
        .filter(|path| path.exists())
        .map(|path| tronie_image::open(&path).unwrap())
        .collect();
    for (index, a) in kept.iter().enumerate() {
        for b in &kept[..index] {
            assert_ne!(a, b);
            let [a, b] = [a, b].map(|pixels| seen(pixels).faces[0].embedding.clone().unwrap().values);
            let cosine: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!(cosine <= 0.9999);
        }
    }
    let lines = decided(folder.path()).unwrap();
    let n_duplicates =
        lines.iter().filter(|line| line.reasons.iter().any(|reason| reason.rule == "duplicate"));
    assert!(n_duplicates.count() > 0, "the model repeats itself");
}

#[test]
fn a_cell_that_the_model_cannot_make_is_given_up_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let (audit, text) = report(folder.path()).unwrap();
    let hopeless = audit.cells.iter().find(|cell| cell.name == "woman / old").unwrap();
    assert_eq!((hopeless.n_kept, hopeless.stop), (0, crate::Stop::Hopeless));
    // 0 of 6 leaves 39 % possible, 0 of 12 leaves 24 %
    assert_eq!(hopeless.n_made, 12);
    let good = audit.cells.iter().filter(|cell| cell.stop == crate::Stop::Full).count();
    assert!(good >= 2, "{text}");
    assert!(
        text.contains("| woman / old | 6 | 12 | 0 | 0.0 % (0.0 to 24.2) | given up: surely too few pass |"),
        "{text}"
    );
    let summary = String::from_utf8(content(folder.path())["summary.md"].clone()).unwrap();
    assert!(summary.contains(text.trim_start()), "the report is the one in summary.md");
    assert!(summary.contains("|  | woman / old | 0 |"), "no picture is counted that is not there: {summary}");
}

#[test]
fn a_disk_that_fails_anywhere_changes_nothing_in_the_end() {
    let expected = uninterrupted(SPEC);
    let spec = spec(SPEC);
    let (mut n_runs, mut state) = (0, 0);
    // Random numbers of operations between failures, until fifty of them have happened.
    while n_runs < 50 {
        let folder = tempfile::tempdir().unwrap();
        loop {
            state += 1;
            let mut disk = FailingDisk { n_operations: 0, fails_at: 1 + derive_seed("failure", state) % 140 };
            let (mut model, mut reader) = (Model::default(), Reader::default());
            let crew = Crew { generator: &mut model, measurer: &mut reader };
            let target = Target { spec: &spec, folder: folder.path(), options: BuildOptions::default() };
            match build_on(&mut disk, &target, crew, &mut Silent) {
                Ok(_) => break,
                Err(_) => n_runs += 1,
            }
        }
        run(SPEC, folder.path());
        assert_same(folder.path(), &expected);
    }
}

#[test]
fn every_single_failure_of_the_disk_is_survived() {
    let text = SPEC.replace("per_cell = 6", "per_cell = 1");
    let expected = uninterrupted(&text);
    let spec = spec(&text);
    for fails_at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = FailingDisk { n_operations: 0, fails_at };
        let (mut model, mut reader) = (Model::default(), Reader::default());
        let crew = Crew { generator: &mut model, measurer: &mut reader };
        let target = Target { spec: &spec, folder: folder.path(), options: BuildOptions::default() };
        let result = build_on(&mut disk, &target, crew, &mut Silent);
        run(&text, folder.path());
        assert_same(folder.path(), &expected);
        if result.is_ok() {
            assert!(fails_at > 30, "{fails_at}");
            break;
        }
    }
}

#[test]
fn shards_made_elsewhere_and_brought_together_are_one_run() {
    let expected = uninterrupted(SPEC);
    let spec = spec(SPEC);
    for n_shards in [2, 7] {
        let merged = tempfile::tempdir().unwrap();
        let mut n_made = 0;
        for number in 1..=n_shards {
            let folder = tempfile::tempdir().unwrap();
            n_made += run_spec(&spec, folder.path(), Shard::new(number, n_shards).unwrap()).1;
            for (name, bytes) in content(folder.path()) {
                let path = merged.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        assert!(n_made >= N_IMAGES, "every shard makes at least its first attempts");
        // Rules that look across places are left to the end; nothing that a shard has made is in vain.
        let (_, n_more, _) = run_spec(&spec, merged.path(), Shard::ALL);
        assert_same(merged.path(), &expected);
        assert_eq!(n_made + n_more, decided(merged.path()).unwrap().len() as u64);
    }
}

#[test]
fn shards_without_rules_across_places_leave_nothing_to_the_end() {
    let text = SPEC.replace("stop_below = 0.3\n", "");
    let text = text.split("[duplicates]").next().unwrap();
    let (spec, expected) = (spec(text), uninterrupted(text));
    let folder = tempfile::tempdir().unwrap();
    for number in (1..=7).rev() {
        let (summary, ..) = run_spec(&spec, folder.path(), Shard::new(number, 7).unwrap());
        assert_eq!(summary.is_complete(), number == 1);
    }
    assert_same(folder.path(), &expected);
}
