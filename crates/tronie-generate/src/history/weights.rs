//! Finding the files that a picture names, by name and by hash.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use tronie_base::{Progress, sha256_hex, sha256_of_file};
use tronie_weights::{Checkpoint, Embedding, Kind, hash_of_lora};

use super::{History, NamedWeights};
use crate::{GenerateError, Store};

/// Digits of the hash that A1111 wrote before 2023.
const N_OLD_DIGITS: usize = 8;

/// What became of the search for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weights {
    /// It is there, under this name, and its hash is right where one is known.
    Found {
        /// What a request calls it.
        name: String,
    },
    /// A file of its name is there and has another hash.
    Different {
        /// What a request calls it.
        name: String,
        /// Its hash.
        found: String,
    },
    /// There is none.
    Missing,
}

/// A file that a picture names, and what became of the search for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The file.
    pub wanted: NamedWeights,
    /// What was found.
    pub weights: Weights,
}

impl Search {
    /// The last part of a sentence about it.
    #[must_use]
    pub fn outcome(&self) -> String {
        match &self.weights {
            Weights::Found { name } if *name == self.wanted.name => "found".to_owned(),
            Weights::Found { name } => format!("found as {name}"),
            Weights::Different { name, found } => {
                let digits = self.wanted.hash.as_ref().map_or(10, String::len);
                format!("{name} has another hash, {}", found.get(..digits).unwrap_or(found))
            }
            Weights::Missing => "missing".to_owned(),
        }
    }
}

/// Looks for all files that a history names, and writes the names under which they are found into its request. Checkpoints and LoRAs
/// that no file is called are looked for by their hashes, which reads every file of the kind once.
///
/// # Errors
/// [`GenerateError`]: a file cannot be read, or the user cancels.
pub fn find_weights(
    history: &mut History,
    store: &Store,
    progress: &mut dyn Progress,
) -> Result<Vec<Search>, GenerateError> {
    let mut searches = Vec::new();
    for wanted in history.weights.clone() {
        let weights = match wanted.kind {
            Kind::Checkpoint => checkpoint(&wanted, store, progress)?,
            Kind::Lora => lora(&wanted, store)?,
            _ => by_name(&wanted, store)?,
        };
        if let Weights::Found { name } | Weights::Different { name, .. } = &weights {
            rename(history, &wanted, name);
        }
        searches.push(Search { wanted, weights });
    }
    Ok(searches)
}

/// Lets a request call a file by the name under which it is found.
fn rename(history: &mut History, wanted: &NamedWeights, name: &str) {
    let request = &mut history.request;
    match wanted.kind {
        Kind::Checkpoint => {
            if request.model == wanted.name {
                name.clone_into(&mut request.model);
            }
            if let Some(refiner) = request.refiner.as_mut().filter(|refiner| refiner.model == wanted.name) {
                name.clone_into(&mut refiner.model);
            }
        }
        Kind::Lora if name != wanted.name => {
            for kind in ["lora", "lyco"] {
                let [from, to] = [&wanted.name, name].map(|name| format!("<{kind}:{name}"));
                for end in [':', '>'] {
                    request.prompt = request.prompt.replace(&format!("{from}{end}"), &format!("{to}{end}"));
                }
            }
        }
        _ => {}
    }
}

fn checkpoint(
    wanted: &NamedWeights,
    store: &Store,
    progress: &mut dyn Progress,
) -> Result<Weights, GenerateError> {
    let weights = |error| GenerateError::Weights(Box::new(error));
    let hash = wanted.hash.as_deref();
    let mut different = None;
    match store.open(&wanted.name, progress) {
        Ok(_) if hash.is_none() => return Ok(Weights::Found { name: wanted.name.clone() }),
        Ok(checkpoint) => {
            let path = store.library().resolve(&wanted.name, Kind::Checkpoint).ok();
            let found = checkpoint.hash(progress).map_err(weights)?;
            if is_hash(hash, &found) || path.is_some_and(|path| is_old_hash(hash, &path)) {
                return Ok(Weights::Found { name: wanted.name.clone() });
            }
            different = Some(Weights::Different { name: wanted.name.clone(), found });
        }
        Err(GenerateError::UnknownModel { .. } | GenerateError::Library(_)) => {}
        Err(error) => return Err(error),
    }
    if hash.is_none() {
        return Ok(Weights::Missing); // there is nothing to know a file by
    }
    for file in store.library().of_kind(Kind::Checkpoint) {
        let Ok(checkpoint) = Checkpoint::open(&file.path) else { continue };
        if is_hash(hash, &checkpoint.hash(progress).map_err(weights)?) || is_old_hash(hash, &file.path) {
            return Ok(Weights::Found { name: file.path.display().to_string() });
        }
    }
    Ok(different.unwrap_or(Weights::Missing))
}

fn lora(wanted: &NamedWeights, store: &Store) -> Result<Weights, GenerateError> {
    let hash_of = |path: &Path| {
        hash_of_lora(path)
            .map_err(|source| GenerateError::Lora { name: wanted.name.clone(), source: Box::new(source) })
    };
    let mut different = None;
    if let Ok(path) = store.lora(&wanted.name) {
        let found = hash_of(&path)?;
        let name = wanted.name.clone();
        match &wanted.hash {
            Some(hash) if !found.starts_with(hash.as_str()) => {
                different = Some(Weights::Different { name, found })
            }
            _ => return Ok(Weights::Found { name }),
        }
    }
    if wanted.hash.is_none() {
        return Ok(Weights::Missing);
    }
    for file in store.library().of_kind(Kind::Lora) {
        if is_hash(wanted.hash.as_deref(), &hash_of(&file.path)?) {
            return Ok(Weights::Found { name: file.stem().to_owned() });
        }
    }
    Ok(different.unwrap_or(Weights::Missing))
}

/// Files that are found by their names alone: a word of a prompt is the name of its embedding.
fn by_name(wanted: &NamedWeights, store: &Store) -> Result<Weights, GenerateError> {
    let name = wanted.name.clone();
    let Ok(path) = store.library().resolve(&name, wanted.kind) else { return Ok(Weights::Missing) };
    let found = match wanted.kind {
        Kind::Embedding => Embedding::sha256(&path)
            .map_err(|source| GenerateError::Embedding { path: path.clone(), source })?,
        _ => sha256_of_file(&path).map_err(|source| GenerateError::Read { path: path.clone(), source })?,
    };
    Ok(match is_hash(wanted.hash.as_deref(), &found) || wanted.hash.is_none() {
        true => Weights::Found { name },
        false => Weights::Different { name, found },
    })
}

/// Whether a hash is, or begins with, the digits that are known.
fn is_hash(known: Option<&str>, found: &str) -> bool {
    known.is_some_and(|known| !known.is_empty() && found.starts_with(&known.to_lowercase()))
}

/// Whether a file has this hash of A1111's before 2023: eight digits of the SHA-256 of 64 KiB from the first MiB on
/// (`modules/sd_models.py`, `model_hash`).
fn is_old_hash(known: Option<&str>, path: &Path) -> bool {
    let Some(known) = known.filter(|known| known.len() == N_OLD_DIGITS) else { return false };
    let read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(0x10_0000))?;
        let mut bytes = Vec::new();
        file.take(0x1_0000).read_to_end(&mut bytes).map(|_| bytes)
    };
    read().is_ok_and(|bytes| is_hash(Some(known), &sha256_hex(&bytes)))
}
