//! From a model's name to an open checkpoint, wherever it lies.

use std::path::{Path, PathBuf};

use tronie_base::{Faulty as _, Progress};
use tronie_weights::{Checkpoint, Hub, HubConfig, Kind, Library, LibraryError, Pull, RepoId};

use crate::GenerateError;

/// Name of the model inside the program.
pub const EMBEDDED_MODEL: &str = "tronie-mini";

/// Folders of a Hub repository that text to image needs.
const WANTED: [&str; 7] =
    ["unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"];
/// What a file of them must end in.
const WANTED_ENDINGS: [&str; 3] = [".json", ".txt", ".safetensors"];

/// Where models may be.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// A1111 trees, ComfyUI trees and plain folders, searched in this order.
    pub models_dirs: Vec<PathBuf>,
    /// The Hugging Face cache; `None` when there is no place for one.
    pub hub: Option<HubConfig>,
}

/// Finds and opens checkpoints.
#[derive(Debug, Clone)]
pub struct Store {
    config: StoreConfig,
}

impl Store {
    /// A store that looks in the places of `config`.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self { config }
    }

    /// Opens a model by its name: [`EMBEDDED_MODEL`], an existing path, a name in a models folder, or a Hugging Face id
    /// (`owner/name`), which is downloaded when the cache does not have it.
    ///
    /// # Errors
    /// [`GenerateError::UnknownModel`] when no place has it; what opening or downloading it said otherwise.
    pub fn open(&self, name: &str, progress: &mut dyn Progress) -> Result<Checkpoint, GenerateError> {
        if name == EMBEDDED_MODEL {
            return embedded::open();
        }
        if Path::new(name).exists() {
            return checkpoint(Path::new(name));
        }
        let hint = match Library::new(&self.config.models_dirs).resolve(name, Kind::Checkpoint) {
            Ok(path) => return checkpoint(&path),
            Err(error) => error.hint(),
        };
        match (name.parse::<RepoId>(), &self.config.hub) {
            (Ok(repo), Some(hub)) if name.contains('/') => self.pulled(&repo, hub, progress),
            _ => Err(GenerateError::UnknownModel {
                name: name.to_owned(),
                hint: hint.unwrap_or_else(|| {
                    format!("name {EMBEDDED_MODEL}, a file, a folder, or a Hugging Face id (owner/name)")
                }),
            }),
        }
    }

    /// The embeddings of the models folders.
    #[must_use]
    pub fn embeddings(&self) -> Vec<PathBuf> {
        let files = Library::new(&self.config.models_dirs).of_kind(Kind::Embedding).into_iter();
        // A1111 passes over empty files: their download never began.
        files.filter(|file| file.size_bytes > 0).map(|file| file.path).collect()
    }

    /// The file of a LoRA by its name: an existing path, or a name in a models folder.
    ///
    /// # Errors
    /// [`GenerateError::UnknownLora`] when no place has it, [`GenerateError::Library`] when several do.
    pub fn lora(&self, name: &str) -> Result<PathBuf, GenerateError> {
        let path = Path::new(name);
        if path.is_file() {
            return Ok(path.to_owned());
        }
        Library::new(&self.config.models_dirs).resolve(name, Kind::Lora).map_err(|error| match error {
            LibraryError::Unknown { .. } => {
                GenerateError::UnknownLora { name: name.to_owned(), hint: error.hint().unwrap_or_default() }
            }
            LibraryError::Ambiguous { .. } => GenerateError::Library(error),
        })
    }

    /// The file or folder of a control network by its name: an existing path, or a name in a models folder.
    ///
    /// # Errors
    /// [`LibraryError`] when no place has it, or several do.
    pub fn control(&self, name: &str) -> Result<PathBuf, LibraryError> {
        self.of_kind(name, Kind::ControlNet)
    }

    /// The same for an autoencoder, which may lie in a whole model's file.
    ///
    /// # Errors
    /// See [`Store::control`].
    pub fn vae(&self, name: &str) -> Result<PathBuf, LibraryError> {
        self.of_kind(name, Kind::Vae)
    }

    /// The same for an IP-Adapter.
    ///
    /// # Errors
    /// See [`Store::control`].
    pub fn ip_adapter(&self, name: &str) -> Result<PathBuf, LibraryError> {
        self.of_kind(name, Kind::IpAdapter)
    }

    /// The same for the image encoder of an IP-Adapter.
    ///
    /// # Errors
    /// See [`Store::control`].
    pub fn image_encoder(&self, name: &str) -> Result<PathBuf, LibraryError> {
        self.of_kind(name, Kind::ImageEncoder)
    }

    fn of_kind(&self, name: &str, kind: Kind) -> Result<PathBuf, LibraryError> {
        let path = Path::new(name);
        if path.exists() {
            return Ok(path.to_owned());
        }
        Library::new(&self.config.models_dirs).resolve(name, kind)
    }

    fn pulled(
        &self,
        repo: &RepoId,
        config: &HubConfig,
        progress: &mut dyn Progress,
    ) -> Result<Checkpoint, GenerateError> {
        let fail = |error| GenerateError::Weights(Box::new(error));
        let hub = Hub::new(config.clone()).map_err(fail)?;
        let cached = hub.find(repo, "main").map_err(fail)?;
        let folder = match cached.filter(|folder| folder.join("model_index.json").is_file()) {
            Some(folder) => folder,
            None => hub.pull(Pull { repo, revision: "main", wanted: &is_wanted }, progress).map_err(fail)?,
        };
        checkpoint(&folder)
    }
}

/// Whether text to image needs a file of a Hub repository, by its path there; of several precisions the full one.
pub fn is_wanted(path: &str) -> bool {
    let in_part = path.split_once('/').is_some_and(|(folder, _)| WANTED.contains(&folder));
    let is_variant = [".fp16.", ".non_ema.", "openvino", "flax"].iter().any(|part| path.contains(part));
    path == "model_index.json"
        || (in_part && !is_variant && WANTED_ENDINGS.iter().any(|ending| path.ends_with(ending)))
}

fn checkpoint(path: &Path) -> Result<Checkpoint, GenerateError> {
    Checkpoint::open(path).map_err(|error| GenerateError::Weights(Box::new(error)))
}

#[cfg(feature = "embedded")]
mod embedded {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use tronie_weights::Checkpoint;

    use super::EMBEDDED_MODEL;
    use crate::GenerateError;

    static ARCHIVE: &[u8] = include_bytes!("../../../models/tronie-mini.tar.zst");

    pub(super) fn open() -> Result<Checkpoint, GenerateError> {
        let files = unpack().map_err(|error| GenerateError::Checkpoint {
            model: EMBEDDED_MODEL.to_owned(),
            reason: format!("the archive inside the program is damaged: {error}"),
            hint: Some("build the program again from a clean checkout".to_owned()),
        })?;
        Checkpoint::from_archive(files).map_err(|error| GenerateError::Weights(Box::new(error)))
    }

    fn unpack() -> std::io::Result<BTreeMap<String, Vec<u8>>> {
        let mut archive = tar::Archive::new(zstd::Decoder::new(ARCHIVE)?);
        let mut files = BTreeMap::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or_default());
            entry.read_to_end(&mut bytes)?;
            files.insert(name, bytes);
        }
        Ok(files)
    }
}

#[cfg(not(feature = "embedded"))]
mod embedded {
    use tronie_weights::Checkpoint;

    use super::EMBEDDED_MODEL;
    use crate::GenerateError;

    pub(super) fn open() -> Result<Checkpoint, GenerateError> {
        Err(GenerateError::UnknownModel {
            name: EMBEDDED_MODEL.to_owned(),
            hint: "this program was built without it; build with the feature embedded, or name another model"
                .to_owned(),
        })
    }
}
