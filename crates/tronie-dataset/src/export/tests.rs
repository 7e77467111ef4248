use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tronie_base::{Cancelled, Fault, Faulty as _, Progress, Silent, sha256_hex};
use tronie_image::{ImageFormat, Indexed, Pixels, TextEntry, encode};

use super::*;

const SIZE_PX: (u32, u32) = (24, 16);

/// Three pictures in two splits with metadata, a text in each file, and what was found in them.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let mut lines = BTreeMap::<&str, String>::new();
        for (index, (split, name)) in
            [("train", "a.png"), ("train", "b.jpg"), ("test", "a.webp")].into_iter().enumerate()
        {
            let bytes = picture(name, u8::try_from(index * 40).unwrap());
            let age = ["young", "old", "old"][index];
            let line = json!({
                "file_name": name, "text": format!("=face {index}"), "seed": index, "weight": 0.5 * index as f64,
                "attributes": { "age": age }, "sha256": sha256_hex(&bytes),
            });
            place.write(&format!("in/{split}/{name}"), &bytes);
            *lines.entry(split).or_default() += &format!("{line}\n");
        }
        for (split, lines) in lines {
            place.write(&format!("in/{split}/metadata.jsonl"), lines.as_bytes());
        }
        for name in ["train/a", "train/b", "test/a"] {
            let mut mask = Indexed::new(SIZE_PX.0, SIZE_PX.1).unwrap();
            mask.classes[30..40].fill(17);
            place.write(&format!("masks/{name}.png"), &mask.encode(None).unwrap());
        }
        place.write("faces.jsonl", annotations().as_bytes());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn export(&self, id: &str, out: &str, options: &ExportOptions) -> Result<Exported, ExportError> {
        let collection = Collection::open(&self.path("in"))?;
        let annotations = Annotations::open(&self.path("faces.jsonl"))?;
        export(&collection, (format(id)?, &self.path(out)), Some(&annotations), options, &mut Silent)
    }

    fn options(&self) -> ExportOptions {
        ExportOptions { masks: Some(self.path("masks")), ..ExportOptions::default() }
    }

    /// Everything in the temporary folder but what was there from the beginning.
    fn made(&self) -> Vec<String> {
        let there = ["in/", "masks/", "faces.jsonl"];
        let names = files(self.folder.path()).into_keys();
        names.filter(|name| !there.iter().any(|known| name.starts_with(known))).collect()
    }
}

fn picture(name: &str, base: u8) -> Vec<u8> {
    let rgb = (0..SIZE_PX.0 * SIZE_PX.1 * 3).map(|value| u8::try_from(value % 200).unwrap() ^ base).collect();
    let pixels = Pixels::new(SIZE_PX.0, SIZE_PX.1, rgb).unwrap();
    let mark = TextEntry { key: "parameters".to_owned(), value: format!("made {name}") };
    encode(&pixels, ImageFormat::from_path(Path::new(name)).unwrap(), &[mark]).unwrap()
}

fn annotations() -> String {
    let points: Vec<[f32; 2]> =
        (0_u8..68).map(|n| [f32::from(n % 20) + 1.5, f32::from(n / 5) + 1.5]).collect();
    let face = json!({
        "box": [2.0, 1.0, 30.0, 14.0], "score": 0.9, "points": points[..5], "landmarks_68": points,
        "regions": [{ "feature": "mouth", "score": 0.8, "box": [4.0, 4.0, 9.0, 9.0], "area_px": 25.0,
                      "outline": [[4.0, 4.0], [9.0, 4.0], [9.0, 9.0], [4.0, 9.0]] }],
        "embedding": { "network": "sface", "values": [0.6, 0.8] },
    });
    let line = |file: &str, faces: Value| {
        format!(
            "{}\n",
            json!({ "file": file, "width_px": SIZE_PX.0, "height_px": SIZE_PX.1, "faces": faces })
        )
    };
    [line("train/a.png", json!([face])), line("train/b.jpg", json!([])), line("test/a.webp", json!([face]))]
        .concat()
}

/// Name → content of every file below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_format_is_complete_hashed_and_the_same_to_the_byte_each_time() {
    let place = Place::new();
    for row in FORMATS {
        for out in ["first", "second"] {
            let exported = place.export(row.id, out, &place.options()).unwrap();
            let n_left_out = if row.id == "sfhq" { 1 } else { 0 };
            assert_eq!(exported.n_left_out, n_left_out, "{}", row.id);
            let n_pictures = if row.id == "card" { 0 } else { 3 - n_left_out };
            assert_eq!(exported.n_pictures, n_pictures, "{}", row.id);
        }
        let (first, second) = (files(&place.path("first")), files(&place.path("second")));
        assert!(first == second, "{}: two exports differ", row.id);
        let manifest = String::from_utf8(first["manifest.sha256"].clone()).unwrap();
        let expected = first.iter().filter(|(name, _)| *name != "manifest.sha256");
        let expected: String =
            expected.map(|(name, bytes)| format!("{}  {name}\n", sha256_hex(bytes))).collect();
        assert_eq!(manifest, expected, "{}", row.id);
        for out in ["first", "second"] {
            fs::remove_dir_all(place.path(out)).unwrap();
        }
        assert_eq!(place.made(), [""; 0], "{}: nothing hidden is left", row.id);
    }
}

#[test]
fn the_files_of_pictures_are_in_the_export_byte_for_byte() {
    let place = Place::new();
    for row in FORMATS.iter().filter(|row| row.id != "card") {
        place.export(row.id, "out", &place.options()).unwrap();
        let exported: Vec<Vec<u8>> = files(&place.path("out")).into_values().collect();
        let pictures = files(&place.path("in"));
        let pictures = pictures.iter().filter(|(name, _)| !name.ends_with(".jsonl"));
        // SFHQ's layout has no place for the picture without a face.
        for (name, bytes) in pictures.filter(|(name, _)| row.id != "sfhq" || !name.ends_with("b.jpg")) {
            let is_in = |file: &Vec<u8>| file.windows(bytes.len()).any(|part| part == bytes.as_slice());
            assert!(exported.iter().any(is_in), "{}: {name}", row.id);
        }
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn metadata_stay_with_their_pictures() {
    let place = Place::new();
    place.export("imagefolder", "out", &ExportOptions::default()).unwrap();
    let text = fs::read_to_string(place.path("out/train/metadata.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[1]["file_name"], &rows[1]["seed"]), (2, &json!("b.jpg"), &json!(1)));
    assert_eq!(rows[0]["faces"][0]["embedding"]["network"], json!("sface"));
    let card = fs::read_to_string(place.path("out/README.md")).unwrap();
    assert!(card.contains("| old | 2 | 66.7 % |"), "{card}");
    assert!(card.contains("  - split: test\n    path: \"test/**\"\n"), "{card}");

    place.export("csv", "table", &ExportOptions::default()).unwrap();
    let table = fs::read_to_string(place.path("table/metadata.csv")).unwrap();
    assert!(table.starts_with("file_name,text,seed,weight,attributes.age,sha256,faces\n"), "{table}");
    assert!(table.contains("train/b.jpg,'=face 1,1,0.5,old,"), "{table}");

    let options =
        ExportOptions { repeats: 7, words: Some("a/b woman".to_owned()), ..ExportOptions::default() };
    place.export("kohya", "kohya", &options).unwrap();
    let caption = fs::read_to_string(place.path("kohya/train/7_a-b woman/a.txt")).unwrap();
    assert_eq!(caption, "=face 0");
}

#[test]
fn shapes_are_where_they_were_found() {
    let place = Place::new();
    place.export("coco", "coco", &ExportOptions::default()).unwrap();
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap() };
    let five = read("coco/annotations/face_keypoints_5_train.json");
    assert_eq!(five["images"].as_array().unwrap().len(), 2);
    let face = &five["annotations"][0];
    // The box ends with the picture; a point at (1.5, 1.5) is in the middle of pixel 1.
    assert_eq!((&face["bbox"], &face["num_keypoints"]), (&json!([2.0, 1.0, 22.0, 13.0]), &json!(5)));
    assert_eq!(face["keypoints"].as_array().unwrap()[..3], [json!(1.0), json!(1.0), json!(2.0)]);
    let areas = read("coco/annotations/instances_test.json");
    let mouth = &areas["annotations"][0];
    assert_eq!((&mouth["category_id"], &mouth["area"]), (&json!(3), &json!(25.0)));
    assert_eq!(areas["categories"][2]["name"], json!("mouth"));

    place.export("yolo_seg", "yolo", &ExportOptions::default()).unwrap();
    let label = fs::read_to_string(place.path("yolo/labels/train/a.txt")).unwrap();
    assert!(label.starts_with("2 0.166667 0.250000 0.375000 0.250000 "), "{label}");
    assert_eq!(fs::read_to_string(place.path("yolo/labels/train/b.txt")).unwrap(), "");
    let yaml = fs::read_to_string(place.path("yolo/data.yaml")).unwrap();
    assert!(
        yaml.starts_with("train: images/train\nval: images/train # there is no such split\ntest:"),
        "{yaml}"
    );

    place.export("masks", "outlines", &ExportOptions::default()).unwrap();
    let mask = Indexed::decode(&fs::read(place.path("outlines/labels/train/a.png")).unwrap()).unwrap();
    assert_eq!(mask.classes.iter().filter(|class| **class == 3).count(), 25);
    place.export("masks", "masks_out", &place.options()).unwrap();
    let mask = Indexed::decode(&fs::read(place.path("masks_out/labels/test/a.png")).unwrap()).unwrap();
    assert_eq!(mask.classes.iter().filter(|class| **class == 17).count(), 10);
}

#[test]
fn what_is_there_is_replaced_only_on_demand_and_only_if_it_was_exported() {
    let place = Place::new();
    place.export("card", "out", &ExportOptions::default()).unwrap();
    let again = place.export("csv", "out", &ExportOptions::default()).unwrap_err();
    assert!(again.to_string().ends_with("out exists"), "{again}");
    let forced = ExportOptions { force: true, ..ExportOptions::default() };
    place.export("csv", "out", &forced).unwrap();
    assert!(!place.path("out/README.md").exists() && place.path("out/metadata.csv").exists());
    place.write("mine/diary.txt", b"dear");
    let error = place.export("csv", "mine", &forced).unwrap_err();
    assert!(error.to_string().ends_with("mine is no earlier export: it has no export.json"), "{error}");
    for out in ["in/out", "in", "."] {
        let error = place.export("csv", out, &forced).unwrap_err();
        assert!(matches!(error, ExportError::Inside { .. }), "{error}");
    }
    assert_eq!(fs::read(place.path("mine/diary.txt")).unwrap(), b"dear");
}

/// Stops after some pictures.
struct Stopping(u64);

impl Progress for Stopping {
    fn begin(&mut self, _: &str, _: u64) {}

    fn advance(&mut self, n: u64) {
        self.0 = self.0.saturating_sub(n);
    }

    fn show(&mut self, _: &str) {}

    fn note(&mut self, _: &str) {}

    fn check(&self) -> Result<(), Cancelled> {
        if self.0 == 0 { Err(Cancelled) } else { Ok(()) }
    }
}

#[test]
fn a_stopped_export_leaves_nothing_and_what_a_killed_one_left_is_cleared() {
    let place = Place::new();
    let collection = Collection::open(&place.path("in")).unwrap();
    let out = place.path("out");
    for row in FORMATS.iter().filter(|row| row.needs.is_none() && row.id != "card") {
        let stopped = export(&collection, (row, &out), None, &ExportOptions::default(), &mut Stopping(2));
        assert_eq!(stopped.unwrap_err().fault(), Fault::Interrupted);
        assert_eq!(place.made(), [""; 0], "{}", row.id);
    }
    // A process that was killed while it replaced an export, between the two renames.
    place.write(".tmp-out-export/old/export.json", b"{}");
    place.write(".tmp-out-export/new/half", b"");
    let error = place.export("csv", "out", &ExportOptions::default()).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    assert_eq!(fs::read(place.path("out/export.json")).unwrap(), b"{}");
    assert!(!place.path(".tmp-out-export").exists());
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_is_written() {
    let place = Place::new();
    let refusal = |result: Result<Exported, ExportError>| {
        let text = result.unwrap_err().to_string().replace(&place.path("in").display().to_string(), "IN");
        assert_eq!(place.made(), [""; 0], "{text}");
        text
    };
    let options = ExportOptions::default();
    assert!(
        refusal(place.export("zip", "out", &options))
            .starts_with("unknown format \"zip\", expected one of: imagefolder,")
    );
    let day = ExportOptions { published: Some("2026-13-01".to_owned()), ..ExportOptions::default() };
    assert_eq!(
        refusal(place.export("csv", "out", &day)),
        "published on \"2026-13-01\", expected year-month-day, such as 2026-01-29"
    );
    let collection = Collection::open(&place.path("in")).unwrap();
    let coco = (format("coco").unwrap(), place.path("out"));
    let none = export(&collection, (coco.0, &coco.1), None, &options, &mut Silent);
    assert_eq!(refusal(none), "format coco needs faces in `--annotations`, and there is none");

    place.write("in/train/b.jpg", &picture("b.jpg", 99));
    let changed = refusal(place.export("parquet", "out", &options));
    assert!(changed.starts_with("IN/train/b.jpg: sha256 "), "{changed}");
    place.write("in/train/a.png", b"\x89PNG\r\n\x1a\nhalf");
    place.write("in/train/metadata.jsonl", b"{\"file_name\": \"a.png\"}");
    let broken = refusal(place.export("webdataset", "out", &options));
    assert!(broken.starts_with("IN/train/a.png: broken PNG file: "), "{broken}");
    place.write("in/train/metadata.jsonl", b"{\"file_name\": \"new.png\"}");
    place.write("in/train/new.png", &picture("new.png", 1));
    assert_eq!(
        refusal(place.export("csv", "out", &options)),
        "the annotations have no line for \"train/new.png\""
    );
    place.write("in/train/metadata.jsonl", b"{\"file_name\": \"new.png\"}\n{\"file_name\": \"NEW.jpg\"}");
    place.write("in/train/NEW.jpg", &picture("NEW.jpg", 1));
    let collection = Collection::open(&place.path("in")).unwrap();
    let same = export(&collection, (format("csv").unwrap(), &place.path("out")), None, &options, &mut Silent);
    assert_eq!(refusal(same), "\"train/new.png\" and \"train/NEW.jpg\" would both be NEW.jpg in the export");
}
