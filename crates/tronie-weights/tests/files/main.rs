//! Checkpoint files from outside: what must be read, and what must be refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a failing test panics, and a table of cases is one test however long it is"
)]

mod archives;
mod assembler;
mod benign;
mod fuzz;
mod globals;
mod headers;
mod limits;
mod machine;
mod saving;
mod sharded;
mod storages;
mod truncation;

use std::path::PathBuf;

use tronie_weights::TensorFile;

/// A file below `testdata/weights`.
fn testdata(name: &str) -> PathBuf {
    tronie_testing::repository().join("testdata/weights").join(name)
}

/// Asserts that two files have the same tensors, bit for bit.
#[track_caller]
fn assert_same_tensors(found: &dyn TensorFile, expected: &dyn TensorFile, what: &str) {
    assert_eq!(found.names(), expected.names(), "{what}: names");
    for name in expected.names() {
        assert_eq!(found.meta(&name), expected.meta(&name), "{what}: type and shape of {name}");
        let found = found.read(&name).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        let expected = expected.read(&name).unwrap();
        assert_eq!(found, expected, "{what}: numbers of {name}");
    }
}
