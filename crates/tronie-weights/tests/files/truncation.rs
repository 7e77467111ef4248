//! Files that end too early, or are cut while they are open: an error, never a crash.

use tronie_base::{Fault, Faulty as _};
use tronie_weights::open;

use crate::benign::CHECKPOINTS;
use crate::{assert_same_tensors, testdata};

#[test]
fn every_real_file_cut_at_two_hundred_points_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut");
    for name in CHECKPOINTS {
        for extension in ["pt", "safetensors"] {
            let bytes = std::fs::read(testdata(&format!("{name}.{extension}"))).unwrap();
            let points = (0..200).map(|i| i * bytes.len() / 200).chain([bytes.len() - 1]);
            for n in points {
                std::fs::write(&path, &bytes[..n]).unwrap();
                let error = open(&path)
                    .err()
                    .unwrap_or_else(|| panic!("{name}.{extension} cut to {n} bytes was accepted"));
                assert_eq!(error.fault(), Fault::Input, "{name}.{extension} cut to {n}: {error}");
                assert!(error.hint().is_some(), "{name}.{extension} cut to {n}: {error}");
            }
        }
    }
}

#[test]
fn a_cut_safetensors_file_says_both_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let bytes = std::fs::read(testdata("dtypes_zip.safetensors")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let message = open(&path).err().unwrap().to_string();
    let sizes = format!("{} bytes expected, {} found", bytes.len(), bytes.len() - 3);
    assert!(message.contains(&sizes) && message.contains("a.safetensors"), "{message}");
}

#[test]
fn a_file_cut_while_it_is_open_is_an_error_of_the_tensors_that_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open");
    for name in CHECKPOINTS {
        for extension in ["pt", "safetensors"] {
            let source = testdata(&format!("{name}.{extension}"));
            std::fs::copy(&source, &path).unwrap();
            let file = open(&path).unwrap();
            assert_same_tensors(&*file, &*open(&source).unwrap(), name);
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
            for tensor in file.names() {
                let is_empty = file.meta(&tensor).unwrap().shape.contains(&0);
                match file.read(&tensor) {
                    Ok(_) => assert!(is_empty, "{name}.{extension}: {tensor}"),
                    Err(error) => {
                        assert!(
                            error.to_string().contains("is cut"),
                            "{name}.{extension}: {tensor}: {error}"
                        );
                        assert!(
                            error.to_string().contains("0 found"),
                            "{name}.{extension}: {tensor}: {error}"
                        );
                    }
                }
            }
            std::fs::remove_file(&path).unwrap();
        }
    }
}
