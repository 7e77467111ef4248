//! Writing safetensors files.
//!
//! The file is there whole or not at all, so saving over a file that is still open for reading is safe: the open one
//! keeps its old bytes. Tensors are laid out as the reference implementation does it, widest numbers first and then
//! by name, which keeps every tensor aligned; the same tensors always give the same bytes.

use std::collections::{BTreeMap, btree_map};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;
use tronie_base::{AtomicFile, Fault, Faulty, WriteError};

use crate::safetensors_file::{MAX_HEADER_BYTES, dtype_name, layout_rank};
use crate::source::shown;
use crate::{RawTensor, TensorMeta, WeightsFault};

/// A safetensors file that could not be written; nothing is left under its name that was not there before.
#[derive(Debug, thiserror::Error)]
pub enum WriteTensorsError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] WriteError),
    /// Two tensors of one name.
    #[error("tensor \"{tensor}\" is given twice")]
    Duplicate {
        /// The name.
        tensor: String,
    },
    /// A name that means something else in the format.
    #[error("a tensor cannot be named \"{tensor}\", the format uses that name for metadata")]
    Reserved {
        /// The name.
        tensor: String,
    },
    /// A tensor larger than the machine can address.
    #[error("tensor \"{tensor}\" of shape {shape:?} does not fit the machine")]
    Overflow {
        /// The name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// More names and metadata than a header may hold.
    #[error("the header would have {found} bytes, at most {most} are allowed")]
    HeaderTooLarge {
        /// Its size in bytes.
        found: u64,
        /// Largest size allowed.
        most: u64,
    },
    /// A tensor's bytes are not what was announced.
    #[error(
        "tensor \"{tensor}\" has {found} bytes of {found_meta:?}, {expected} bytes of {expected_meta:?} expected"
    )]
    Mismatch {
        /// The name.
        tensor: String,
        /// Bytes announced.
        expected: usize,
        /// Bytes given.
        found: usize,
        /// Type and shape announced.
        expected_meta: TensorMeta,
        /// Type and shape given.
        found_meta: TensorMeta,
    },
    /// A tensor that was announced does not exist where it should come from.
    #[error("tensor \"{tensor}\" was announced and is not there")]
    Absent {
        /// The name.
        tensor: String,
    },
    /// A tensor could not be had from where it comes from.
    #[error("tensor \"{tensor}\" cannot be read: {cause}")]
    Read {
        /// The name.
        tensor: String,
        /// What its source said.
        cause: WeightsFault,
    },
}

impl Faulty for WriteTensorsError {
    fn fault(&self) -> Fault {
        match self {
            Self::File(error) => error.fault(),
            Self::Read { cause, .. } => cause.fault(),
            Self::Mismatch { .. } | Self::Absent { .. } => Fault::Bug,
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Read { cause, .. } => cause.hint(),
            _ => None,
        }
    }
}

/// Writes tensors that are in memory, with free text as the file's metadata.
///
/// # Errors
/// [`WriteTensorsError`]; what was under `path` before is then still there.
pub fn write_safetensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = (String, RawTensor)>,
) -> Result<(), WriteTensorsError> {
    let mut by_name = BTreeMap::new();
    for (name, tensor) in tensors {
        match by_name.entry(name) {
            btree_map::Entry::Vacant(slot) => slot.insert(tensor),
            btree_map::Entry::Occupied(slot) => {
                return Err(WriteTensorsError::Duplicate { tensor: shown(slot.key()) });
            }
        };
    }
    let metas = by_name.iter().map(|(name, tensor)| (name.clone(), tensor.meta.clone()));
    let metas = metas.collect();
    // Every name comes from the map itself, so each tensor is handed over once.
    write_safetensors_streaming(path, metadata, metas, |name| Ok(by_name.remove(name)))
}

/// Writes tensors one at a time: all types and shapes first, then `read` is called once for each name, in the order
/// of the file. Never more than one tensor is in memory.
///
/// # Errors
/// [`WriteTensorsError`], also where `read` fails, knows no such tensor, or gives other than announced; what was under
/// `path` before is then still there.
pub fn write_safetensors_streaming(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    metas: Vec<(String, TensorMeta)>,
    mut read: impl FnMut(&str) -> Result<Option<RawTensor>, WeightsFault>,
) -> Result<(), WriteTensorsError> {
    let rows = layout(metas)?;
    let header = header(metadata, &rows)?;
    let fail = |source: io::Error| WriteError { path: path.to_owned(), source };
    let mut file = BufWriter::new(AtomicFile::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(fail)?;
    file.write_all(&header).map_err(fail)?;
    for row in rows {
        let tensor =
            read(&row.name).map_err(|cause| WriteTensorsError::Read { tensor: shown(&row.name), cause })?;
        let given = tensor.ok_or_else(|| WriteTensorsError::Absent { tensor: shown(&row.name) })?;
        if given.meta != row.meta || given.bytes.len() != row.n_bytes {
            return Err(WriteTensorsError::Mismatch {
                tensor: shown(&row.name),
                expected: row.n_bytes,
                found: given.bytes.len(),
                expected_meta: row.meta,
                found_meta: given.meta,
            });
        }
        file.write_all(&given.bytes).map_err(fail)?;
    }
    let file = file.into_inner().map_err(|error| fail(error.into_error()))?;
    Ok(file.commit()?)
}

/// A tensor of the file to be, in the file's order.
pub(crate) struct Row {
    pub(crate) name: String,
    meta: TensorMeta,
    n_bytes: usize,
}

/// The order of the file, which depends on nothing but names and types.
pub(crate) fn layout(metas: Vec<(String, TensorMeta)>) -> Result<Vec<Row>, WriteTensorsError> {
    let mut rows = Vec::with_capacity(metas.len());
    for (name, meta) in metas {
        if name == "__metadata__" {
            return Err(WriteTensorsError::Reserved { tensor: name });
        }
        let Some(n_bytes) = meta.size_bytes() else {
            return Err(WriteTensorsError::Overflow { tensor: shown(&name), shape: meta.shape });
        };
        rows.push(Row { name, meta, n_bytes });
    }
    rows.sort_by(|a, b| {
        let ranks = layout_rank(a.meta.dtype).cmp(&layout_rank(b.meta.dtype));
        ranks.then_with(|| a.name.cmp(&b.name))
    });
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        None => Ok(rows),
        Some(pair) => {
            Err(WriteTensorsError::Duplicate { tensor: shown(pair.first().copied().unwrap_or_default()) })
        }
    }
}

/// The header, padded with spaces so that the tensors after it are aligned to eight bytes.
pub(crate) fn header(
    metadata: &BTreeMap<String, String>,
    rows: &[Row],
) -> Result<Vec<u8>, WriteTensorsError> {
    let mut map = serde_json::Map::new();
    if !metadata.is_empty() {
        map.insert("__metadata__".into(), json!(metadata));
    }
    let mut start: u64 = 0;
    for row in rows {
        let end = start.checked_add(row.n_bytes as u64);
        let end = end.ok_or_else(|| WriteTensorsError::Overflow {
            tensor: shown(&row.name),
            shape: row.meta.shape.clone(),
        })?;
        let dtype = dtype_name(row.meta.dtype);
        let entry = json!({"dtype": dtype, "shape": row.meta.shape, "data_offsets": [start, end]});
        map.insert(row.name.clone(), entry);
        start = end;
    }
    let mut header = serde_json::Value::Object(map).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let found = header.len() as u64;
    if found > MAX_HEADER_BYTES {
        return Err(WriteTensorsError::HeaderTooLarge { found, most: MAX_HEADER_BYTES });
    }
    Ok(header)
}
