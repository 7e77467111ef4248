//! A checkpoint cut into several safetensors files, with an index that says which tensor is where.
//!
//! The index is `*.safetensors.index.json` as transformers and diffusers write it: `{"metadata": {...},
//! "weight_map": {"tensor": "file"}}`, the files in the index's own folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tronie_base::{Fault, Faulty};

use crate::safetensors_file::{MAX_HEADER_BYTES, SafetensorsError, SafetensorsFile, TextPairs};
use crate::source::{Source, SourceError, shown};
use crate::{RawTensor, TensorFile, TensorMeta, WeightsFault};

/// Several safetensors files that are one checkpoint.
#[derive(Debug)]
pub struct ShardedFile {
    shards: Vec<SafetensorsFile>,
    /// Which shard has the tensor.
    shard_of: BTreeMap<String, usize>,
}

/// A sharded checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShardedError {
    /// The index could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The index is too large to be one.
    #[error("the index {} has {found} bytes, at most {most} are allowed", path.display())]
    IndexTooLarge {
        /// The index.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// Largest size allowed.
        most: u64,
    },
    /// The index is not JSON of the right form.
    #[error("the index {} is malformed: {source}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A tensor is in the index more than once.
    #[error("the index {} has the tensor \"{tensor}\" twice", path.display())]
    Duplicate {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A shard's name is not that of a file beside the index.
    #[error("the index {} names the shard \"{shard}\", expected a file name without folders", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// What it names.
        shard: String,
    },
    /// A shard is not there, or not a valid file.
    #[error("shard \"{shard}\" of {}: {source}", path.display())]
    Shard {
        /// The index.
        path: PathBuf,
        /// Which shard.
        shard: String,
        /// What is wrong with it.
        source: Box<SafetensorsError>,
    },
    /// A shard lacks a tensor that the index says it has.
    #[error("the index {} says that \"{tensor}\" is in \"{shard}\", which does not have it", path.display())]
    Tensor {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: String,
    },
}

impl Faulty for ShardedError {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::Shard { source, .. } => source.fault(),
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Shard { source, .. } if source.fault() == Fault::Environment => {
                Some("a sharded checkpoint needs all of its files; fetch the missing ones".into())
            }
            Self::Shard { source, .. } => source.hint(),
            Self::ShardName { .. } => Some("do not use this file: it points outside its own folder".into()),
            _ => Some("the index and its files do not belong together; fetch them again".into()),
        }
    }
}

impl ShardedFile {
    /// Opens the index and the header of every shard it names.
    ///
    /// # Errors
    /// [`ShardedError`]: the index is malformed or names a file elsewhere; a shard is missing, broken, or lacks a tensor.
    pub fn open(index_path: &Path) -> Result<Self, ShardedError> {
        let weight_map = read_index(index_path)?;
        let path = || index_path.to_owned();
        let names: BTreeSet<&String> = weight_map.values().collect();
        let mut shards = Vec::new();
        let mut index_of = BTreeMap::new();
        for name in names {
            if !is_plain_file_name(name) {
                return Err(ShardedError::ShardName {
                    path: path(),
                    shard: shown(name),
                });
            }
            let shard = SafetensorsFile::open(&index_path.with_file_name(name));
            let shard = shard.map_err(|source| ShardedError::Shard {
                path: path(),
                shard: shown(name),
                source: Box::new(source),
            })?;
            index_of.insert(name.clone(), shards.len());
            shards.push(shard);
        }
        let mut shard_of = BTreeMap::new();
        for (tensor, name) in weight_map {
            let index = index_of.get(&name).copied();
            let there = index.filter(|&index| {
                shards
                    .get(index)
                    .is_some_and(|shard| shard.meta(&tensor).is_some())
            });
            let index = there.ok_or_else(|| ShardedError::Tensor {
                path: path(),
                tensor: shown(&tensor),
                shard: shown(&name),
            })?;
            shard_of.insert(tensor, index);
        }
        Ok(Self { shards, shard_of })
    }

    fn shard(&self, tensor: &str) -> Option<&SafetensorsFile> {
        self.shards.get(*self.shard_of.get(tensor)?)
    }
}

impl TensorFile for ShardedFile {
    fn names(&self) -> Vec<String> {
        self.shard_of.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.shard(name)?.meta(name)
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        self.shard(name).map_or(Ok(None), |shard| shard.read(name))
    }
}

/// Whether joining `name` to a folder stays in that folder, on every system.
fn is_plain_file_name(name: &str) -> bool {
    let is_foreign = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    !name.is_empty() && name != "." && name != ".." && !name.contains(is_foreign)
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>, ShardedError> {
    let source = Source::open(path)?;
    if source.len() > MAX_HEADER_BYTES {
        return Err(ShardedError::IndexTooLarge {
            path: path.to_owned(),
            found: source.len(),
            most: MAX_HEADER_BYTES,
        });
    }
    let json = source.read(0, source.len())?;
    let index: Index = serde_json::from_slice(&json).map_err(|source| ShardedError::Index {
        path: path.to_owned(),
        source,
    })?;
    let mut weight_map = BTreeMap::new();
    for (tensor, shard) in index.weight_map.0 {
        if weight_map.contains_key(&tensor) {
            return Err(ShardedError::Duplicate {
                path: path.to_owned(),
                tensor: shown(&tensor),
            });
        }
        weight_map.insert(tensor, shard);
    }
    Ok(weight_map)
}

#[derive(Deserialize)]
struct Index {
    weight_map: TextPairs,
}
