//! Checkpoints that PyTorch wrote: every tensor is bit-equal to what `torch.load` gives.

use std::sync::Arc;

use tronie_weights::{Dtype, PickleFile, SafetensorsFile, TensorFile, Value, open, scan};

use crate::{assert_same_tensors, testdata};

/// Written by `reference/pickles.py`, each with a safetensors file of what PyTorch reads from it.
pub(crate) const CHECKPOINTS: [&str; 14] = [
    "dtypes_zip",
    "dtypes_legacy",
    "views_zip",
    "views_legacy",
    "lightning_zip",
    "lightning_legacy",
    "ema_parameters",
    "nested",
    "protocol3_zip",
    "protocol3_legacy",
    "protocol4_zip",
    "protocol4_legacy",
    "textual_inversion",
    "bare_tensor",
];

#[test]
fn every_checkpoint_reads_as_in_pytorch() {
    for name in CHECKPOINTS {
        let found = PickleFile::open(&testdata(&format!("{name}.pt")));
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = SafetensorsFile::open(&testdata(&format!("{name}.safetensors"))).unwrap();
        assert!(!expected.names().is_empty(), "{name}");
        assert_same_tensors(&found, &expected, name);
    }
}

#[test]
fn every_checkpoint_opens_by_content_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    for name in CHECKPOINTS {
        for (from, to) in [("pt", "safetensors"), ("safetensors", "ckpt"), ("pt", "txt")] {
            let source = testdata(&format!("{name}.{from}"));
            let renamed = folder.path().join(format!("{name}.{to}"));
            std::fs::copy(source, &renamed).unwrap();
            let found = open(&renamed).unwrap_or_else(|error| panic!("{name}.{from} as {to}: {error}"));
            let expected = open(&testdata(&format!("{name}.safetensors"))).unwrap();
            assert_same_tensors(&*found, &*expected, name);
        }
    }
}

#[test]
fn every_checkpoint_scans_as_safe() {
    for name in CHECKPOINTS {
        let report = scan(&testdata(&format!("{name}.pt"))).unwrap();
        assert!(report.safe, "{name}: {report:?}");
        assert!(report.globals.iter().any(|global| global == "torch._utils._rebuild_tensor_v2"), "{name}");
        let report = scan(&testdata(&format!("{name}.safetensors"))).unwrap();
        assert!(report.safe && report.globals.is_empty(), "{name}: {report:?}");
    }
}

#[test]
fn what_is_not_a_weight_is_kept_as_data() {
    for name in ["lightning_zip.pt", "lightning_legacy.pt"] {
        let file = PickleFile::open(&testdata(name)).unwrap();
        let value = file.value();
        let get = |key: &str| value.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        assert_eq!(get("global_step").as_int(), Some(470_000));
        assert_eq!(get("pytorch-lightning_version").as_text(), Some("1.4.2"));
        assert_eq!(get("numpy_scalar"), &Value::Float(0.125));
        assert_eq!(get("numpy_half"), &Value::Float(-2.5));
        assert_eq!(get("numpy_int"), &Value::Int(-7));
        assert_eq!(get("numpy_unsigned"), &Value::BigInt([vec![0xff; 8], vec![0]].concat()));
        assert_eq!(get("numpy_bool"), &Value::Bool(true));
        assert_eq!(get("seed"), &Value::BigInt([vec![0xff; 8], vec![0]].concat()));
        assert_eq!(get("shift"), &Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 0xc0]));
        assert_eq!(get("tags"), &Value::Set(vec![Value::Text("a".into())]));
        assert_eq!(get("raw"), &Value::Bytes(vec![0, 0xff]));
        assert_eq!(
            get("callbacks").get("checkpoint").and_then(|entry| entry.get("current")),
            Some(&Value::None)
        );
        let schedulers = get("lr_schedulers").as_list().unwrap();
        assert_eq!(schedulers[0].get("base_lrs"), Some(&Value::List(vec![Value::Float(1e-4)])));
        let states = get("random_state").as_list().unwrap();
        assert_eq!(states[0].as_text(), Some("MT19937"));
    }
}

#[test]
fn numpy_arrays_are_little_endian_whatever_they_were() {
    let file = PickleFile::open(&testdata("lightning_zip.pt")).unwrap();
    let array = |key: &str| match file.value().get(key) {
        Some(Value::Array { dtype, shape, column_major, bytes }) => {
            (dtype.clone(), shape.clone(), *column_major, bytes.clone())
        }
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(array("numpy_big_endian"), ("i2".into(), vec![3], false, vec![1, 0, 2, 0, 3, 0]));
    let floats: Vec<u8> = (0..6_u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    assert_eq!(array("numpy_array"), ("f4".into(), vec![2, 3], false, floats));
    let columns: Vec<u8> = [0, 3, 1, 4, 2, 5_i64].into_iter().flat_map(i64::to_le_bytes).collect();
    assert_eq!(array("numpy_columns"), ("i8".into(), vec![2, 3], true, columns));
}

#[test]
fn tensors_outside_the_weights_can_be_read_too() {
    let file = PickleFile::open(&testdata("lightning_zip.pt")).unwrap();
    assert!(file.names().iter().all(|name| !name.contains("optimizer")));
    let checkpoint = file.value().get("callbacks").and_then(|callbacks| callbacks.get("checkpoint"));
    let view = checkpoint.and_then(|entry| entry.get("best_model_score")).and_then(Value::as_tensor).unwrap();
    let tensor = file.read_view(view).unwrap();
    assert_eq!(tensor.meta, *view.meta());
    assert_eq!(tensor.bytes, 0.25_f32.to_le_bytes());
}

#[test]
fn a_textual_inversion_file_keeps_its_words() {
    let file = PickleFile::open(&testdata("textual_inversion.pt")).unwrap();
    assert_eq!(file.names(), ["string_to_param.*"]);
    assert_eq!(file.value().get("name").and_then(Value::as_text), Some("face"));
    let tokens = file.value().get("string_to_token").unwrap();
    assert_eq!(tokens.get("*").and_then(Value::as_int), Some(265));
}

#[test]
fn bytes_in_memory_open_without_a_copy_of_their_own() {
    let bytes = std::fs::read(testdata("dtypes_zip.safetensors")).unwrap();
    let expected = SafetensorsFile::open(&testdata("dtypes_zip.safetensors")).unwrap();
    let shared: Arc<[u8]> = bytes.clone().into();
    let leaked: &'static [u8] = bytes.clone().leak();
    for (what, file) in [
        ("vector", SafetensorsFile::from_bytes(bytes)),
        ("shared", SafetensorsFile::from_bytes(shared)),
        ("embedded", SafetensorsFile::from_bytes(leaked)),
    ] {
        assert_same_tensors(&file.unwrap(), &expected, what);
    }
}

#[test]
fn a_name_that_is_not_there_is_none() {
    for name in ["dtypes_zip.pt", "dtypes_zip.safetensors"] {
        let file = open(&testdata(name)).unwrap();
        assert!(file.meta("absent").is_none());
        assert!(file.read("absent").unwrap().is_none());
        assert_eq!(file.meta("bool").unwrap().dtype, Dtype::Bool);
    }
}

#[test]
fn the_mini_model_reads_as_the_reference_reads_it() {
    let Some(shared) = tronie_testing::shared("the_mini_model_reads_as_the_reference_reads_it") else {
        return;
    };
    let path = shared.join("models/tronie-mini-seed/vae/diffusion_pytorch_model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let found = open(&path).unwrap();
    assert_eq!(found.names().len(), expected.len());
    for (name, view) in expected.iter() {
        let tensor = found.read(name).unwrap().unwrap();
        assert_eq!(
            (tensor.meta.shape.as_slice(), tensor.bytes.as_slice()),
            (view.shape(), view.data()),
            "{name}"
        );
    }
}
