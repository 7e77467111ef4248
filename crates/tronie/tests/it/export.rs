use std::fs;

use serde_json::Value;
use tronie_image::{ImageFormat, Pixels, encode};

use crate::support::{Place, contents};

/// Three kohya pictures with captions.
fn pictures(place: &Place) {
    for (index, name) in ["10_sks woman/a", "10_sks woman/b", "1_woman/c"].iter().enumerate() {
        let path = place.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let rgb = vec![u8::try_from(index * 50).unwrap(); 16 * 16 * 3];
        let png = encode(&Pixels::new(16, 16, rgb).unwrap(), ImageFormat::Png, &[]).unwrap();
        fs::write(path.with_extension("png"), png).unwrap();
        fs::write(path.with_extension("txt"), format!("a photo, {index}")).unwrap();
    }
}

#[test]
fn a_folder_of_kohya_becomes_an_imagefolder_and_the_other_way_round() {
    let place = Place::new();
    pictures(&place);
    let said = place.ok(&["dataset", "export", "in", "--format", "imagefolder", "-o", "folder", "--json"]);
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["path"], &last["n_pictures"]), (&Value::from("folder"), &Value::from(3)));
    place.ok(&["dataset", "export", "folder", "--format", "kohya", "--repeats", "5", "-o", "again"]);
    let names: Vec<String> = contents(&place.path("again")).into_iter().map(|file| file.0).collect();
    for name in ["train/5_sks woman/10_sks woman_a.png", "train/5_woman/1_woman_c.txt", "manifest.sha256"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    let (from, to) = ("in/1_woman/c.png", "again/train/5_woman/1_woman_c.png");
    assert_eq!(fs::read(place.path(from)).unwrap(), fs::read(place.path(to)).unwrap());
}

#[test]
fn an_export_is_not_written_over_and_a_full_disk_leaves_nothing() {
    let place = Place::new();
    pictures(&place);
    place.ok(&["dataset", "export", "in", "--format", "csv", "-o", "out"]);
    let before = contents(&place.path("out"));
    let again = place.run(&["dataset", "export", "in", "--format", "webdataset", "-o", "out"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("out exists") && again.stderr.contains("--force"), "{}", again.stderr);
    assert!(contents(&place.path("out")) == before);
    let nowhere = place.run(&["dataset", "export", "in", "--format", "csv", "-o", "in/1_woman/c.png/out"]);
    assert_eq!(nowhere.code, 2, "{}", nowhere.stderr);
    place.write("file", "");
    let blocked = place.run(&["dataset", "export", "in", "--format", "csv", "-o", "file/out"]);
    assert_eq!(blocked.code, 3, "{}", blocked.stderr);
    assert!(blocked.stderr.contains("cannot write"), "{}", blocked.stderr);
}
