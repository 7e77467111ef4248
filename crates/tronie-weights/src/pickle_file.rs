//! PyTorch checkpoints (`.ckpt`, `.pt`, `.pth`, `.bin`) as tensor files.

use std::collections::{BTreeMap, btree_map};
use std::path::Path;

use tronie_base::{Fault, Faulty};

use crate::pickle::{
    Archive, ArchiveError, Foreign, Interpreted, Legacy, Mentioned, PickleError, PickleProblem, ReadError,
    StoredRange, TensorView, Value,
};
use crate::source::{Source, SourceError, shown};
use crate::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};

/// An open PyTorch checkpoint of either format. Its pickle is read as data; nothing in it is ever run.
///
/// The tensors are those of the innermost state dictionary ([`PickleFile::value`] has everything else), under their
/// names joined with dots; members of lists are named by their index. A file that is one bare tensor names it
/// `tensor`.
#[derive(Debug)]
pub struct PickleFile {
    source: Source,
    stored: Vec<StoredRange>,
    tensors: BTreeMap<String, TensorView>,
    value: Value,
}

/// A PyTorch checkpoint that was refused or could not be read. Nothing in it was run.
#[derive(Debug, thiserror::Error)]
pub enum PickleFileError {
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its zip container breaks a rule.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its pickle breaks a rule.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A pickle that PyTorch did not write.
    #[error("{file} is a pickle without PyTorch's magic number")]
    Magic {
        /// Which file.
        file: String,
    },
    /// Another version of the old format.
    #[error("version {found:?} of the old PyTorch format is not supported, expected {expected}")]
    Version {
        /// The version that is read.
        expected: i64,
        /// The version that is there, if it is a number.
        found: Option<i64>,
    },
    /// Numbers in an order that no supported machine has.
    #[error("byte order \"{found}\" is not supported, expected \"little\"")]
    ByteOrder {
        /// What the file says.
        found: String,
    },
    /// The old format's list of storages is not a list of names.
    #[error("the list of storages is not a list of names")]
    StorageKeys,
    /// A storage without bytes.
    #[error("storage \"{storage}\" is mentioned and not in the file")]
    StorageMissing {
        /// Its name.
        storage: String,
    },
    /// Bytes that belong to no storage, or to one that has its own already.
    #[error("storage \"{storage}\" is in the file and not mentioned, or there twice")]
    StorageUnknown {
        /// Its name.
        storage: String,
    },
    /// A storage with more or fewer bytes than the pickle says.
    #[error("storage \"{storage}\" has {found_bytes} bytes, expected {expected} elements of {dtype:?}")]
    StorageSize {
        /// Its name.
        storage: String,
        /// Its numbers' type.
        dtype: Dtype,
        /// Elements by the pickle.
        expected: u64,
        /// Bytes in the file.
        found_bytes: u64,
    },
    /// The file goes on after its last storage.
    #[error("{file} has bytes after its last storage: {expected} bytes expected, {found} found")]
    Longer {
        /// Which file.
        file: String,
        /// Size in bytes that its content implies.
        expected: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// Two tensors whose joined names are the same.
    #[error("two tensors are named \"{tensor}\"")]
    DuplicateTensor {
        /// The joined name.
        tensor: String,
    },
}

impl Faulty for PickleFileError {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error)
            | Self::Archive(ArchiveError::Source(error))
            | Self::Pickle(PickleError::Source(error)) => error.fault(),
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error)
            | Self::Archive(ArchiveError::Source(error))
            | Self::Pickle(PickleError::Source(error)) => error.hint(),
            Self::Archive(ArchiveError::NoDirectory { .. } | ArchiveError::Checksum { .. })
            | Self::Pickle(PickleError::Refused {
                problem: PickleProblem::End { .. },
                ..
            }) => Some("the download did not finish, or the file was changed; fetch it again".into()),
            Self::Pickle(PickleError::Refused {
                problem: PickleProblem::Global { .. },
                ..
            }) => Some(
                "PyTorch could run foreign code from this file; use a safetensors version of it, and see what \
                 it mentions with tronie models inspect"
                    .into(),
            ),
            _ => Some("use a safetensors version of this checkpoint".into()),
        }
    }
}

impl From<ReadError> for PickleFileError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(error) => Self::Source(error),
            ReadError::Archive(error) => Self::Archive(error),
        }
    }
}

impl PickleFile {
    /// Opens a checkpoint; the pickle is read and checked, the tensors are not read.
    ///
    /// # Errors
    /// [`PickleFileError`]: the file cannot be read, is damaged, or has in it what no checkpoint needs; the global,
    /// instruction or rule is named.
    pub fn open(path: &Path) -> Result<Self, PickleFileError> {
        Self::from_source(Source::open(path)?)
    }

    pub(crate) fn from_source(source: Source) -> Result<Self, PickleFileError> {
        let (interpreted, stored) = read(&source, &mut Mentioned::new(Foreign::Refuse))?;
        let mut tensors = BTreeMap::new();
        collect(state_dict(&interpreted.value), &mut String::new(), &mut tensors)?;
        Ok(Self { source, stored, tensors, value: interpreted.value })
    }

    /// Everything the checkpoint says, also what is not a weight: epochs, optimizer state, the parts of a textual
    /// inversion file.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The numbers of a tensor found in this file's [`PickleFile::value`].
    ///
    /// # Errors
    /// [`PickleFileError`]: the file was cut or changed, its bytes fail their checksum, or reading failed.
    pub fn read_view(&self, view: &TensorView) -> Result<RawTensor, PickleFileError> {
        let stored = self.stored.get(view.storage());
        let stored =
            stored.ok_or_else(|| PickleFileError::StorageMissing { storage: view.storage().to_string() })?;
        Ok(view.read(&self.source, stored)?)
    }
}

impl TensorFile for PickleFile {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.tensors.get(name).map(|view| view.meta().clone())
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(view) = self.tensors.get(name) else {
            return Ok(None);
        };
        let tensor = self.read_view(view);
        tensor.map(Some).map_err(|error| -> WeightsFault { Box::new(error) })
    }
}

/// Reads the pickle of either format and finds its storages.
pub(crate) fn read(
    source: &Source,
    mentioned: &mut Mentioned,
) -> Result<(Interpreted, Vec<StoredRange>), PickleFileError> {
    let start = source.read(0, source.len().min(2))?;
    if start == b"PK" {
        let archive = Archive::open(source)?;
        let interpreted = archive.interpret(source, mentioned)?;
        let stored = archive.locate(&interpreted.storages)?;
        return Ok((interpreted, stored));
    }
    let legacy = Legacy::read(source, mentioned)?;
    Ok((legacy.interpreted, legacy.stored))
}

/// Keys under which training programs keep the weights, the better ones first: PyTorch Lightning, BasicSR (averaged
/// weights before raw ones), and the habit of many scripts.
const WRAPPERS: [&str; 5] = ["state_dict", "model_state_dict", "params_ema", "params", "model"];

/// The innermost dictionary of weights. A dictionary with tensors of its own is one itself.
fn state_dict(value: &Value) -> &Value {
    let has_own =
        value.as_dict().is_some_and(|pairs| pairs.iter().any(|(_, value)| value.as_tensor().is_some()));
    let mut inner = WRAPPERS.into_iter().filter_map(|key| value.get(key));
    let inner = inner.find(|inner| inner.as_dict().is_some() && inner.has_tensor());
    match inner {
        Some(inner) if !has_own => state_dict(inner),
        _ => value,
    }
}

/// Adds every tensor below `value`; `path` is its name so far.
fn collect(
    value: &Value,
    path: &mut String,
    tensors: &mut BTreeMap<String, TensorView>,
) -> Result<(), PickleFileError> {
    let length = path.len();
    let mut descend = |name: &str, value: &Value| {
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
        let result = collect(value, path, tensors);
        path.truncate(length);
        result
    };
    match value {
        Value::Tensor(view) => {
            let name = if path.is_empty() { "tensor" } else { path.as_str() };
            match tensors.entry(name.to_owned()) {
                btree_map::Entry::Vacant(slot) => slot.insert(view.clone()),
                btree_map::Entry::Occupied(slot) => {
                    return Err(PickleFileError::DuplicateTensor { tensor: shown(slot.key()) });
                }
            };
            Ok(())
        }
        Value::Dict(pairs) => pairs.iter().try_for_each(|(key, value)| match key {
            Value::Text(name) => descend(name, value),
            Value::Int(number) => descend(&number.to_string(), value),
            _ => Ok(()),
        }),
        Value::List(values) | Value::Tuple(values) => {
            let mut values = values.iter().enumerate();
            values.try_for_each(|(index, value)| descend(&index.to_string(), value))
        }
        _ => Ok(()),
    }
}
