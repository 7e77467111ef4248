//! The safetensors format: a JSON header that says where each tensor's bytes are, then the bytes.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. Every promise the format makes is checked when a file
//! is opened: the header's size, no key twice, no hole and no overlap between tensors, and a file that ends exactly
//! where the last tensor does. After that a read is one positioned read of a known range.

mod header;

use std::collections::BTreeMap;
use std::path::Path;

use tronie_base::{Fault, Faulty};

use crate::source::{Source, SourceError};
use crate::{RawTensor, TensorFile, TensorMeta, WeightsFault};

pub(crate) use header::{MAX_HEADER_BYTES, TextPairs, dtype_name, layout_rank};
pub use header::{SafetensorsError, TensorProblem};

/// An open safetensors file.
#[derive(Debug)]
pub struct SafetensorsFile {
    source: Source,
    tensors: BTreeMap<String, Placed>,
    metadata: BTreeMap<String, String>,
}

/// A tensor and where its bytes are in the file.
#[derive(Debug)]
struct Placed {
    meta: TensorMeta,
    start: u64,
    n_bytes: u64,
}

impl SafetensorsFile {
    /// Opens a file; its header is read and checked, its tensors are not read.
    ///
    /// # Errors
    /// [`SafetensorsError`]: the file cannot be read, is cut, or breaks a rule of the format.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        Self::from_source(Source::open(path)?)
    }

    /// A file that is already in memory: a `Vec<u8>`, an `Arc<[u8]>`, an embedded `&'static [u8]`. Nothing is copied.
    ///
    /// # Errors
    /// [`SafetensorsError`]: the bytes are cut or break a rule of the format.
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, SafetensorsError> {
        Self::from_source(Source::memory(bytes))
    }

    pub(crate) fn from_source(source: Source) -> Result<Self, SafetensorsError> {
        let header = header::read(&source)?;
        let tensors = header.tensors.into_iter().map(|(name, tensor)| {
            let placed = Placed {
                start: header.data_start + tensor.start,
                n_bytes: tensor.end - tensor.start,
                meta: tensor.meta,
            };
            (name, placed)
        });
        Ok(Self { tensors: tensors.collect(), metadata: header.metadata, source })
    }

    /// The header's `__metadata__`: free text under free keys (`modelspec.*`, `ss_*`, `format`).
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Everything behind the header, which tensors fill without a hole.
    pub(crate) fn data(&self) -> Result<Vec<u8>, SourceError> {
        let len = self.source.len();
        let start = self.tensors.values().map(|placed| placed.start).min().unwrap_or(len);
        self.source.read(start, len.saturating_sub(start))
    }
}

impl TensorFile for SafetensorsFile {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.tensors.get(name).map(|placed| placed.meta.clone())
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(placed) = self.tensors.get(name) else {
            return Ok(None);
        };
        let read = self.source.read(placed.start, placed.n_bytes);
        let bytes = read.map_err(|error| -> WeightsFault { Box::new(error) })?;
        let meta = placed.meta.clone();
        Ok(Some(RawTensor { meta, bytes }))
    }
}

impl Faulty for SafetensorsError {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Cut { .. } | Self::TooShort { .. } => {
                Some("the download did not finish; fetch the file again".into())
            }
            Self::Tensor { problem: TensorProblem::Dtype { .. }, .. } => {
                Some("quantised checkpoints are not supported; use the f16 or f32 file".into())
            }
            _ => Some("the file is damaged or was made by a faulty program; fetch it again".into()),
        }
    }
}

impl From<SourceError> for SafetensorsError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}
