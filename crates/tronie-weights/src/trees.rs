//! Finding models by name where their users already keep them: the trees of A1111 and `ComfyUI`, or any folder.
//!
//! Nothing is copied or moved, and nothing is written.

mod extra_paths;
mod walk;

use std::path::{Path, PathBuf};

use tronie_base::{Fault, Faulty};

use crate::detect::Kind;
use crate::{Checkpoint, CheckpointError, DetectError};
use walk::Place;

/// A model file or diffusers folder, before anything of it has been read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelFile {
    /// Its path below the folder of its kind, with `/` between names: `portraits/mine.safetensors`.
    pub relative: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its kind by the folder it is in; `None` where the folder does not tell.
    pub kind: Option<Kind>,
    /// Size of the file, or of all files in a diffusers folder.
    pub size_bytes: u64,
}

impl ModelFile {
    /// Its name without folder.
    fn file_name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or_default()
    }

    /// Its name without folder and ending; diffusers folders have no ending.
    #[must_use]
    pub fn stem(&self) -> &str {
        without_ending(self.file_name())
    }
}

/// A model and what looking into it told.
#[derive(Debug)]
pub struct Listed {
    /// Where it is.
    pub file: ModelFile,
    /// What it is: by its content, else by its folder.
    pub kind: Kind,
    /// The family it is of, see [`Detection::family`](crate::Detection::family), or, for a LoRA or an embedding, the one
    /// it is for; `None` for all else and where several fit.
    pub family: Option<&'static str>,
    /// Why it cannot be used, if it cannot.
    pub problem: Option<CheckpointError>,
}

/// A name that leads to no model, or to more than one.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No model of that name.
    #[error("there is no model \"{name}\" among the {n_models} in {}", shown(folders))]
    Unknown {
        /// What was asked for.
        name: String,
        /// How many models of the kind there are.
        n_models: usize,
        /// Where they were looked for.
        folders: Vec<PathBuf>,
        /// Names that are nearly the same, nearest first.
        nearest: Vec<String>,
    },
    /// More than one.
    #[error("\"{name}\" could be any of {}", shown(candidates))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// All it could be.
        candidates: Vec<PathBuf>,
    },
}

fn shown(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}

impl Faulty for LibraryError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean \"{}\"?", nearest.join("\" or \"")))
            }
            Self::Unknown { n_models: 0, .. } => {
                Some("name the folder that holds your models with --models-dir".into())
            }
            Self::Unknown { .. } => Some("tronie models list shows all names".into()),
            Self::Ambiguous { .. } => Some("give the name with its folder or its ending".into()),
        }
    }
}

/// Folders with models.
#[derive(Debug, Clone)]
pub struct Library {
    folders: Vec<PathBuf>,
    places: Vec<Place>,
}

impl Library {
    /// The models below these folders, each of which may be an A1111 or `ComfyUI` installation, its `models` folder, or
    /// anything else. A `ComfyUI` tree's `extra_model_paths.yaml` is followed.
    #[must_use]
    pub fn new(folders: &[PathBuf]) -> Self {
        Self {
            folders: folders.to_vec(),
            places: folders.iter().flat_map(|folder| walk::places(folder)).collect(),
        }
    }

    /// All model files, by folder and name. What cannot be read is left out.
    #[must_use]
    pub fn files(&self) -> Vec<ModelFile> {
        walk::files(&self.places)
    }

    /// All model files, each looked into as far as is needed to tell what it is.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        self.files().into_iter().map(look_into).collect()
    }

    /// All files of a kind: those in its folders, and those whose folder does not tell and whose content does.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Vec<ModelFile> {
        let is_told_by_content = |file: &ModelFile| {
            let listed = look_into(file.clone());
            listed.kind == kind && listed.problem.is_none()
        };
        let is_of_kind =
            |file: &ModelFile| file.kind.map_or_else(|| is_told_by_content(file), |found| found == kind);
        self.files().into_iter().filter(is_of_kind).collect()
    }

    /// The model of a kind that a person means by `name`: by its file name, its stem, its relative path with or without
    /// ending, or one of these in other letter case; in this order. A hash behind it, as A1111 shows, is ignored.
    ///
    /// # Errors
    /// [`LibraryError`]: none, or more than one.
    pub fn resolve(&self, name: &str, kind: Kind) -> Result<PathBuf, LibraryError> {
        let fits = |file: &ModelFile| file.kind.is_none_or(|found| found == kind);
        let models: Vec<ModelFile> = self.files().into_iter().filter(fits).collect();
        let wanted = without_hash(name).replace('\\', "/");
        let lower = wanted.to_lowercase();
        let tests: [&dyn Fn(&ModelFile) -> bool; 4] = [
            &|model| model.file_name() == wanted,
            &|model| model.stem() == wanted,
            &|model| model.relative == wanted || without_ending(&model.relative) == wanted,
            &|model| {
                let relative = model.relative.to_lowercase();
                let names = [model.file_name().to_lowercase(), model.stem().to_lowercase()];
                names.contains(&lower) || relative == lower || without_ending(&relative) == lower
            },
        ];
        for test in tests {
            let found: Vec<PathBuf> =
                models.iter().filter(|model| test(model)).map(|model| model.path.clone()).collect();
            match found.as_slice() {
                [] => {}
                [only] => return Ok(only.clone()),
                _ => {
                    return Err(LibraryError::Ambiguous { name: name.to_owned(), candidates: found });
                }
            }
        }
        Err(LibraryError::Unknown {
            name: name.to_owned(),
            n_models: models.len(),
            folders: self.folders.clone(),
            nearest: nearest(&lower, &models),
        })
    }
}

fn look_into(file: ModelFile) -> Listed {
    let (kind, family, problem) = match Checkpoint::open(&file.path) {
        Ok(checkpoint) => {
            let kind = match checkpoint.detection.parts.as_slice() {
                [crate::Part::Vae] => Kind::Vae,
                [crate::Part::TextEncoder | crate::Part::TextEncoder2] => Kind::TextEncoder,
                _ => Kind::Checkpoint,
            };
            (kind, (kind == Kind::Checkpoint).then(|| checkpoint.family()), None)
        }
        Err(CheckpointError::Detect { cause: DetectError::Foreign { kind, family, .. }, .. })
            if kind != Kind::Other =>
        {
            (kind, family, None)
        }
        Err(problem) => (file.kind.unwrap_or(Kind::Other), None, Some(problem)),
    };
    Listed { file, kind, family, problem }
}

/// `sd-v1-5.safetensors [6ce0161689]` without the hash.
fn without_hash(name: &str) -> &str {
    let bare = name.strip_suffix(']').and_then(|rest| rest.rsplit_once(" ["));
    match bare {
        Some((bare, hash)) if !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => bare,
        _ => name,
    }
}

/// A name without the ending of a model file; others ("v1.5") are part of the name.
fn without_ending(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if walk::is_model_ending(Path::new(ending)) => stem,
        _ => name,
    }
}

/// Up to three stems that differ from `wanted` in no more than a third of their letters, nearest first.
fn nearest(wanted: &str, models: &[ModelFile]) -> Vec<String> {
    const MOST: usize = 3;
    let wanted = without_ending(wanted);
    let distances =
        models.iter().map(|model| (edit_distance(wanted, &model.stem().to_lowercase()), model.stem()));
    let mut near: Vec<(usize, &str)> = distances
        .filter(|(distance, stem)| distance * 3 <= stem.chars().count().max(wanted.chars().count()))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, stem)| stem.to_owned()).collect()
}

/// The number of single letters to insert, drop or replace (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *above;
            left = replaced.min(left + 1).min(diagonal + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
