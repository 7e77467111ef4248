//! A whole model: the networks of a diffusers folder, of a single file, or of an archive in memory, in diffusers names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tronie_base::{Fault, Faulty};

use crate::{
    DetectError, Hints, LAYOUTS, OpenError, Part, Renamed, SafetensorsError, SafetensorsFile, ShardedError, ShardedFile,
    TensorFile, canonical, detect, open,
};

/// Endings of a part's weight file in a diffusers folder, best first.
const WEIGHT_ENDINGS: [&str; 6] = [
    ".safetensors",
    ".safetensors.index.json",
    ".fp16.safetensors",
    ".fp16.safetensors.index.json",
    ".bin",
    ".fp16.bin",
];
/// What the transformers library calls a text encoder's weights when it pickles them.
const PICKLED_TEXT: &str = "pytorch_model.bin";
/// Bytes hashed at once.
const HASH_AT_ONCE: usize = 1 << 20;

/// A file or folder that is not a model.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder or file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A configuration that is not JSON.
    #[error("{name} is not JSON: {source}")]
    Json {
        /// Which one.
        name: String,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// A folder without `model_index.json`.
    #[error("{} has no model_index.json, so it is not a diffusers folder", path.display())]
    NoIndex {
        /// The folder.
        path: PathBuf,
    },
    /// A part that the index lists and the folder lacks.
    #[error("{model} has no weights in {part}, expected one of: {}", WEIGHT_ENDINGS.map(|ending| format!("{}{ending}", part_stem(part))).join(", "))]
    NoWeights {
        /// The model.
        model: String,
        /// The part's folder.
        part: &'static str,
    },
    /// A weight file that cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A weight file in memory that cannot be opened.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A sharded weight file that cannot be opened.
    #[error(transparent)]
    Sharded(#[from] ShardedError),
    /// A file that is no Stable Diffusion checkpoint.
    #[error("{}: {source}", path.display())]
    Detect {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        source: DetectError,
    },
}

fn part_stem(folder: &str) -> &'static str {
    Part::ALL.into_iter().find(|part| part.folder() == folder).map_or("model", Part::file_stem)
}

impl Faulty for CheckpointError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => Fault::Environment,
            Self::Read { .. } | Self::Json { .. } | Self::NoIndex { .. } | Self::NoWeights { .. } => Fault::Input,
            Self::Open(error) => error.fault(),
            Self::Safetensors(error) => error.fault(),
            Self::Sharded(error) => error.fault(),
            Self::Detect { source, .. } => source.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::Json { .. } => None,
            Self::NoIndex { .. } => Some("point at the folder that holds unet/, vae/ and text_encoder/".into()),
            Self::NoWeights { .. } => Some("the download may be incomplete; pull it again".into()),
            Self::Open(error) => error.hint(),
            Self::Safetensors(error) => error.hint(),
            Self::Sharded(error) => error.hint(),
            Self::Detect { source, .. } => source.hint(),
        }
    }
}

/// One network of a checkpoint.
pub struct Component {
    /// Its `config.json`; single files have none.
    pub config: Option<Value>,
    /// Its tensors in diffusers names.
    pub tensors: Box<dyn TensorFile>,
}

/// An open model.
pub struct Checkpoint {
    /// Family id of a single file; `custom` for folders, which describe themselves.
    pub family: &'static str,
    /// The networks it has.
    pub parts: BTreeMap<Part, Component>,
    /// `model_index.json`; single files have none.
    pub model_index: Option<Value>,
    /// `scheduler/scheduler_config.json`; single files have none.
    pub scheduler: Option<Value>,
    files: Files,
    /// The file that stands for the model in its hash.
    main_file: PathBuf,
}

/// Where a folder's files are.
enum Files {
    Disk(PathBuf),
    Memory(BTreeMap<String, Arc<[u8]>>),
}

impl Files {
    fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        match self {
            Self::Memory(files) => Ok(files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
            Self::Disk(folder) => match fs::read_to_string(folder.join(name)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(CheckpointError::Read { path: folder.join(name), source }),
            },
        }
    }

    fn json(&self, name: &str) -> Result<Option<Value>, CheckpointError> {
        let parse = |text: String| serde_json::from_str(&text);
        let value = self.text(name)?.map(parse).transpose();
        value.map_err(|source| CheckpointError::Json { name: name.to_owned(), source })
    }

    /// The weights of a part: the file's name below the folder, and its tensors.
    fn weights(&self, part: Part) -> Result<Option<(String, Box<dyn TensorFile>)>, CheckpointError> {
        let plain = WEIGHT_ENDINGS.map(|ending| format!("{}/{}{ending}", part.folder(), part.file_stem()));
        let pickled = format!("{}/{PICKLED_TEXT}", part.folder());
        for name in plain.into_iter().chain([pickled]) {
            let file: Box<dyn TensorFile> = match self {
                Self::Memory(files) => match files.get(&name) {
                    Some(bytes) => Box::new(SafetensorsFile::from_bytes(Arc::clone(bytes))?),
                    None => continue,
                },
                Self::Disk(folder) if folder.join(&name).is_file() => match name.ends_with(".index.json") {
                    true => Box::new(ShardedFile::open(&folder.join(&name))?),
                    false => open(&folder.join(&name))?,
                },
                Self::Disk(_) => continue,
            };
            return Ok(Some((name, Box::new(canonical(part, file)))));
        }
        Ok(None)
    }
}

impl Checkpoint {
    /// Opens a diffusers folder or a single file, whatever its extension. No tensor is read yet.
    ///
    /// # Errors
    /// [`CheckpointError`] when it is neither, or when a file of it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = fs::metadata(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        if metadata.is_dir() { Self::folder(Files::Disk(path.to_owned()), path) } else { Self::single_file(path) }
    }

    /// Opens a diffusers folder in memory: relative path with `/` to content.
    ///
    /// # Errors
    /// [`CheckpointError`] when it is no diffusers folder, or when a file of it cannot be opened.
    pub fn from_archive(name: &str, files: BTreeMap<String, Arc<[u8]>>) -> Result<Self, CheckpointError> {
        Self::folder(Files::Memory(files), Path::new(name))
    }

    fn folder(files: Files, path: &Path) -> Result<Self, CheckpointError> {
        let model_index = files.json("model_index.json")?;
        let Some(model_index) = model_index else {
            return Err(CheckpointError::NoIndex { path: path.to_owned() });
        };
        let mut parts = BTreeMap::new();
        let mut main_file = PathBuf::new();
        // An index lists [library, class] for each part; [null, null] for one that the model does without.
        let is_listed = |part: &Part| model_index.get(part.folder()).is_some_and(|row| !row[0].is_null());
        for part in Part::ALL.into_iter().filter(is_listed) {
            let Some((name, tensors)) = files.weights(part)? else {
                return Err(CheckpointError::NoWeights { model: path.display().to_string(), part: part.folder() });
            };
            if part == Part::Unet {
                main_file = PathBuf::from(name);
            }
            let config = files.json(&format!("{}/config.json", part.folder()))?;
            parts.insert(part, Component { config, tensors });
        }
        let scheduler = files.json("scheduler/scheduler_config.json")?;
        Ok(Self { family: "custom", parts, model_index: Some(model_index), scheduler, files, main_file })
    }

    fn single_file(path: &Path) -> Result<Self, CheckpointError> {
        let file: Arc<dyn TensorFile> = Arc::from(open(path)?);
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let hints = Hints { file_name: file_name.as_deref(), ..Hints::default() };
        let detection = detect(file.as_ref(), hints)
            .map_err(|source| CheckpointError::Detect { path: path.to_owned(), source })?;
        let mapping = LAYOUTS.iter().find(|layout| layout.id == detection.layout).map(|layout| layout.to_diffusers(&file.names()));
        let parts = mapping.into_iter().flat_map(|mapping| mapping.parts).map(|(part, recipes)| {
            let tensors = Box::new(Renamed::new(Arc::clone(&file), recipes));
            (part, Component { config: None, tensors: tensors as Box<dyn TensorFile> })
        });
        Ok(Self {
            family: detection.family,
            parts: parts.collect(),
            model_index: None,
            scheduler: None,
            files: Files::Disk(path.parent().unwrap_or(Path::new("")).to_owned()),
            main_file: path.file_name().map(PathBuf::from).unwrap_or_default(),
        })
    }

    /// A text file of a diffusers folder (`tokenizer/vocab.json`); `None` when there is none, and for single files.
    #[must_use]
    pub fn text_file(&self, folder: &str, name: &str) -> Option<String> {
        self.model_index.as_ref()?;
        self.files.text(&format!("{folder}/{name}")).ok().flatten()
    }

    /// SHA-256 in hexadecimal of the single file, or of a folder's UNet weights. A1111 shows the first ten digits.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] when the file cannot be read to its end.
    pub fn sha256(&self) -> Result<String, CheckpointError> {
        let mut hasher = Sha256::new();
        match &self.files {
            Files::Memory(files) => {
                hasher.update(files.get(&*self.main_file.to_string_lossy()).map_or(&[][..], |bytes| bytes));
            }
            Files::Disk(folder) => {
                let path = folder.join(&self.main_file);
                let fail = |source| CheckpointError::Read { path: path.clone(), source };
                let mut file = File::open(&path).map_err(fail)?;
                let mut buffer = vec![0; HASH_AT_ONCE];
                loop {
                    let n = file.read(&mut buffer).map_err(fail)?;
                    if n == 0 {
                        break;
                    }
                    hasher.update(buffer.get(..n).unwrap_or_default());
                }
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
