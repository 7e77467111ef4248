use std::collections::BTreeSet;
use std::path::Path;

use tronie_base::{Fault, Faulty as _};
use tronie_image::{ImageFormat, encode};
use tronie_testing::{Golden, repository, shared, synthetic};

use super::detector::DetectorContract;
use super::*;
use crate::geometry::Point;
use crate::{Analyzer, NetworkFolders, needed_for, with_defaults};

/// The pictures of the goldens: three generators, babies to old people, large and small faces, and one without a face.
const PICTURES: [&str; 20] = [
    "sd14/sd14_0000",
    "sd14/sd14_0001",
    "sd14/sd14_0005",
    "sd14/sd14_0012",
    "sd14/sd14_0017",
    "sd14/sd14_0123",
    "sd14/sd14_0150",
    "sd14/sd14_0301",
    "tiles/tile_0001",
    "tiles/tile_0100",
    "tiles/tile_0400",
    "tiles/tile_0700",
    "tiles/tile_1000",
    "tiles/tile_1500",
    "tiles/tile_2000",
    "tiles/tile_2501",
    "sdxl/*0",
    "sdxl/*50",
    "sdxl/*120",
    "sdxl/*200",
];

/// The file of a picture; `*n` is the n-th of its folder.
fn picture_path(shared: &Path, name: &str) -> std::path::PathBuf {
    let (folder, name) = name.split_once('/').unwrap();
    let folder = shared.join("data/faces").join(folder);
    let Some(index) = name.strip_prefix('*') else { return folder.join(format!("{name}.jpg")) };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "jpg")).collect();
    paths.sort();
    paths.swap_remove(index.parse().unwrap())
}

#[test]
#[ignore = "writes the pictures that reference/faces.py reads"]
fn pictures_of_the_goldens_are_decoded() {
    let shared = shared("pictures_of_the_goldens_are_decoded").expect("the pictures are there");
    let target = repository().join("target/golden-faces");
    std::fs::create_dir_all(&target).unwrap();
    for name in PICTURES {
        let path = picture_path(&shared, name);
        let png = encode(&tronie_image::open(&path).unwrap(), ImageFormat::Png, &[]).unwrap();
        std::fs::write(target.join(path.with_extension("png").file_name().unwrap()), png).unwrap();
    }
}

/// All values of one part of all faces, and the largest difference that is accepted.
fn values_of(faces: &[Face], part: &str) -> (Vec<f32>, f32) {
    let flat = |points: &[Point]| points.iter().flat_map(|point| [point.x, point.y]).collect::<Vec<f32>>();
    let of = |face: &Face| match part {
        "boxes" => <[f32; 4]>::from(face.rect).to_vec(),
        "scores" => vec![face.score],
        "points" => flat(&face.points.unwrap()),
        "landmarks_68" => flat(face.landmarks_68.as_ref().unwrap()),
        "mesh_468" => face.mesh_468.as_ref().unwrap().iter().step_by(9).flatten().copied().collect(),
        "embedding" => face.embedding.as_ref().unwrap().values.clone(),
        "age_gender" => face.age_gender.iter().flat_map(|found| [found.age_years, found.male]).collect(),
        "expression" => {
            let e = face.expression.unwrap();
            vec![e.neutral, e.happy, e.sad, e.angry, e.fearful, e.disgusted, e.surprised]
        }
        "head_pose" => {
            face.head_pose.iter().flat_map(|pose| [pose.yaw_deg, pose.pitch_deg, pose.roll_deg]).collect()
        }
        "quality" => {
            let q = face.quality.unwrap();
            vec![q.face_px, q.sharpness, q.brightness, q.clipped, q.noise, q.blockiness]
        }
        other => panic!("no part {other}"),
    };
    let tolerance = match part {
        "boxes" | "points" | "landmarks_68" | "mesh_468" | "head_pose" | "quality" => 1e-3,
        "age_gender" => 1e-3, // years, in f32 of about 40
        _ => 1e-4,
    };
    (faces.iter().flat_map(of).collect(), tolerance)
}

#[test]
fn faces_of_twenty_pictures_equal_those_of_onnxruntime() {
    let Some(shared) = shared("faces_of_twenty_pictures_equal_those_of_onnxruntime") else { return };
    let golden = Golden::open("faces/pictures");
    let folders = NetworkFolders::new(vec![shared.join("data/nets")]);
    let rows = with_defaults(&["facemesh468".to_owned()], &folders).unwrap();
    let worker = Analyzer::open(&rows, &folders).unwrap().worker();
    for name in PICTURES {
        let path = picture_path(&shared, name);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let faces = worker.faces(&tronie_image::open(&path).unwrap()).unwrap();
        for part in golden.names().iter().filter_map(|name| name.strip_prefix(&format!("{stem}."))) {
            let (found, tolerance) = values_of(&faces, part);
            let expected = golden.f32(&format!("{stem}.{part}"));
            assert_eq!(found.len(), expected.len(), "{stem} {part}");
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance, "{stem} {part}: {worst} off, at most {tolerance} is accepted");
        }
    }
}

#[test]
fn candidates_of_four_detectors_equal_the_reference() {
    let golden = Golden::open("faces/decoders");
    let cases: [(&str, DetectorContract); 4] = [
        ("scrfd", scrfd::CONTRACT),
        ("yunet", yunet::CONTRACT),
        ("retinaface", retinaface::CONTRACT),
        ("yolov8_face", yolov8_face::CONTRACT),
    ];
    for (name, contract) in cases {
        let outputs = contract.widths.iter().enumerate();
        let outputs: Vec<Vec<f32>> =
            outputs.map(|(index, &width)| synthetic::input(&format!("{name}.{index}"), &[width])).collect();
        let candidates = (contract.decode)(&outputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let every: Vec<_> = candidates.iter().step_by(97).collect();
        let boxes: Vec<f32> = every.iter().flat_map(|face| <[f32; 4]>::from(face.rect)).collect();
        let scores: Vec<f32> = every.iter().map(|face| face.score).collect();
        let points: Vec<f32> =
            every.iter().flat_map(|face| face.points.unwrap()).flat_map(<[f32; 2]>::from).collect();
        for (part, found) in [("boxes", boxes), ("scores", scores), ("points", points)] {
            tronie_testing::assert_close(&found, &golden.f32(&format!("{name}.{part}")), 1e-6);
        }
    }
}

#[test]
fn every_row_has_an_id_of_its_own_and_reads_what_a_row_before_it_makes() {
    let ids: BTreeSet<&str> = ANNOTATORS.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), ANNOTATORS.len());
    for (index, row) in ANNOTATORS.iter().enumerate() {
        for part in row.reads {
            let is_made = ANNOTATORS[..index].iter().any(|before| before.makes.contains(part));
            assert!(is_made, "{} reads {}", row.id, part.name());
        }
        let Some(network) = row.source.network() else { continue };
        let is_ours = matches!(row.source, Source::Embedded(..));
        let source = network.source_url;
        let is_there =
            if is_ours { repository().join(source).is_file() } else { source.starts_with("https://") };
        assert!(is_there && !network.licence.is_empty(), "{}", row.id);
        assert!(network.outputs.is_empty() || network.outputs.len() == network.n_outputs, "{}", row.id);
        for file in network.files {
            assert_eq!(file.sha256.is_some(), file.n_bytes.is_some(), "{}", file.name);
            assert!(file.sha256.is_none_or(|hash| hash.len() == 64), "{}", file.name);
        }
    }
}

#[test]
fn a_chosen_detector_takes_the_place_of_the_default_one() {
    let (_place, folders) = holding(&DEFAULT_FILES);
    let ids = |chosen: &[&str]| {
        let chosen: Vec<String> = chosen.iter().map(|&id| id.to_owned()).collect();
        with_defaults(&chosen, &folders).unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let default = ["rfb320", "landmarks68", "mobileface", "age_gender", "expression"];
    assert_eq!(ids(&[]), [&default[..], &["tronie_attributes", "head_pose", "quality"]].concat());
    let chosen = ids(&["scrfd", "facemesh468"]);
    assert_eq!(chosen[..3], ["scrfd", "landmarks68", "facemesh468"]);
    let needed = needed_for(Part::Embedding, &[], &folders).unwrap();
    assert_eq!(needed.iter().map(|row| row.id).collect::<Vec<_>>(), ["rfb320", "landmarks68", "mobileface"]);
    let needed = needed_for(Part::Points, &["scrfd".to_owned()], &folders).unwrap();
    assert_eq!(needed.iter().map(|row| row.id).collect::<Vec<_>>(), ["scrfd"]);
}

/// Files of the default networks that users bring.
const DEFAULT_FILES: [&str; 5] = [
    "rfb320_opset13.onnx",
    "faceapi_landmark68.onnx",
    "mobileface_v2.onnx",
    "faceapi_age_gender.onnx",
    "faceapi_expression.onnx",
];

/// A folder with empty files of these names: enough to choose by.
fn holding(names: &[&str]) -> (tempfile::TempDir, NetworkFolders) {
    let folder = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| std::fs::write(folder.path().join(name), []).unwrap());
    let folders = NetworkFolders::new(vec![folder.path().to_owned()]);
    (folder, folders)
}

#[test]
fn networks_inside_the_program_stand_in_for_absent_files_and_for_no_others() {
    let ids = |folders: &NetworkFolders, chosen: &[String]| {
        with_defaults(chosen, folders).unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let fresh = NetworkFolders::default();
    let own = ["tronie_detector", "tronie_landmarks68", "tronie_embedding", "tronie_attributes"];
    assert_eq!(ids(&fresh, &[]), [&own[..], &["head_pose", "quality"]].concat());
    let (_place, some) = holding(&["mobileface_v2.onnx", "faceapi_expression.onnx"]);
    let mixed = ["tronie_detector", "tronie_landmarks68", "mobileface", "expression", "tronie_attributes"];
    assert_eq!(ids(&some, &[]), [&mixed[..], &["head_pose", "quality"]].concat());
    // What was chosen and is absent is missed, not replaced.
    let chosen = ["rfb320".to_owned()];
    let error = Analyzer::open(&with_defaults(&chosen, &fresh).unwrap(), &fresh).unwrap_err();
    assert!(error.to_string().starts_with("no network for \"rfb320\""), "{error}");
}

#[test]
fn a_file_of_its_name_goes_before_a_network_inside_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let row = annotator("tronie_landmarks68").unwrap();
    let open =
        |folders: &NetworkFolders| Analyzer::open(&[annotator("tronie_detector").unwrap(), row], folders);
    let inside = open(&NetworkFolders::default()).unwrap().identity();
    assert_eq!(inside["tronie_landmarks68"].as_ref().unwrap().len(), 64);
    std::fs::write(folder.path().join("tronie-landmarks.onnx"), b"none").unwrap();
    let error = open(&NetworkFolders::new(vec![folder.path().to_owned()])).unwrap_err();
    assert!(error.to_string().contains("tronie-landmarks.onnx"), "{error}");
}

#[test]
fn an_unknown_annotator_is_told_all_ids() {
    let error = with_defaults(&["scrfdd".to_owned()], &NetworkFolders::default()).unwrap_err();
    assert!(
        error.to_string().contains("\"scrfdd\"") && error.to_string().contains("scrfd, yunet"),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Input);
}

#[test]
fn an_annotator_without_its_input_is_refused() {
    let rows = [annotator("rfb320").unwrap(), annotator("head_pose").unwrap()];
    let Some(shared) = shared("an_annotator_without_its_input_is_refused") else { return };
    let error = Analyzer::open(&rows, &NetworkFolders::new(vec![shared.join("data/nets")])).unwrap_err();
    assert_eq!(error.to_string(), "\"head_pose\" needs landmarks_68, which no chosen annotator makes");
}
