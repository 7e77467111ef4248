//! How far a folder is.

use std::fs;
use std::path::Path;

use crate::BuildError;
use crate::candidate;
use crate::folder::{IMAGES, MANIFEST, read_header, records};

/// How far the dataset in a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name of the spec.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its identity, see [`crate::Spec::identity`].
    pub identity: String,
    /// The model that makes it.
    pub model_id: String,
    /// Hash of its weights.
    pub model_hash: String,
    /// Images of the whole dataset.
    pub n_images: u64,
    /// Images that are there with the recorded size; a build also compares their hashes. With rules of curation, those
    /// that are kept, none before the end.
    pub n_done: u64,
    /// Candidates that were made, where there are rules of curation.
    pub n_candidates: Option<u64>,
    /// Whether the manifest is written, which is the last thing a build does.
    pub is_complete: bool,
}

/// Looks at a folder without changing or locking it.
///
/// # Errors
/// [`BuildError::Io`] where there is no dataset, [`BuildError::BadRecord`] where its header is not ours.
pub fn status(folder: &Path) -> Result<Status, BuildError> {
    let header = read_header(folder)?;
    let n_candidates = match &header.curation {
        Some(_) => Some(candidate::made(folder)?.len() as u64),
        None => None,
    };
    let done = records(folder)?.into_values().filter(|record| {
        fs::metadata(folder.join(&record.file_name)).is_ok_and(|file| file.len() == record.n_bytes)
    });
    Ok(Status {
        n_done: done.filter(|record| record.file_name.starts_with(IMAGES)).count() as u64,
        n_candidates,
        is_complete: folder.join(MANIFEST).exists(),
        name: header.name,
        version: header.version,
        identity: header.identity,
        model_id: header.model_id,
        model_hash: header.model_hash,
        n_images: header.n_images,
    })
}
