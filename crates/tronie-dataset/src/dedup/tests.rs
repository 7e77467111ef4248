use std::collections::BTreeMap;

use tronie_base::Silent;
use tronie_faces::geometry::Rect;
use tronie_faces::{Embedding, Face, Quality, Seen};
use tronie_image::{ImageFormat, Pixels, encode};

use super::*;
use crate::BoxedFaulty;

/// Sees a face whose sharpness is the blue of the first pixel, looking where its red and green point.
#[derive(Default)]
struct Eyes {
    n_looked: usize,
}

impl Measurer for Eyes {
    fn identity(&self) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([("eyes".to_owned(), None)])
    }

    fn batch_size(&self) -> usize {
        4
    }

    fn measure(&mut self, pictures: &[Pixels]) -> Result<Vec<Seen>, BoxedFaulty> {
        self.n_looked += pictures.len();
        let seen = |pixels: &Pixels| {
            let [red, green, blue] = [0, 1, 2].map(|index| f32::from(pixels.rgb()[index]));
            let mut face = Face::new(Rect { left: 0.0, top: 0.0, right: 8.0, bottom: 8.0 }, 1.0, None);
            face.embedding = Some(Embedding { network: "eyes".to_owned(), values: vec![red, green] });
            face.quality = Some(Quality {
                face_px: 8.0,
                sharpness: blue,
                brightness: 0.5,
                clipped: 0.0,
                noise: 0.0,
                blockiness: 1.0,
            });
            Seen { width_px: 16, height_px: 16, faces: vec![face] }
        };
        Ok(pictures.iter().map(seen).collect())
    }
}

/// A picture of its own that says `first`.
fn write(folder: &Path, name: &str, first: [u8; 3], seed: u64) {
    let rest = (0..16 * 16 * 3 - 3)
        .map(|index| tronie_base::derive_seed("pixels", seed * 1000 + index).to_le_bytes()[0]);
    let pixels = Pixels::new(16, 16, first.into_iter().chain(rest).collect()).unwrap();
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encode(&pixels, ImageFormat::Png, &[]).unwrap()).unwrap();
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn search(&self, folders: &[&str], earlier: &[&str], eyes: &mut Eyes) -> Findings {
        let paths = |names: &[&str]| names.iter().map(|name| self.path(name)).collect::<Vec<_>>();
        let annotators = tronie_faces::with_defaults(&[], &tronie_faces::NetworkFolders::default()).unwrap();
        let job = Search {
            folders: &paths(folders),
            earlier: &paths(earlier),
            different: &self.path("different.jsonl"),
            limits: Limits { hash_bits: Some(3), cosine: Some(0.999) },
            annotators: &annotators,
            taste: None,
        };
        search(&job, eyes, &mut Silent).unwrap()
    }

    fn repeats(&self, folders: &[&str], earlier: &[&str]) -> Vec<(String, String)> {
        let name = |path: &Path| path.strip_prefix(self.root.path()).unwrap().display().to_string();
        let found = self.search(folders, earlier, &mut Eyes::default());
        found.repeats.iter().map(|repeat| (name(&repeat.file), name(&repeat.of))).collect()
    }
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn the_sharpest_of_alike_pictures_is_kept_and_looking_happens_once() {
    let place = Place::new();
    write(&place.path("a"), "1.png", [10, 200, 5], 1);
    write(&place.path("a"), "2.png", [10, 200, 9], 2);
    write(&place.path("a"), "3.png", [200, 10, 1], 3);
    fs::write(place.path("a/broken.png"), b"no picture").unwrap();
    let mut eyes = Eyes::default();
    let found = place.search(&["a"], &[], &mut eyes);
    assert_eq!((found.n_pictures, found.broken, eyes.n_looked), (3, vec![place.path("a/broken.png")], 3));
    assert_eq!(place.repeats(&["a"], &[]), [pair("a/1.png", "a/2.png")]);
    write(&place.path("a"), "4.png", [201, 10, 7], 4);
    let found = place.search(&["a"], &[], &mut eyes);
    assert_eq!((found.repeats.len(), eyes.n_looked), (2, 4), "only the new picture is looked at");
}

#[test]
fn earlier_pictures_stay_however_bad_they_are() {
    let place = Place::new();
    write(&place.path("new"), "1.png", [10, 200, 90], 1);
    write(&place.path("old"), "1.png", [10, 200, 2], 2);
    write(&place.path("old"), "2.png", [10, 200, 3], 3);
    assert_eq!(place.repeats(&["new"], &["old"]), [pair("new/1.png", "old/2.png")]);
    assert_eq!(place.repeats(&["old"], &["new"]).len(), 2);
}

#[test]
fn what_a_person_calls_different_stays_different() {
    let place = Place::new();
    write(&place.path("a"), "1.png", [10, 200, 5], 1);
    write(&place.path("a"), "2.png", [10, 200, 9], 2);
    assert_eq!(place.repeats(&["a"], &[]).len(), 1);
    let files = ["a/2.png", "a/1.png"].map(|name| place.path(name));
    remember_different(&place.path("different.jsonl"), [&files[0], &files[1]]).unwrap();
    assert_eq!(place.repeats(&["a"], &[]), []);
    // Under other names too, and only this pair
    fs::rename(&files[0], place.path("a/0.png")).unwrap();
    write(&place.path("a"), "3.png", [10, 200, 1], 3);
    assert_eq!(place.repeats(&["a"], &[]), [pair("a/3.png", "a/0.png")]);
}

#[test]
fn leaks_between_splits_and_pictures_with_two_labels_are_found() {
    let place = Place::new();
    write(&place.path("train"), "authentic/26.png", [10, 200, 5], 1);
    write(&place.path("train"), "replica/67.png", [10, 200, 5], 1);
    write(&place.path("valid"), "authentic/67.png", [10, 200, 6], 9);
    write(&place.path("valid"), "authentic/68.png", [200, 10, 6], 4);
    let found = place.search(&["train", "valid"], &[], &mut Eyes::default());
    let files = |troubles: &[Trouble]| {
        let name = |path: &PathBuf| path.strip_prefix(place.root.path()).unwrap().display().to_string();
        troubles.iter().map(|trouble| trouble.files.each_ref().map(name)).collect::<Vec<_>>()
    };
    assert_eq!(files(&found.leaks), [["train/authentic/26.png", "valid/authentic/67.png"]]);
    assert_eq!(files(&found.conflicts), [["train/authentic/26.png", "train/replica/67.png"]]);
    assert_eq!(found.conflicts[0].labels, Some(["authentic".to_owned(), "replica".to_owned()]));
}

#[test]
fn repeats_are_moved_and_none_is_overwritten() {
    let place = Place::new();
    write(&place.path("a"), "x/1.png", [10, 200, 5], 1);
    write(&place.path("a"), "2.png", [10, 200, 9], 2);
    let found = place.search(&["a"], &[], &mut Eyes::default());
    set_aside(&[place.path("a")], &found.repeats, &place.path("aside")).unwrap();
    assert!(place.path("aside/1/x/1.png").exists() && !place.path("a/x/1.png").exists());
    write(&place.path("a"), "x/1.png", [10, 200, 5], 1);
    let error = set_aside(&[place.path("a")], &found.repeats, &place.path("aside")).unwrap_err();
    assert!(error.to_string().contains("1.png"), "{error}");
    assert!(place.path("a/x/1.png").exists());
}
