//! A whole model, whichever way it is kept: a diffusers folder, an original single file, or a folder in memory.
//!
//! After opening there is no difference: every network is a [`TensorFile`] in today's diffusers names.

mod choose;
mod convert;
mod error;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tronie_base::Progress;

pub use convert::{Target, save_file, save_folder};
pub use error::CheckpointError;

use crate::detect::{self, Detection, Hints, detect};
use crate::layout::{Layout, Part, Recipe, Renamed, canonical};
use crate::{SafetensorsFile, TensorFile};
use store::HashSource;
use store::Store;
pub(crate) use store::{Weights, weights_at};

/// Where a checkpoint comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A diffusers folder.
    Folder(PathBuf),
    /// A single file.
    File(PathBuf),
    /// A diffusers folder in memory.
    Archive,
}

/// One network.
pub struct Component {
    /// Its `config.json`; a single file has none, its family's row in the catalog does.
    pub config: Option<Value>,
    /// Its tensors, in diffusers names.
    pub tensors: Box<dyn TensorFile>,
}

/// An open model. No tensor has been read.
pub struct Checkpoint {
    /// Where it comes from.
    pub source: Source,
    /// What it is, and how that was found out.
    pub detection: Detection,
    /// Its networks.
    pub parts: BTreeMap<Part, Component>,
    /// `scheduler/scheduler_config.json`.
    pub scheduler: Option<Value>,
    /// The files of its tokenizers, by path: `tokenizer/vocab.json`.
    pub tokenizer_files: BTreeMap<String, Vec<u8>>,
    /// `model_index.json`.
    pub model_index: Option<Value>,
    /// The metadata in a single file's header.
    pub metadata: BTreeMap<String, String>,
    /// Tensors of a single file that belong to no network.
    pub leftover: Vec<String>,
    hash_source: HashSource,
}

/// Where the tokenizers of a diffusers folder are.
const TOKENIZER_FOLDERS: [&str; 2] = ["tokenizer", "tokenizer_2"];
/// The metadata entry in which [`save_file`] keeps what a single file has no other place for.
const MODEL_KEY: &str = "tronie.model";
/// The key in it under which the tokenizers' files are, by path.
const TOKENIZERS: &str = "tokenizer_files";
/// Those of them that are kept: what fills up a text differs between the towers of SDXL.
const KEPT_OF_TOKENIZERS: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

impl Checkpoint {
    /// Opens a diffusers folder or a single file.
    ///
    /// # Errors
    /// [`CheckpointError`]: it is missing, broken, or no checkpoint.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            return Self::from_store(Source::Folder(path.to_owned()), Store::disk(path));
        }
        Self::open_file(path)
    }

    /// A diffusers folder in memory: contents by path, with `/` between names.
    ///
    /// # Errors
    /// [`CheckpointError`]: it is incomplete or broken.
    pub fn from_archive(entries: BTreeMap<String, Vec<u8>>) -> Result<Self, CheckpointError> {
        Self::from_store(Source::Archive, Store::memory(entries))
    }

    /// The family, see [`Detection::family`].
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.detection.family
    }

    /// SHA-256 of the single file, or of a folder's UNet weights (shards one after another), as 64 hexadecimal digits.
    /// The model hash that A1111 writes into images is the first ten of a single file's.
    ///
    /// # Errors
    /// [`CheckpointError`] when reading fails or the user cancels.
    pub fn hash(&self, progress: &mut dyn Progress) -> Result<String, CheckpointError> {
        self.hash_source.sha256(progress)
    }

    fn from_store(source: Source, store: Store) -> Result<Self, CheckpointError> {
        let model_index = store.json("model_index.json")?;
        let scheduler = store.json("scheduler/scheduler_config.json")?;
        let mut parts = BTreeMap::new();
        let mut hash_source = HashSource::default();
        for part in Part::ALL {
            let Some(weights) = store.weights(part)? else {
                continue;
            };
            if hash_source.is_empty() {
                hash_source = weights.hash_source;
            }
            let component = Component {
                config: store.json(&format!("{}/config.json", part.folder()))?,
                tensors: Box::new(canonical(part, weights.tensors)),
            };
            parts.insert(part, component);
        }
        let Some(first) = parts.get(&Part::Unet).or_else(|| parts.values().next()) else {
            let class = model_index.as_ref().and_then(|index| index.get("_class_name")?.as_str());
            return Err(match class {
                Some(class) => CheckpointError::Pipeline { path: store.shown(""), class: class.to_owned() },
                None => CheckpointError::NoModel { path: store.shown("") },
            });
        };
        let hints = Hints { scheduler: scheduler.as_ref(), ..Hints::default() };
        let mut detection = detect(first.tensors.as_ref(), hints)
            .map_err(|cause| CheckpointError::Detect { path: store.shown(""), cause })?;
        detection.parts = parts.keys().copied().collect();
        Ok(Self {
            source,
            detection,
            parts,
            scheduler,
            tokenizer_files: store.tokenizer_files()?,
            model_index,
            metadata: BTreeMap::new(),
            leftover: Vec::new(),
            hash_source,
        })
    }

    fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        let (file, metadata): (Box<dyn TensorFile>, _) = match SafetensorsFile::open(path) {
            Ok(file) => {
                let metadata = file.metadata().clone();
                (Box::new(file), metadata)
            }
            Err(_) => (crate::open(path)?, BTreeMap::new()),
        };
        let kept = metadata.get(MODEL_KEY).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let kept = |key: &str| {
            kept.as_ref().and_then(|model| model.get(key)).filter(|value| value.is_object()).cloned()
        };
        let scheduler = kept("scheduler");
        let yaml = std::fs::read_to_string(path.with_extension("yaml")).ok();
        let hints = Hints {
            file_name: path.file_name().and_then(|name| name.to_str()),
            metadata: Some(&metadata),
            scheduler: scheduler.as_ref(),
            yaml: yaml.as_deref(),
        };
        let mut detection = detect(file.as_ref(), hints)
            .map_err(|cause| CheckpointError::Detect { path: path.to_owned(), cause })?;
        let (views, leftover) = networks(file, &detection);
        let parts = views.into_iter().map(|(part, tensors)| {
            let config = kept(part.folder());
            (part, Component { config, tensors })
        });
        let parts: BTreeMap<Part, Component> = parts.collect();
        detection.parts = parts.keys().copied().collect();
        Ok(Self {
            source: Source::File(path.to_owned()),
            detection,
            parts,
            scheduler,
            tokenizer_files: tokenizer_files(kept(TOKENIZERS)),
            model_index: kept("model_index"),
            leftover,
            hash_source: HashSource::Files(vec![path.to_owned()]),
            metadata,
        })
    }
}

/// The tokenizers' files among what [`save_file`] kept. Only paths it writes are looked for: a file from elsewhere could
/// name any path, and [`save_folder`] would write there.
fn tokenizer_files(kept: Option<Value>) -> BTreeMap<String, Vec<u8>> {
    let paths =
        TOKENIZER_FOLDERS.iter().flat_map(|folder| KEPT_OF_TOKENIZERS.map(|name| format!("{folder}/{name}")));
    let files = paths.filter_map(|path| {
        let text = kept.as_ref()?.get(&path)?.as_str()?;
        Some((path, text.as_bytes().to_vec()))
    });
    files.collect()
}

/// The weight file of a folder that holds one network.
pub(crate) fn weights_in(folder: &Path, part: Part) -> Result<PathBuf, CheckpointError> {
    let names = Store::disk(folder).names("")?;
    match choose::weights(part, &names) {
        Some(name) => Ok(folder.join(name)),
        None => Err(CheckpointError::NoWeights { path: folder.to_owned(), found: names }),
    }
}

/// The `config.json` of a folder, where there is one.
pub(crate) fn config_in(folder: &Path) -> Result<Option<Value>, CheckpointError> {
    Store::disk(folder).json("config.json")
}

/// The networks of a single file as views of it, and the names that belong to none.
fn networks(
    file: Box<dyn TensorFile>,
    detection: &Detection,
) -> (BTreeMap<Part, Box<dyn TensorFile>>, Vec<String>) {
    let Some(layout) = Layout::find(detection.layout) else {
        // One network in diffusers' names, without a folder around it.
        let part = detection.parts.first().copied().unwrap_or(Part::Unet);
        let view: Box<dyn TensorFile> = Box::new(canonical(part, file));
        return (BTreeMap::from([(part, view)]), Vec::new());
    };
    let file: Arc<dyn TensorFile> = match detect::missing_prefix(file.as_ref()) {
        Some(prefix) => {
            let recipes =
                file.names().into_iter().map(|name| (format!("{prefix}{name}"), Recipe::copy(&name)));
            let recipes = recipes.collect();
            Arc::new(Renamed::new(file.into(), recipes))
        }
        None => file.into(),
    };
    let mapping = layout.to_diffusers(&file.names());
    let views = mapping.parts.into_iter().map(|(part, recipes)| {
        let view: Box<dyn TensorFile> = Box::new(Renamed::new(file.clone(), recipes));
        (part, view)
    });
    (views.collect(), mapping.leftover)
}

#[cfg(test)]
mod tests;
