#![expect(clippy::cast_possible_truncation, reason = "test pictures are small")]

use std::fs;

use tronie_image::{TextEntry, encode};

use super::*;

fn picture(width: u32, height: u32) -> Vec<u8> {
    let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect();
    encode(&Pixels::new(width, height, rgb).unwrap(), ImageFormat::Png, &[] as &[TextEntry]).unwrap()
}

fn set(folder: &Path) -> ImageSet {
    let folder = folder.to_owned();
    ImageSet { folder, caption: None, own_captions: true, masks: None, role: Role::Subject, repeats: 1 }
}

#[test]
fn captions_come_from_beside_the_picture_from_metadata_or_from_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        put(name, &picture(8, 6));
    }
    put("a.txt", b"a man\n");
    fs::create_dir(folder.path().join("more")).unwrap();
    put("more/d.png", &picture(8, 6));
    put("more/e.png", &picture(8, 6));
    let line = b"{\"file_name\": \"b.png\", \"text\": \"a woman\", \"age\": 3}\n\n{\"file_name\": \"more/d.png\", \"caption\": \"a child\"}\n";
    put(METADATA, line);
    let sets = [ImageSet { caption: Some("a face".into()), ..set(folder.path()) }];
    let captions: Vec<String> =
        scan(&sets).unwrap().examples.into_iter().map(|example| example.caption).collect();
    assert_eq!(captions, ["a man", "a woman", "a face", "a child"]);
    let error = scan(&[set(folder.path())]).unwrap_err().to_string();
    assert!(error.contains("c.png") && error.contains("has no caption"), "{error}");
}

#[test]
fn kohya_folders_carry_repeats_and_caption() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("10_sks person");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("a.png"), picture(4, 4)).unwrap();
    let examples = scan(&[set(folder.path())]).unwrap().examples;
    assert_eq!((examples[0].repeats, examples[0].caption.as_str()), (10, "sks person"));
}

#[test]
fn an_unreadable_picture_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    let sets = [ImageSet { caption: Some("a face".into()), ..set(folder.path()) }];
    let error = scan(&sets).unwrap_err().to_string();
    assert!(error.contains("1 pictures, none readable"), "{error}");
    fs::write(folder.path().join("good.png"), picture(4, 4)).unwrap();
    let scan = scan(&sets).unwrap();
    assert_eq!((scan.examples.len(), scan.skipped.len()), (1, 1));
    assert!(scan.skipped[0].0.ends_with("broken.png"));
}

#[test]
fn every_picture_of_a_set_with_masks_has_one_of_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let masks = folder.path().join("masks");
    fs::create_dir(&masks).unwrap();
    fs::write(folder.path().join("a.png"), picture(8, 6)).unwrap();
    let set = ImageSet { caption: Some("a face".into()), masks: Some(masks.clone()), ..set(folder.path()) };
    let message = || scan(std::slice::from_ref(&set)).unwrap_err().to_string();
    assert!(message().contains("masks/a.png is missing, the mask of"), "{}", message());
    fs::write(masks.join("a.png"), picture(6, 8)).unwrap();
    assert!(message().contains("is 6x8, expected 8x6, the size of"), "{}", message());
    fs::write(masks.join("a.png"), picture(8, 6)).unwrap();
    assert_eq!(scan(&[set]).unwrap().examples[0].mask, Some(masks.join("a.png")));
}

#[test]
fn a_folder_without_pictures_and_a_caption_without_picture_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let message = |set: ImageSet| scan(&[set]).unwrap_err().to_string();
    assert!(message(set(folder.path())).contains("holds no picture"));
    assert!(message(set(Path::new("/nowhere/at/all"))).contains("cannot be read"));
    fs::write(folder.path().join(METADATA), b"{\"file_name\": \"gone.png\", \"text\": \"x\"}").unwrap();
    assert!(message(set(folder.path())).contains("gone.png, which is not there"));
    fs::write(folder.path().join(METADATA), b"{\"text\": 3}").unwrap();
    assert!(message(set(folder.path())).contains("line 1"));
}

#[test]
fn a_picture_is_covered_and_cut_to_its_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.png");
    fs::write(&path, picture(40, 20)).unwrap();
    let fitted = fitted(&path, [20, 20]).unwrap();
    assert_eq!((fitted.pixels.width_px(), fitted.pixels.height_px(), fitted.crop_px), (20, 20, [10, 0]));
    assert_eq!(fitted.pixels.rgb()[..3], [10, 0, 7], "the left edge is column 10 of the picture");
}
