//! Writing safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use tronie_base::{Fault, Faulty as _};
use tronie_weights::{
    Dtype, RawTensor, SafetensorsFile, TensorFile as _, TensorMeta, WriteTensorsError, open,
    write_safetensors, write_safetensors_streaming,
};

use crate::benign::CHECKPOINTS;
use crate::{assert_same_tensors, testdata};

fn tensor(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> RawTensor {
    let shape = shape.to_vec();
    RawTensor { meta: TensorMeta { dtype, shape }, bytes }
}

fn tensors() -> Vec<(String, RawTensor)> {
    vec![
        ("byte".into(), tensor(Dtype::U8, &[3], vec![1, 2, 3])),
        ("half \"quoted\" \u{1f600}".into(), tensor(Dtype::F16, &[1, 2], vec![4, 5, 6, 7])),
        ("scalar".into(), tensor(Dtype::F64, &[], vec![8; 8])),
        ("empty".into(), tensor(Dtype::F32, &[0, 4], Vec::new())),
        ("single".into(), tensor(Dtype::F32, &[1], vec![9; 4])),
    ]
}

fn metadata() -> BTreeMap<String, String> {
    [("format", "pt"), ("modelspec.title", "a \"model\"\n")]
        .map(|(key, value)| (key.into(), value.into()))
        .into()
}

/// Names of what is in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_written_reads_the_same_here_and_in_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    write_safetensors(&path, &metadata(), tensors()).unwrap();
    let found = SafetensorsFile::open(&path).unwrap();
    assert_eq!(found.metadata(), &metadata());
    assert_eq!(found.names().len(), 5);
    let bytes = std::fs::read(&path).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, tensor) in tensors() {
        assert_eq!(found.read(&name).unwrap().as_ref(), Some(&tensor), "{name}");
        let view = reference.tensor(&name).unwrap();
        assert_eq!(
            (view.shape(), view.data()),
            (tensor.meta.shape.as_slice(), tensor.bytes.as_slice()),
            "{name}"
        );
    }
    assert_eq!(files(folder.path()), ["a.safetensors"]);
}

#[test]
fn the_bytes_are_those_of_the_reference_implementation() {
    // Its own order of tensors, and so of bytes, for types of all widths.
    let folder = tempfile::tempdir().unwrap();
    for name in CHECKPOINTS {
        let expected = std::fs::read(testdata(&format!("{name}.safetensors"))).unwrap();
        let source = SafetensorsFile::open(&testdata(&format!("{name}.safetensors"))).unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = source.names().into_iter().map(|name| {
            let tensor = source.read(&name).unwrap().unwrap();
            (name, tensor)
        });
        write_safetensors(&path, source.metadata(), tensors).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected, "{name}");
    }
}

#[test]
fn the_same_tensors_give_the_same_bytes_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let [forwards, backwards] = ["a", "b"].map(|name| folder.path().join(name));
    write_safetensors(&forwards, &metadata(), tensors()).unwrap();
    write_safetensors(&backwards, &metadata(), tensors().into_iter().rev()).unwrap();
    assert_eq!(std::fs::read(forwards).unwrap(), std::fs::read(backwards).unwrap());
}

#[test]
fn every_tensor_is_aligned_to_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    write_safetensors(&path, &metadata(), tensors()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (n_header, _) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(n_header % 8, 0);
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, view) in reference.iter() {
        let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(view.data().is_empty() || offset.is_multiple_of(view.dtype().bitsize() / 8), "{name}");
    }
}

#[test]
fn a_checkpoint_is_converted_one_tensor_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for name in CHECKPOINTS {
        let source = open(&testdata(&format!("{name}.pt"))).unwrap();
        let metas = source.names().into_iter().map(|name| {
            let meta = source.meta(&name).unwrap();
            (name, meta)
        });
        write_safetensors_streaming(&path, &BTreeMap::new(), metas.collect(), |name| source.read(name))
            .unwrap();
        let expected = open(&testdata(&format!("{name}.safetensors"))).unwrap();
        assert_same_tensors(&*open(&path).unwrap(), &*expected, name);
    }
}

#[test]
fn saving_over_an_open_file_keeps_the_open_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    write_safetensors(&path, &metadata(), tensors()).unwrap();
    let before = SafetensorsFile::open(&path).unwrap();
    let metas: Vec<_> =
        before.names().into_iter().map(|name| (name.clone(), before.meta(&name).unwrap())).collect();
    // Each tensor is read from the very file that is being replaced.
    write_safetensors_streaming(&path, before.metadata(), metas, |name| {
        let mut tensor = before.read(name)?;
        if let Some(tensor) = tensor.as_mut().filter(|_| name == "byte") {
            tensor.bytes = vec![7, 7, 7];
        }
        Ok(tensor)
    })
    .unwrap();
    let after = SafetensorsFile::open(&path).unwrap();
    assert_eq!(before.names(), after.names());
    for (name, tensor) in tensors() {
        assert_eq!(before.read(&name).unwrap().as_ref(), Some(&tensor), "{name} before");
        let expected = if name == "byte" { vec![7, 7, 7] } else { tensor.bytes };
        assert_eq!(after.read(&name).unwrap().unwrap().bytes, expected, "{name} after");
    }
}

#[test]
fn a_failed_save_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    write_safetensors(&path, &metadata(), tensors()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let meta = TensorMeta { dtype: Dtype::U8, shape: vec![2] };
    let metas = || vec![("x".to_owned(), meta.clone()), ("y".to_owned(), meta.clone())];
    let absent = write_safetensors_streaming(&path, &metadata(), metas(), |_| Ok(None));
    let short = write_safetensors_streaming(&path, &metadata(), metas(), |_| {
        let meta = meta.clone();
        Ok(Some(RawTensor { meta, bytes: vec![0] }))
    });
    let other = write_safetensors_streaming(&path, &metadata(), metas(), |_| {
        Ok(Some(tensor(Dtype::I8, &[2], vec![0; 2])))
    });
    let failing = write_safetensors_streaming(&path, &metadata(), metas(), |_| {
        Err(Box::new(SafetensorsFile::from_bytes(Vec::new()).unwrap_err()))
    });
    let cases = [
        (absent, "tensor \"x\" was announced and is not there", Fault::Bug),
        (short, "tensor \"x\" has 1 bytes", Fault::Bug),
        (other, "tensor \"x\" has 2 bytes", Fault::Bug),
        (failing, "tensor \"x\" cannot be read", Fault::Input),
    ];
    for (result, expected, fault) in cases {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.fault(), fault, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(files(folder.path()), ["a.safetensors"]);
    }
}

#[test]
fn tensors_that_the_format_cannot_hold_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let save = |metas: &[(&str, usize)]| {
        let meta = |n| TensorMeta { dtype: Dtype::F64, shape: vec![n] };
        let metas = metas.iter().map(|&(name, n)| (name.to_owned(), meta(n))).collect();
        write_safetensors_streaming(&path, &BTreeMap::new(), metas, |_| Ok(None)).unwrap_err()
    };
    assert!(
        matches!(save(&[("a", 1), ("b", 1), ("a", 2)]), WriteTensorsError::Duplicate { tensor } if tensor == "a")
    );
    assert!(matches!(save(&[("__metadata__", 1)]), WriteTensorsError::Reserved { .. }));
    assert!(matches!(save(&[("a", usize::MAX)]), WriteTensorsError::Overflow { .. }));
    let twice = [
        ("a".to_owned(), tensor(Dtype::U8, &[0], Vec::new())),
        ("a".to_owned(), tensor(Dtype::U8, &[0], Vec::new())),
    ];
    let error = write_safetensors(&path, &BTreeMap::new(), twice).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"a\" is given twice");
    let long = [("a".to_owned(), "x".repeat(100_000_000))].into();
    let error = write_safetensors(&path, &long, []).unwrap_err();
    assert!(matches!(error, WriteTensorsError::HeaderTooLarge { most: 100_000_000, .. }));
    assert!(files(folder.path()).is_empty());
}
