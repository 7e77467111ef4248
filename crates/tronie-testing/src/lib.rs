//! Goldens, tolerances and the optional shared data, for tests only.
//!
//! Everything here panics on failure: that is how a test fails.
#![allow(clippy::panic, clippy::expect_used, clippy::print_stderr, reason = "test support")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

pub mod synthetic;

/// A file of reference values: `testdata/<area>/<name>.safetensors`.
#[derive(Debug)]
pub struct Golden {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    /// Opens `testdata/<name>.safetensors`; `name` is "area/file".
    #[must_use]
    pub fn open(name: &str) -> Self {
        let path = repository().join("testdata").join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let tensors = file.tensors().into_iter();
        let tensors =
            tensors.map(|(name, view)| (name, (view.shape().to_vec(), numbers(view.dtype(), view.data()))));
        Self { tensors: tensors.collect() }
    }

    /// All tensor names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    /// Shape of one tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.row(name).0
    }

    /// Values of one tensor.
    #[must_use]
    pub fn f64(&self, name: &str) -> &[f64] {
        &self.row(name).1
    }

    /// Values of one tensor as f32.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "goldens are f32 or narrower wherever a test asks for f32"
    )]
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.row(name).1.iter().map(|&value| value as f32).collect()
    }

    fn row(&self, name: &str) -> &(Vec<usize>, Vec<f64>) {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("no \"{name}\" in the golden, only {:?}", self.names()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "integers in goldens are token ids, timesteps and seeds")]
fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn chunks<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(N).map(|chunk| value(chunk.try_into().expect("chunks are exact"))).collect()
    }
    match dtype {
        Dtype::F64 => chunks(bytes, f64::from_le_bytes),
        Dtype::F32 => chunks(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F16 => chunks(bytes, |b| half::f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => chunks(bytes, |b| half::bf16::from_le_bytes(b).to_f64()),
        Dtype::I64 => chunks(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => chunks(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U8 | Dtype::BOOL => bytes.iter().map(|&b| f64::from(b)).collect(),
        other => panic!("goldens do not use {other:?}"),
    }
}

/// Largest absolute difference over the largest absolute expected value.
#[must_use]
pub fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of values");
    let scale = expected.iter().fold(0.0_f64, |max, &value| max.max(f64::from(value.abs())));
    let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (&a, &b)| {
        let difference = (f64::from(a) - f64::from(b)).abs();
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    });
    worst / scale.max(f64::MIN_POSITIVE)
}

/// Fails when [`relative_error`] exceeds `tolerance`.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f64) {
    let error = relative_error(found, expected);
    assert!(error <= tolerance, "relative error {error:.3e}, at most {tolerance:.1e} is accepted");
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("crates/<name> lies two levels down").to_owned()
}

/// `../shared` beside the repository, which some machines have; `None` prints that `test` is skipped.
#[must_use]
pub fn shared(test: &str) -> Option<PathBuf> {
    let path = repository().join("../shared");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped {test}: no shared data beside the repository");
    None
}
