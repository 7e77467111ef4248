//! Checkpoints in several files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tronie_base::{Fault, Faulty as _};
use tronie_weights::{Dtype, RawTensor, ShardedFile, TensorMeta, open, write_safetensors};

fn tensor(value: u8) -> RawTensor {
    let meta = TensorMeta { dtype: Dtype::U8, shape: vec![3] };
    RawTensor { meta, bytes: vec![value; 3] }
}

/// Two shards, `one` with tensors a and b, `two` with c, and an index of the given text.
fn write(folder: &Path, index: &str) -> PathBuf {
    let metadata = BTreeMap::new();
    let one = [("a".to_owned(), tensor(1)), ("b".to_owned(), tensor(2))];
    write_safetensors(&folder.join("one.safetensors"), &metadata, one).unwrap();
    write_safetensors(&folder.join("two.safetensors"), &metadata, [("c".to_owned(), tensor(3))]).unwrap();
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, index).unwrap();
    path
}

const GOOD: &str = r#"{
  "metadata": {"total_size": 9},
  "weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}
}"#;

#[test]
fn shards_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), GOOD);
    for file in [open(&path).unwrap(), Box::new(ShardedFile::open(&path).unwrap())] {
        assert_eq!(file.names(), ["a", "b", "c"]);
        assert_eq!(file.meta("b").unwrap().shape, [3]);
        assert_eq!(file.read("c").unwrap(), Some(tensor(3)));
        assert_eq!(file.read("absent").unwrap(), None);
    }
}

#[test]
fn broken_indexes_are_refused_with_their_reason() {
    let map = |shard: &str| GOOD.replace("two.safetensors", shard);
    let cases = [
        (map("absent.safetensors"), "shard \"absent.safetensors\"", Fault::Environment),
        (map("../two.safetensors"), "names the shard \"../two.safetensors\"", Fault::Input),
        (map("sub/two.safetensors"), "names the shard", Fault::Input),
        (map("/two.safetensors"), "names the shard", Fault::Input),
        (map("sub\\\\two.safetensors"), "names the shard", Fault::Input),
        (map("C:two.safetensors"), "names the shard", Fault::Input),
        (map("two.safetensors\\u0000"), "names the shard", Fault::Input),
        (map(".."), "names the shard", Fault::Input),
        (map(""), "names the shard", Fault::Input),
        (
            map("one.safetensors"),
            "says that \"c\" is in \"one.safetensors\", which does not have it",
            Fault::Input,
        ),
        (map("model.safetensors.index.json"), "shard \"model.safetensors.index.json\"", Fault::Input),
        (GOOD.replace("\"b\"", "\"a\""), "has the tensor \"a\" twice", Fault::Input),
        (GOOD.replace("weight_map", "weights"), "missing field `weight_map`", Fault::Input),
        (GOOD.replace("\"two.safetensors\"", "2"), "malformed", Fault::Input),
        ("{".into(), "malformed", Fault::Input),
        ("[".repeat(10_000), "malformed", Fault::Input),
    ];
    for (index, expected, fault) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = ShardedFile::open(&write(folder.path(), &index)).unwrap_err();
        assert!(error.to_string().contains(expected), "{index}: {error}");
        assert_eq!(error.fault(), fault, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_cut_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), GOOD);
    let shard = folder.path().join("two.safetensors");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[..bytes.len() - 1]).unwrap();
    let message = open(&path).err().unwrap().to_string();
    let sizes = format!("{} bytes expected, {} found", bytes.len(), bytes.len() - 1);
    assert!(message.contains("shard \"two.safetensors\"") && message.contains(&sizes), "{message}");
}
