//! Pictures as other programs keep them: the one reader of every folder that is exported or evaluated.
//!
//! | layout | known by | caption | class | other fields |
//! |---|---|---|---|---|
//! | dataset | `dataset.json` | `metadata.jsonl` | | `metadata.jsonl` |
//! | imagefolder (Hugging Face) | `metadata.jsonl` or `metadata.csv`, in the folder or in folders of splits | `text`, `caption`, `prompt` | | the line |
//! | kohya | only folders named `<repeats>_<words>`, in the folder or in folders of splits | `.txt`, `.caption` | the words | |
//! | plain | anything else with pictures | `.txt`, `.caption` | the folder a picture is in | |
//!
//! A folder named `train`, `validation`, `valid`, `val`, `dev` or `test` at the top is a split, and a field `split` of a
//! line says the same; whatever says nothing is for training.

mod metadata;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::ExportError;
use crate::folder::{DATASET, Header, MANIFEST, METADATA, SPEC};

/// Keys under which metadata files have captions; the first that is there counts.
const CAPTION_KEYS: [&str; 3] = ["text", "caption", "prompt"];
pub(crate) const FILE_NAME: &str = "file_name";
pub(crate) const TEXT: &str = "text";
pub(crate) const CLASS: &str = "class";
const SPLIT: &str = "split";
const METADATA_CSV: &str = "metadata.csv";

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Training.
    Train,
    /// Choosing between trained models.
    Validation,
    /// The last judgement.
    Test,
}

impl Split {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`, as Hugging Face names them.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split a folder or field names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "validation" | "valid" | "val" | "dev" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// How a folder is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A finished dataset of this program.
    Dataset,
    /// Pictures and metadata of Hugging Face.
    ImageFolder,
    /// Folders of kohya's trainer.
    Kohya,
    /// Pictures, perhaps in folders, perhaps with captions beside them.
    Plain,
}

/// One picture and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its file below the folder, with `/`.
    pub file_name: String,
    /// What it is for.
    pub split: Split,
    /// What it shows, in words.
    pub caption: Option<String>,
    /// The class it is in, where the folder has classes.
    pub class: Option<String>,
    /// Everything the metadata say, but its name and split; caption and class included, under `text` and `class` where the
    /// folder has no names for them.
    pub fields: Map<String, Value>,
}

impl Picture {
    /// The SHA-256 that the metadata have for the file.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.fields.get("sha256").and_then(Value::as_str)
    }

    /// The text of a field, such as `cell`, or of an attribute below `attributes`.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<String> {
        let inside = |group: &str| self.fields.get(group).and_then(|group| group.get(name));
        match self.fields.get(name).or_else(|| inside("attributes"))? {
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            other => Some(other.to_string()),
        }
    }
}

/// What is known about the whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// A name fit for a folder.
    pub name: String,
    /// Version of the spec, 1 where there is none.
    pub version: u32,
    /// What it is for, in its author's words.
    pub description: String,
    /// The model that made it and the hash of its weights.
    pub model: Option<(String, String)>,
    /// Identity of its spec.
    pub identity: Option<String>,
}

/// A folder of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// The folder.
    pub folder: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// What is known about the whole.
    pub about: About,
    /// The pictures: in the order of the metadata, else of their names.
    pub pictures: Vec<Picture>,
}

impl Collection {
    /// Reads what is in a folder; no picture is opened.
    ///
    /// # Errors
    /// [`ExportError`] for a folder that cannot be read, an unfinished dataset, metadata that name what is not there or not
    /// below the folder, and a folder without pictures.
    pub fn open(folder: &Path) -> Result<Self, ExportError> {
        let layout = layout_of(folder)?;
        let about = match layout {
            Layout::Dataset => about_dataset(folder)?,
            _ => about_folder(folder),
        };
        let pictures = match layout {
            Layout::Dataset => metadata::read(folder, &folder.join(METADATA), None)?,
            Layout::ImageFolder => metadata::read_all(folder)?,
            Layout::Kohya | Layout::Plain => scan::read(folder, layout == Layout::Kohya)?,
        };
        if pictures.is_empty() {
            return Err(ExportError::NoPictures { folder: folder.to_owned() });
        }
        Ok(Self { folder: folder.to_owned(), layout, about, pictures })
    }

    /// Where a picture is.
    #[must_use]
    pub fn path(&self, picture: &Picture) -> PathBuf {
        self.folder.join(&picture.file_name)
    }

    /// The splits that have pictures, in their order.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        let has = |split: &Split| self.pictures.iter().any(|picture| picture.split == *split);
        Split::ALL.into_iter().filter(has).collect()
    }
}

fn layout_of(folder: &Path) -> Result<Layout, ExportError> {
    let is_dataset = folder.join(DATASET).exists();
    if is_dataset && !folder.join(MANIFEST).exists() {
        return Err(ExportError::Unfinished { folder: folder.to_owned() });
    }
    Ok(match () {
        () if is_dataset => Layout::Dataset,
        () if !metadata::files(folder)?.is_empty() => Layout::ImageFolder,
        () if scan::is_kohya(folder)? => Layout::Kohya,
        () => Layout::Plain,
    })
}

fn about_dataset(folder: &Path) -> Result<About, ExportError> {
    let header: Header = crate::folder::read_header(folder)?;
    let spec = fs::read_to_string(folder.join(SPEC)).ok().and_then(|text| crate::Spec::parse(&text).ok());
    Ok(About {
        name: header.name,
        version: header.version,
        description: spec.map(|spec| spec.description().trim().to_owned()).unwrap_or_default(),
        model: Some((header.model_id, header.model_hash)),
        identity: Some(header.identity),
    })
}

fn about_folder(folder: &Path) -> About {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    About { name, version: 1, ..About::default() }
}

#[cfg(test)]
mod tests;
