use serde_json::json;
use tronie_base::Silent;
use tronie_image::{ImageFormat, encode};

use super::*;
use crate::NetworkFolders;

/// A folder of six pictures of different widths in two folders, and two files that are none.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    let names = ["b.png", "a.png", "more/c.png", "more/d.PNG", "e.jpg", "f.webp"];
    for (side, name) in (1..).zip(names) {
        let pixels = Pixels::new(side, 1, [7, 7, 7].repeat(side as usize)).unwrap();
        fs::write(folder.path().join(name), encode(&pixels, ImageFormat::Png, &[]).unwrap()).unwrap();
    }
    fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(folder.path().join("text.txt"), b"no picture").unwrap();
    fs::write(folder.path().join(".hidden.png"), b"no picture").unwrap();
    folder
}

#[derive(Serialize)]
struct Width {
    width_px: u32,
}

fn run(folder: &Path, out: &Path, identity: &str, n_threads: usize) -> Result<SweepSummary, FacesError> {
    let analyzer = Analyzer::open(&[], &NetworkFolders::default()).unwrap();
    let job = Sweep { folder, out, identity: json!(identity), n_threads, force: false };
    let look = |_: &Worker, pixels: &Pixels, _: &str| Ok(Width { width_px: pixels.width_px() });
    sweep(&job, &analyzer, look, &mut Silent)
}

#[test]
fn every_picture_has_a_line_in_the_order_of_names_and_broken_ones_a_reason() {
    let folder = pictures();
    let out = folder.path().join("lines.jsonl");
    let summary = run(folder.path(), &out, "a", 3).unwrap();
    assert_eq!(summary, SweepSummary { n_pictures: 7, n_kept: 0, n_made: 7, n_broken: 1 });
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"file":"a.png","width_px":2}"#);
    assert!(lines[2].starts_with(r#"{"file":"broken.png","error":"broken PNG file"#), "{}", lines[2]);
    assert_eq!(lines[6], r#"{"file":"more/d.PNG","width_px":4}"#);
}

#[test]
fn a_run_cut_at_any_byte_ends_with_the_same_bytes() {
    let folder = pictures();
    let out = folder.path().join("lines.jsonl");
    run(folder.path(), &out, "a", 1).unwrap();
    let whole = fs::read(&out).unwrap();
    for length in 0..=whole.len() {
        fs::write(&out, &whole[..length]).unwrap();
        run(folder.path(), &out, "a", 2).unwrap();
        assert_eq!(fs::read(&out).unwrap(), whole, "cut at {length}");
    }
}

#[test]
fn lines_of_other_annotators_are_refused_and_kept() {
    let folder = pictures();
    let out = folder.path().join("lines.jsonl");
    run(folder.path(), &out, "a", 1).unwrap();
    let before = fs::read(&out).unwrap();
    let error = run(folder.path(), &out, "b", 1).unwrap_err();
    assert!(error.to_string().contains("lines.jsonl"), "{error}");
    assert_eq!(fs::read(&out).unwrap(), before);
}

#[test]
fn a_line_that_is_no_json_is_told_with_its_number() {
    let folder = pictures();
    let out = folder.path().join("lines.jsonl");
    run(folder.path(), &out, "a", 1).unwrap();
    let mut text = fs::read_to_string(&out).unwrap();
    text.insert_str(text.find('\n').unwrap() + 1, "garbage\n");
    fs::write(&out, text).unwrap();
    let error = run(folder.path(), &out, "a", 1).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_folder_without_pictures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(folder.path(), &folder.path().join("x.jsonl"), "a", 1).unwrap_err();
    assert!(error.to_string().contains("no pictures"), "{error}");
}
