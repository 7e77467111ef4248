use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn open(files: &[(&str, &str)]) -> Collection {
    Collection::open(folder(files).path()).unwrap()
}

fn refusal(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let text = Collection::open(folder.path()).unwrap_err().to_string();
    text.replace(&folder.path().display().to_string(), "F")
}

fn named<'a>(collection: &'a Collection, name: &str) -> &'a Picture {
    collection.pictures.iter().find(|picture| picture.file_name == name).unwrap()
}

#[test]
fn an_imagefolder_is_read_in_the_order_of_its_lines() {
    let lines = "{\"file_name\": \"b.png\", \"text\": \"one\", \"n\": 3}\n\n{\"file_name\": \"sub/a.jpg\", \"split\": \"test\"}\n";
    let collection = open(&[("metadata.jsonl", lines), ("b.png", ""), ("sub/a.jpg", ""), ("stray.png", "")]);
    assert_eq!(collection.layout, Layout::ImageFolder);
    let names: Vec<&str> = collection.pictures.iter().map(|picture| picture.file_name.as_str()).collect();
    assert_eq!(names, ["b.png", "sub/a.jpg"]);
    assert_eq!(collection.pictures[0].caption.as_deref(), Some("one"));
    assert_eq!(serde_json::to_value(&collection.pictures[0].fields).unwrap(), json!({"text": "one", "n": 3}));
    assert_eq!(collection.splits(), [Split::Train, Split::Test]);
}

#[test]
fn metadata_in_folders_of_splits_are_read_as_tables_or_lines() {
    let collection = open(&[
        ("train/metadata.csv", "file_name,caption,age\na.png,\"a, b\",\n"),
        ("train/a.png", ""),
        ("val/metadata.jsonl", "{\"file_name\": \"a.png\"}"),
        ("val/a.png", ""),
    ]);
    let train = named(&collection, "train/a.png");
    assert_eq!((train.split, train.caption.as_deref()), (Split::Train, Some("a, b")));
    assert_eq!(train.fields["age"], json!(null));
    assert_eq!(named(&collection, "val/a.png").split, Split::Validation);
}

#[test]
fn kohya_folders_give_classes_and_captions() {
    let collection =
        open(&[("10_ohwx woman/a.png", ""), ("10_ohwx woman/a.txt", " a photo\n"), ("1_woman/b.webp", "")]);
    assert_eq!(collection.layout, Layout::Kohya);
    let first = named(&collection, "10_ohwx woman/a.png");
    assert_eq!((first.class.as_deref(), first.caption.as_deref()), (Some("ohwx woman"), Some("a photo")));
    assert_eq!(
        serde_json::to_value(&first.fields).unwrap(),
        json!({"text": "a photo", "class": "ohwx woman"})
    );
    assert_eq!(named(&collection, "1_woman/b.webp").caption, None);
}

#[test]
fn plain_folders_have_classes_below_their_splits() {
    let collection =
        open(&[("train/cats/a.png", ""), ("test/dogs/a.png", ""), ("images/c.jpeg", ""), ("d.png", "")]);
    assert_eq!(collection.layout, Layout::Plain);
    let found: Vec<(&str, Split, Option<&str>)> = collection
        .pictures
        .iter()
        .map(|picture| (picture.file_name.as_str(), picture.split, picture.class.as_deref()))
        .collect();
    let expected = [
        ("d.png", Split::Train, None),
        ("images/c.jpeg", Split::Train, None),
        ("test/dogs/a.png", Split::Test, Some("dogs")),
        ("train/cats/a.png", Split::Train, Some("cats")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn names_that_lead_elsewhere_or_nowhere_are_refused_with_their_line() {
    let line = |name: &str| json!({ "file_name": name }).to_string();
    for name in ["../a.png", "/etc/a.png", "", "sub/../a.png", "..\\a.png"] {
        let expected =
            format!("F/metadata.jsonl, line 1: file_name is \"{name}\", expected a file below the folder");
        assert_eq!(refusal(&[("metadata.jsonl", &line(name)), ("a.png", "")]), expected);
    }
    assert_eq!(
        refusal(&[("metadata.jsonl", &line("a.png"))]),
        "F/metadata.jsonl, line 1: \"a.png\" is not there"
    );
    let twice = format!("{0}\n{0}\n", line("a.png"));
    let expected = "F/metadata.jsonl, line 2: \"a.png\" has a line already";
    assert_eq!(refusal(&[("metadata.jsonl", &twice), ("a.png", "")]), expected);
    let broken = refusal(&[("metadata.jsonl", "{\"file_name\": \"a.png\"}\n{"), ("a.png", "")]);
    assert!(broken.starts_with("F/metadata.jsonl, line 2: EOF while parsing"), "{broken}");
    assert_eq!(refusal(&[("dataset.json", "{}")]), "F is a dataset that is not complete");
    assert!(refusal(&[("notes.txt", "")]).contains("F"));
}

#[test]
fn labels_are_found_at_the_top_and_below_attributes() {
    let line = json!({"file_name": "a.png", "cell": "x", "attributes": {"age": "old", "n": 3}, "list": [1]});
    let collection = open(&[("metadata.jsonl", &line.to_string()), ("a.png", "")]);
    let label = |name: &str| collection.pictures[0].label(name);
    assert_eq!(
        (label("cell"), label("age"), label("n")),
        (Some("x".into()), Some("old".into()), Some("3".into()))
    );
    assert_eq!((label("list"), label("none")), (None, None));
}
