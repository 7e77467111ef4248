//! A diffusers folder, on disk or in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tronie_base::Progress;

use super::{CheckpointError, TOKENIZER_FOLDERS, choose};
use crate::layout::Part;
use crate::{SafetensorsFile, ShardedFile, TensorFile};
use tronie_base::hex;

/// Bytes with more than one reader.
#[derive(Clone)]
pub(crate) struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What a model's hash is taken of.
pub(crate) enum HashSource {
    /// These files, one after another.
    Files(Vec<PathBuf>),
    /// These bytes.
    Memory(Bytes),
}

impl Default for HashSource {
    fn default() -> Self {
        Self::Files(Vec::new())
    }
}

impl HashSource {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Files(paths) if paths.is_empty())
    }

    pub(super) fn sha256(&self, progress: &mut dyn Progress) -> Result<String, CheckpointError> {
        let paths = match self {
            Self::Files(paths) => paths,
            Self::Memory(bytes) => return Ok(hex(&Sha256::digest(bytes))),
        };
        let sizes = paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len()));
        progress.begin("hashing", sizes.sum());
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        for path in paths {
            let fail = |source| read_error(path, source);
            let mut file = File::open(path).map_err(fail)?;
            loop {
                progress.check()?;
                let n = file.read(&mut chunk).map_err(fail)?;
                if n == 0 {
                    break;
                }
                hasher.update(chunk.get(..n).unwrap_or_default());
                progress.advance(n as u64);
            }
        }
        Ok(hex(&hasher.finalize()))
    }
}

fn read_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Read { path: path.to_owned(), source }
}

/// A network's tensors and what they are hashed by.
pub(crate) struct Weights {
    pub(crate) tensors: Box<dyn TensorFile>,
    pub(crate) hash_source: HashSource,
}

/// Files by path.
pub(super) enum Store {
    Disk(PathBuf),
    Memory(BTreeMap<String, Bytes>),
}

impl Store {
    pub(super) fn disk(folder: &Path) -> Self {
        Self::Disk(folder.to_owned())
    }

    pub(super) fn memory(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let entries = entries.into_iter().map(|(path, bytes)| (path, Bytes(Arc::new(bytes))));
        Self::Memory(entries.collect())
    }

    /// A path as people know it.
    pub(super) fn shown(&self, path: &str) -> PathBuf {
        match self {
            Self::Disk(folder) if path.is_empty() => folder.clone(),
            Self::Disk(folder) => folder.join(path),
            Self::Memory(_) => Path::new("(built in)").join(path),
        }
    }

    /// A configuration; `None` when there is none.
    pub(super) fn json(&self, path: &str) -> Result<Option<Value>, CheckpointError> {
        let Some(bytes) = self.bytes(path)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(bytes.as_ref())
            .map_err(|source| CheckpointError::Json { path: self.shown(path), source })?;
        Ok(Some(value))
    }

    /// A part's weights; `None` when the model has no such part.
    pub(super) fn weights(&self, part: Part) -> Result<Option<Weights>, CheckpointError> {
        let names = self.names(part.folder())?;
        if names.is_empty() {
            return Ok(None);
        }
        let Some(name) = choose::weights(part, &names) else {
            return Err(CheckpointError::NoWeights { path: self.shown(part.folder()), found: names });
        };
        let path = format!("{}/{name}", part.folder());
        match self {
            Self::Disk(folder) => Ok(Some(weights_at(&folder.join(path))?)),
            Self::Memory(entries) => {
                let bytes = entries.get(&path).cloned().unwrap_or_else(|| Bytes(Arc::default()));
                let file = SafetensorsFile::from_bytes(bytes.clone());
                let file =
                    file.map_err(|source| CheckpointError::Archive { path, source: Box::new(source) })?;
                Ok(Some(Weights { tensors: Box::new(file), hash_source: HashSource::Memory(bytes) }))
            }
        }
    }

    /// Everything in the tokenizers' folders.
    pub(super) fn tokenizer_files(&self) -> Result<BTreeMap<String, Vec<u8>>, CheckpointError> {
        let mut files = BTreeMap::new();
        for folder in TOKENIZER_FOLDERS {
            for name in self.names(folder)? {
                let path = format!("{folder}/{name}");
                if let Some(bytes) = self.bytes(&path)? {
                    files.insert(path, bytes.as_ref().to_vec());
                }
            }
        }
        Ok(files)
    }

    /// Names of the files directly in a folder, sorted; none when there is no such folder.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, CheckpointError> {
        let mut names: Vec<String> = match self {
            Self::Memory(entries) => {
                let below = entries.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
                below.filter(|name| !name.contains('/')).map(str::to_owned).collect()
            }
            Self::Disk(root) => {
                let folder = root.join(folder);
                let entries = match fs::read_dir(&folder) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(source) => return Err(read_error(&folder, source)),
                };
                // metadata follows links, which is what a snapshot of the Hub's cache is made of
                let files = entries
                    .flatten()
                    .filter(|entry| fs::metadata(entry.path()).is_ok_and(|kind| kind.is_file()));
                files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    fn bytes(&self, path: &str) -> Result<Option<Bytes>, CheckpointError> {
        match self {
            Self::Memory(entries) => Ok(entries.get(path).cloned()),
            Self::Disk(folder) => match fs::read(folder.join(path)) {
                Ok(bytes) => Ok(Some(Bytes(Arc::new(bytes)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(read_error(&folder.join(path), source)),
            },
        }
    }
}

/// The weights of a file, or of those an index names.
pub(crate) fn weights_at(path: &Path) -> Result<Weights, CheckpointError> {
    if path.extension().is_some_and(|extension| extension == "json") {
        let file = ShardedFile::open(path).map_err(crate::OpenError::from)?;
        return Ok(Weights { tensors: Box::new(file), hash_source: HashSource::Files(shards(path)?) });
    }
    Ok(Weights { tensors: crate::open(path)?, hash_source: HashSource::Files(vec![path.to_owned()]) })
}

/// The files an index names, in order. The index has been checked by [`ShardedFile::open`].
fn shards(index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let text = fs::read(index).map_err(|source| read_error(index, source))?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|source| CheckpointError::Json { path: index.to_owned(), source })?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let names = map.into_iter().flat_map(|map| map.values().filter_map(Value::as_str));
    let mut paths: Vec<PathBuf> = names.map(|name| index.with_file_name(name)).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
