use tronie_base::{Fault, Faulty as _};
use tronie_testing::shared;

use super::*;
use crate::annotators::annotator;

fn row() -> NetworkRow {
    *annotator("expression").unwrap().source.network().unwrap()
}

#[test]
fn a_missing_network_is_told_with_file_folders_source_and_option() {
    let folder = tempfile::tempdir().unwrap();
    let folders = NetworkFolders::new(vec![folder.path().to_owned()]);
    let error = folders.open("expression", &row()).unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
    let (message, hint) = (error.to_string(), error.hint().unwrap());
    for says in ["\"expression\"", "faceapi_expression.onnx", &folder.path().display().to_string()] {
        assert!(message.contains(says), "{says}: {message}");
    }
    for says in ["--models-dir", "https://github.com/vladmandic/face-api"] {
        assert!(hint.contains(says), "{says}: {hint}");
    }
}

#[test]
fn a_network_lies_in_a_folder_or_its_annotators_folder() {
    let Some(shared) = shared("a_network_lies_in_a_folder_or_its_annotators_folder") else { return };
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("annotators");
    std::fs::create_dir(&inside).unwrap();
    let name = "faceapi_expression.onnx";
    std::fs::copy(shared.join("data/nets").join(name), inside.join(name)).unwrap();
    let network = NetworkFolders::new(vec![folder.path().to_owned()]).open("expression", &row()).unwrap();
    assert_eq!(network.path(), inside.join(name));
}

#[test]
fn other_content_under_a_known_name_is_refused() {
    let Some(shared) = shared("other_content_under_a_known_name_is_refused") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(shared.join("data/nets/faceapi_expression.onnx")).unwrap();
    // One bit of a weight.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.path().join("faceapi_expression.onnx"), bytes).unwrap();
    let error = NetworkFolders::new(vec![folder.path().to_owned()]).open("expression", &row()).unwrap_err();
    assert!(error.to_string().contains("expected bc878d49c7c8a31a"), "{error}");
}

#[test]
fn values_follow_order_range_and_layout() {
    let contract = InputContract {
        height_px: 1,
        width_px: 2,
        order: ChannelOrder::Bgr,
        mean: [10.0, 20.0, 30.0],
        scale: [1.0, 0.5, 0.1],
    };
    // Two pixels, red green blue.
    let found = contract.normalize(&[30.0, 40.0, 50.0, 130.0, 120.0, 110.0]);
    assert_eq!(found, [40.0, 100.0, 10.0, 50.0, 0.0, 10.0]);
}
