//! The small model of the shared data, as a source of named tensors.

use std::path::Path;

use safetensors::SafeTensors;
use tronie_weights::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};

/// One file of f16 tensors whose names begin with `prefix` once they are looked up.
pub(crate) struct MiniFile {
    bytes: Vec<u8>,
    prefix: &'static str,
}

impl MiniFile {
    /// `part` is "vae/diffusion_pytorch_model.safetensors"; `None` where the shared data is absent.
    pub(crate) fn open(test: &str, part: &str, prefix: &'static str) -> Option<Self> {
        let bytes = std::fs::read(folder(test)?.join(part)).unwrap();
        Some(Self { bytes, prefix })
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }
}

/// The text of one of its configuration files.
pub(crate) fn config(test: &str, part: &str) -> Option<String> {
    Some(std::fs::read_to_string(folder(test)?.join(part)).unwrap())
}

fn folder(test: &str) -> Option<std::path::PathBuf> {
    let folder = tronie_testing::shared(test)?.join(Path::new("models/tronie-mini-seed"));
    folder.is_dir().then_some(folder)
}

impl TensorFile for MiniFile {
    fn names(&self) -> Vec<String> {
        let names = self.tensors();
        let mut names: Vec<String> =
            names.names().iter().map(|name| format!("{}{name}", self.prefix)).collect();
        names.sort();
        names
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        let tensors = self.tensors();
        let view = tensors.tensor(name.strip_prefix(self.prefix)?).ok()?;
        assert_eq!(view.dtype(), safetensors::Dtype::F16);
        Some(TensorMeta { dtype: Dtype::F16, shape: view.shape().to_vec() })
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(meta) = self.meta(name) else {
            return Ok(None);
        };
        let tensors = self.tensors();
        let view = tensors.tensor(name.strip_prefix(self.prefix).unwrap()).unwrap();
        Ok(Some(RawTensor { meta, bytes: view.data().to_vec() }))
    }
}
