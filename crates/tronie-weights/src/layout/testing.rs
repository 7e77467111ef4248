//! A file in memory, for the tests of this crate.

use std::collections::BTreeMap;

use crate::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};

/// Tensors by name.
pub(crate) struct Table(pub(crate) BTreeMap<String, RawTensor>);

impl Table {
    /// Tensors of which only the shapes matter: they have no bytes.
    pub(crate) fn without_numbers(
        dtype: Dtype,
        rows: impl IntoIterator<Item = (String, Vec<usize>)>,
    ) -> Self {
        let tensors = rows.into_iter().map(|(name, shape)| {
            let meta = TensorMeta { dtype, shape };
            let tensor = RawTensor { meta, bytes: Vec::new() };
            (name, tensor)
        });
        Self(tensors.collect())
    }
}

impl TensorFile for Table {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.0.get(name).map(|tensor| tensor.meta.clone())
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        Ok(self.0.get(name).cloned())
    }
}

/// A tensor that counts up from `start`, as far as its shape goes.
pub(crate) fn numbered(dtype: Dtype, shape: &[usize], start: usize) -> RawTensor {
    let n: usize = shape.iter().product();
    let numbers = (start..start + n).map(|value| value as f32);
    let meta = TensorMeta { dtype: Dtype::F32, shape: shape.to_vec() };
    let bytes = numbers.flat_map(f32::to_le_bytes).collect();
    RawTensor { meta, bytes }.to_dtype(dtype).unwrap()
}
