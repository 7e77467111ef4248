//! A file that holds every tensor of a network, with the values that `reference/golden_weights.py` computes.

use std::collections::BTreeMap;

use half::f16;
use tronie_tensor::{Device, Module};
use tronie_testing::synthetic;
use tronie_weights::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};

/// `network` with the reference's weights, stored as `dtype` (F32 or F16).
pub(crate) fn filled<M: Module>(network: M, dtype: Dtype, device: &Device) -> M {
    let file = SyntheticFile::of(&network, dtype);
    crate::load(network, &file, device).unwrap()
}

pub(crate) struct SyntheticFile {
    shapes: BTreeMap<String, Vec<usize>>,
    dtype: Dtype,
}

impl SyntheticFile {
    pub(crate) fn of<M: Module>(network: &M, dtype: Dtype) -> Self {
        Self { shapes: crate::parameter_shapes(network), dtype }
    }
}

impl TensorFile for SyntheticFile {
    fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        let shape = self.shapes.get(name)?.clone();
        Some(TensorMeta { dtype: self.dtype, shape })
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(meta) = self.meta(name) else {
            return Ok(None);
        };
        let values = synthetic::weight(name, &meta.shape).into_iter();
        let bytes = match self.dtype {
            Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Dtype::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            other => panic!("no synthetic weights are stored as {other:?}"),
        };
        Ok(Some(RawTensor { meta, bytes }))
    }
}
