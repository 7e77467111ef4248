//! Safetensors headers that break the format's promises.

use std::time::{Duration, Instant};

use tronie_base::{Fault, Faulty as _};
use tronie_weights::{Dtype, SafetensorsError, SafetensorsFile, TensorFile as _};

/// A file of a header and `n_data` bytes.
fn file(header: &str, n_data: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; n_data]].concat()
}

/// A header of entries (name, type, shape, offsets).
fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!("{{{}}}", entry("w", dtype, shape, offsets))
}

fn two(first: &str, second: &str) -> String {
    format!("{{{},{}}}", entry("a", "U8", "[4]", first), entry("b", "U8", "[4]", second))
}

#[test]
fn corrupt_headers_are_refused_with_their_reason() {
    let size = |n: u64| [&n.to_le_bytes()[..], b"{}"].concat();
    let meta = |text: &str| format!("{{\"__metadata__\":{text}}}");
    let dup = format!("{{{0},{0}}}", entry("w", "U8", "[0]", "[0,0]"));
    let cases = [
        ("no bytes", Vec::new(), "has 0 bytes, a safetensors file has at least 10"),
        ("a length and nothing else", vec![0; 8], "has 8 bytes"),
        ("a header of no bytes", [0; 10].to_vec(), "begins with byte 0x00"),
        ("a header beyond the limit", size(100_000_001), "claims 100000001 bytes, at most 100000000"),
        ("the largest header", size(u64::MAX), "claims 18446744073709551615 bytes"),
        ("a header beyond the file", size(99), "107 bytes expected, 10 found"),
        ("no brace", file(" {}", 0), "begins with byte 0x20"),
        ("an array", file("[]", 0), "begins with byte 0x5b"),
        ("no JSON", file("{x}", 0), "malformed"),
        ("not UTF-8", [&3_u64.to_le_bytes()[..], b"{\"\xff"].concat(), "malformed"),
        ("text after the JSON", file("{}x", 0), "malformed"),
        ("two objects", file("{}{}", 0), "malformed"),
        ("an endless array", file(&format!("{{\"w\":{}", "[".repeat(100_000)), 0), "malformed"),
        ("no type", file(r#"{"w":{"shape":[1],"data_offsets":[0,1]}}"#, 1), "missing field `dtype`"),
        ("no shape", file(r#"{"w":{"dtype":"U8","data_offsets":[0,1]}}"#, 1), "missing field `shape`"),
        ("no offsets", file(r#"{"w":{"dtype":"U8","shape":[1]}}"#, 1), "missing field `data_offsets`"),
        (
            "a type twice",
            file(r#"{"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#, 1),
            "duplicate field `dtype`",
        ),
        ("one offset", file(&one("U8", "[1]", "[0]"), 1), "malformed"),
        ("three offsets", file(&one("U8", "[1]", "[0,1,2]"), 1), "malformed"),
        ("a negative offset", file(&one("U8", "[1]", "[-1,0]"), 1), "malformed"),
        ("a negative dimension", file(&one("U8", "[-1]", "[0,1]"), 1), "malformed"),
        ("a fractional dimension", file(&one("U8", "[1.5]", "[0,1]"), 1), "malformed"),
        ("a dimension beyond 64 bits", file(&one("U8", "[18446744073709551616]", "[0,1]"), 1), "malformed"),
        (
            "an unknown type",
            file(&one("F8_E4M3", "[1]", "[0,1]"), 1),
            "type F8_E4M3 are not supported, expected one of I64",
        ),
        ("a type in small letters", file(&one("f32", "[1]", "[0,4]"), 4), "type f32 are not supported"),
        (
            "a product beyond 64 bits",
            file(&one("U8", "[4294967296,4294967296]", "[0,1]"), 1),
            "the product of its 2 dimensions",
        ),
        (
            "a size beyond 64 bits",
            file(&one("F64", "[4611686018427387904]", "[0,1]"), 1),
            "the product of its 1 dimensions",
        ),
        ("too few bytes", file(&one("F32", "[2]", "[0,4]"), 4), "ask for 8 bytes, its offsets 0..4 hold 4"),
        (
            "too many bytes",
            file(&one("F32", "[2]", "[0,12]"), 12),
            "ask for 8 bytes, its offsets 0..12 hold 12",
        ),
        ("offsets backwards", file(&one("U8", "[1]", "[1,0]"), 1), "its offsets 1..0 run backwards"),
        ("a hole before the first", file(&one("U8", "[1]", "[1,2]"), 2), "starts at offset 1, expected 0"),
        (
            "a hole in between",
            file(&two("[0,4]", "[5,9]"), 9),
            "\"b\" of the file in memory: it starts at offset 5, expected 4",
        ),
        ("an overlap", file(&two("[0,4]", "[3,7]"), 7), "starts at offset 3, expected 4"),
        ("the same bytes twice", file(&two("[0,4]", "[0,4]"), 4), "starts at offset 0, expected 4"),
        (
            "the largest offsets",
            file(&one("U8", "[1]", "[18446744073709551614,18446744073709551615]"), 1),
            "starts at offset 18446744073709551614",
        ),
        ("bytes after the last tensor", file(&one("U8", "[1]", "[0,1]"), 2), "bytes after its last tensor"),
        ("bytes and no tensor", file("{}", 1), "bytes after its last tensor: 10 bytes expected, 11 found"),
        ("the last byte is missing", file(&one("U8", "[2]", "[0,2]"), 1), "bytes expected,"),
        ("a tensor twice", file(&dup, 0), "has the key \"w\" twice"),
        (
            "metadata twice",
            file("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
            "has the key \"__metadata__\" twice",
        ),
        ("a metadata key twice", file(&meta(r#"{"a":"1","a":"2"}"#), 0), "has the key \"a\" twice"),
        ("metadata of numbers", file(&meta(r#"{"a":1}"#), 0), "malformed"),
        ("metadata of maps", file(&meta(r#"{"a":{}}"#), 0), "malformed"),
        ("metadata that is no map", file(&meta("[]"), 0), "malformed"),
    ];
    for (what, bytes, expected) in cases {
        let error = SafetensorsFile::from_bytes(bytes).err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(error.to_string().contains(expected), "{what}: {error}");
        assert_eq!(error.fault(), Fault::Input, "{what}");
        assert!(error.hint().is_some(), "{what}");
    }
}

#[test]
fn unusual_and_valid_headers_are_read() {
    let cases = [
        ("no tensors", file("{}", 0)),
        ("a header padded with spaces", file("{}      ", 0)),
        ("an empty tensor", file(&one("F32", "[0,7]", "[0,0]"), 0)),
        ("a scalar", file(&one("F64", "[]", "[0,8]"), 8)),
        ("tensors out of order", file(&two("[4,8]", "[0,4]"), 8)),
        ("an empty name", file(&format!("{{{}}}", entry("", "BOOL", "[1]", "[0,1]")), 1)),
        ("keys out of order", file(r#"{"w":{"data_offsets":[0,2],"shape":[1],"dtype":"BF16"}}"#, 2)),
    ];
    for (what, bytes) in cases {
        // The reference implementation agrees.
        safetensors::SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        SafetensorsFile::from_bytes(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn all_number_types_are_read() {
    let rows = [
        ("F64", Dtype::F64),
        ("F32", Dtype::F32),
        ("F16", Dtype::F16),
        ("BF16", Dtype::BF16),
        ("I64", Dtype::I64),
        ("I32", Dtype::I32),
        ("I16", Dtype::I16),
        ("I8", Dtype::I8),
        ("U8", Dtype::U8),
        ("BOOL", Dtype::Bool),
    ];
    for (name, dtype) in rows {
        let n = dtype.size_bytes();
        let found = SafetensorsFile::from_bytes(file(&one(name, "[1]", &format!("[0,{n}]")), n)).unwrap();
        assert_eq!(found.meta("w").unwrap().dtype, dtype);
        assert_eq!(found.read("w").unwrap().unwrap().bytes, vec![0; n]);
    }
    for name in ["U16", "U32", "U64", "F8_E5M2", "C64", "F4", "I128"] {
        let error = SafetensorsFile::from_bytes(file(&one(name, "[1]", "[0,4]"), 4)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_hundred_thousand_tensors_open_in_two_seconds() {
    let rows =
        (0..100_000).map(|i| entry(&format!("layers.{i}.weight"), "U8", "[1]", &format!("[{i},{}]", i + 1)));
    let bytes = file(&format!("{{{}}}", rows.collect::<Vec<_>>().join(",")), 100_000);
    let begun = Instant::now();
    let found = SafetensorsFile::from_bytes(bytes).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(found.names().len(), 100_000);
}

#[test]
fn the_largest_header_opens_in_seconds() {
    let text = "x".repeat(100_000_000 - r#"{"__metadata__":{"a":""}}"#.len());
    let bytes = file(&format!(r#"{{"__metadata__":{{"a":"{text}"}}}}"#), 0);
    let begun = Instant::now();
    let found = SafetensorsFile::from_bytes(bytes).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(found.metadata()["a"].len(), text.len());
}

#[test]
fn a_long_foreign_name_is_shortened_and_escaped_in_messages() {
    let name = format!("\\u001b{}", "x".repeat(1000));
    let bytes = file(&format!("{{{}}}", entry(&name, "U7", "[1]", "[0,1]")), 1);
    let error = SafetensorsFile::from_bytes(bytes).unwrap_err();
    assert!(matches!(&error, SafetensorsError::Tensor { tensor, .. } if tensor.starts_with("\\u{1b}xxx")));
    assert!(error.to_string().len() < 400, "{error}");
}
