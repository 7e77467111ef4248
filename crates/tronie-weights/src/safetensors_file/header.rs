//! The header of a safetensors file, read and checked.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::source::{Source, SourceError, shown};
use crate::{Dtype, TensorMeta};

/// Most bytes a header may have; the format's own limit.
pub(crate) const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Bytes of the number before the header that says how long it is.
const LENGTH_BYTES: u64 = 8;

/// A file that is not a valid safetensors file.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// It could not be read.
    #[error(transparent)]
    Source(SourceError),
    /// It is too short to be one.
    #[error("{file} has {found} bytes, a safetensors file has at least {expected}")]
    TooShort {
        /// Which file.
        file: String,
        /// Least size in bytes.
        expected: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The header claims to be larger than the format allows.
    #[error("the header of {file} claims {found} bytes, at most {most} are allowed")]
    HeaderTooLarge {
        /// Which file.
        file: String,
        /// Claimed size in bytes.
        found: u64,
        /// Largest size allowed.
        most: u64,
    },
    /// The file ends before its header or its last tensor does.
    #[error("{file} is cut: {expected} bytes expected, {found} found")]
    Cut {
        /// Which file.
        file: String,
        /// Size in bytes that the header implies.
        expected: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The file goes on after its last tensor.
    #[error("{file} has bytes after its last tensor: {expected} bytes expected, {found} found")]
    Longer {
        /// Which file.
        file: String,
        /// Size in bytes that the header implies.
        expected: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The header does not begin with a brace.
    #[error("the header of {file} begins with byte {found:#04x}, expected '{{'")]
    HeaderStart {
        /// Which file.
        file: String,
        /// The byte in its place.
        found: u8,
    },
    /// The header is not JSON of the right form.
    #[error("the header of {file} is malformed: {source}")]
    Header {
        /// Which file.
        file: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A key is there more than once.
    #[error("the header of {file} has the key \"{key}\" twice")]
    Duplicate {
        /// Which file.
        file: String,
        /// The key.
        key: String,
    },
    /// The entry of one tensor breaks a rule.
    #[error("tensor \"{tensor}\" of {file}: {problem}")]
    Tensor {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
        /// Which rule.
        problem: TensorProblem,
    },
}

/// What is wrong with a tensor's entry in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorProblem {
    /// Numbers of a kind that no supported network uses.
    #[error("numbers of type {found} are not supported, expected one of {}", DTYPE_NAMES.join(" "))]
    Dtype {
        /// The type as the file spells it.
        found: String,
    },
    /// The dimensions' product does not fit the machine.
    #[error("the product of its {n_dims} dimensions does not fit the machine")]
    Overflow {
        /// How many dimensions there are.
        n_dims: usize,
    },
    /// Its range of bytes is not the size its type and shape ask for.
    #[error("type and shape ask for {expected} bytes, its offsets {start}..{end} hold {found}")]
    Size {
        /// Bytes by type and shape.
        expected: u64,
        /// Bytes by its offsets.
        found: u64,
        /// First offset.
        start: u64,
        /// Offset after its last byte.
        end: u64,
    },
    /// Its range of bytes ends before it starts.
    #[error("its offsets {start}..{end} run backwards")]
    Backwards {
        /// First offset.
        start: u64,
        /// Offset after its last byte.
        end: u64,
    },
    /// Bytes before it belong to no tensor, or to two.
    #[error("it starts at offset {found}, expected {expected}: tensors overlap or leave a hole")]
    Offset {
        /// Where the tensor before it ends.
        expected: u64,
        /// Where it starts.
        found: u64,
    },
}

/// The format's spellings of the supported types, in the order in which the reference implementation lays tensors
/// out: widest first (the order of `Dtype` in safetensors 0.8, backwards).
const DTYPE_NAMES: [&str; 10] = ["I64", "F64", "F32", "I32", "BF16", "F16", "I16", "I8", "U8", "BOOL"];

const DTYPES: [Dtype; 10] = [
    Dtype::I64,
    Dtype::F64,
    Dtype::F32,
    Dtype::I32,
    Dtype::BF16,
    Dtype::F16,
    Dtype::I16,
    Dtype::I8,
    Dtype::U8,
    Dtype::Bool,
];

/// The format's spelling of a type.
pub(crate) fn dtype_name(dtype: Dtype) -> &'static str {
    DTYPE_NAMES.get(layout_rank(dtype)).copied().unwrap_or_default()
}

/// Where tensors of a type come in a file that is written like the reference implementation's.
pub(crate) fn layout_rank(dtype: Dtype) -> usize {
    DTYPES.iter().take_while(|&&row| row != dtype).count()
}

/// A header that keeps all of the format's promises.
pub(super) struct Header {
    /// Offset in the file at which the tensors' own offsets start.
    pub(super) data_start: u64,
    pub(super) tensors: BTreeMap<String, Entry>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// One tensor, its range relative to [`Header::data_start`].
pub(super) struct Entry {
    pub(super) meta: TensorMeta,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Reads and checks the header of a file.
pub(super) fn read(source: &Source) -> Result<Header, SafetensorsError> {
    let file = || source.name().to_owned();
    let found = source.len();
    // The shortest header is "{}".
    let least = LENGTH_BYTES + 2;
    if found < least {
        return Err(SafetensorsError::TooShort { file: file(), expected: least, found });
    }
    let mut length = [0; 8];
    source.read_into(0, &mut length)?;
    let n_header = u64::from_le_bytes(length);
    if n_header > MAX_HEADER_BYTES {
        return Err(SafetensorsError::HeaderTooLarge {
            file: file(),
            found: n_header,
            most: MAX_HEADER_BYTES,
        });
    }
    let data_start = LENGTH_BYTES + n_header;
    if data_start > found {
        return Err(SafetensorsError::Cut { file: file(), expected: data_start, found });
    }
    let json = source.read(LENGTH_BYTES, n_header)?;
    match json.first() {
        Some(b'{') => {}
        other => {
            return Err(SafetensorsError::HeaderStart {
                file: file(),
                found: other.copied().unwrap_or_default(),
            });
        }
    }
    let rows: Rows =
        serde_json::from_slice(&json).map_err(|source| SafetensorsError::Header { file: file(), source })?;
    let header = check(rows, data_start, source.name())?;
    let expected =
        data_start.saturating_add(header.tensors.values().map(|entry| entry.end).max().unwrap_or(0));
    match expected.cmp(&found) {
        std::cmp::Ordering::Equal => Ok(header),
        std::cmp::Ordering::Greater => Err(SafetensorsError::Cut { file: file(), expected, found }),
        std::cmp::Ordering::Less => Err(SafetensorsError::Longer { file: file(), expected, found }),
    }
}

/// All promises except the one about the file's size.
fn check(rows: Rows, data_start: u64, file: &str) -> Result<Header, SafetensorsError> {
    let duplicate = |key: &str| SafetensorsError::Duplicate { file: file.to_owned(), key: shown(key) };
    let mut header = Header { data_start, tensors: BTreeMap::new(), metadata: BTreeMap::new() };
    if rows.metadata.len() > 1 {
        return Err(duplicate(METADATA_KEY));
    }
    for (key, value) in rows.metadata.into_iter().flat_map(|pairs| pairs.0) {
        match header.metadata.entry(key) {
            btree_map::Entry::Vacant(slot) => slot.insert(value),
            btree_map::Entry::Occupied(slot) => return Err(duplicate(slot.key())),
        };
    }
    for (name, row) in rows.tensors {
        let entry = entry(&row).map_err(|problem| SafetensorsError::Tensor {
            file: file.to_owned(),
            tensor: shown(&name),
            problem,
        })?;
        match header.tensors.entry(name) {
            btree_map::Entry::Vacant(slot) => slot.insert(entry),
            btree_map::Entry::Occupied(slot) => return Err(duplicate(slot.key())),
        };
    }
    let mut in_file_order: Vec<_> = header.tensors.iter().collect();
    in_file_order.sort_by_key(|(_, entry)| (entry.start, entry.end));
    let mut expected = 0;
    for (name, entry) in in_file_order {
        if entry.start != expected {
            return Err(SafetensorsError::Tensor {
                file: file.to_owned(),
                tensor: shown(name),
                problem: TensorProblem::Offset { expected, found: entry.start },
            });
        }
        expected = entry.end;
    }
    Ok(header)
}

fn entry(row: &Row) -> Result<Entry, TensorProblem> {
    let mut dtypes = DTYPES.into_iter().zip(DTYPE_NAMES);
    let dtype = dtypes.find(|(_, name)| *name == row.dtype);
    let (dtype, _) = dtype.ok_or_else(|| TensorProblem::Dtype { found: shown(&row.dtype) })?;
    let overflow = || TensorProblem::Overflow { n_dims: row.shape.len() };
    let shape: Result<Vec<usize>, _> = row.shape.iter().map(|&dim| usize::try_from(dim)).collect();
    let meta = TensorMeta { dtype, shape: shape.map_err(|_| overflow())? };
    let expected = meta.size_bytes().ok_or_else(overflow)? as u64;
    let [start, end] = row.data_offsets;
    let found = end.checked_sub(start).ok_or(TensorProblem::Backwards { start, end })?;
    if found != expected {
        return Err(TensorProblem::Size { expected, found, start, end });
    }
    Ok(Entry { meta, start, end })
}

const METADATA_KEY: &str = "__metadata__";

/// The header as it is written, with every key that is there twice still there twice.
struct Rows {
    tensors: Vec<(String, Row)>,
    metadata: Vec<TextPairs>,
}

#[derive(Deserialize)]
struct Row {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// A JSON map of text to text as it is written, with every key that is there twice still there twice.
pub(crate) struct TextPairs(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor;

        impl<'de> Visitor<'de> for RowsVisitor {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
                let mut rows = Rows { tensors: Vec::new(), metadata: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA_KEY {
                        rows.metadata.push(map.next_value()?);
                    } else {
                        rows.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(rows)
            }
        }
        deserializer.deserialize_map(RowsVisitor)
    }
}

impl<'de> Deserialize<'de> for TextPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = TextPairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of text to text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextPairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(TextPairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
