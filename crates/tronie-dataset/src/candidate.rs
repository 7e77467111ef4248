//! Candidates: the attempts to fill the places of a dataset, their names and where their files lie.
//!
//! A candidate is born as `candidates/000005-1.png` (place 5, attempt 1). When everything is decided it lies under
//! `images/000005.png` where it is kept and under `rejected/000005-1.png` where it is not. A file is whose hash it has, so
//! that moves cut short by a crash lose nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::disk::{hash_file, io_error};
use crate::folder::{CANDIDATE_LINES, METADATA, journals};
use crate::{BuildError, Spec};

/// Folder of candidates that are not yet decided.
pub(crate) const CANDIDATES: &str = "candidates";
/// Folder of candidates that are not kept.
pub(crate) const REJECTED: &str = "rejected";

/// One attempt to fill one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Candidate {
    /// The place, which is the index of an item.
    pub(crate) slot: u64,
    /// The attempt, from 0.
    pub(crate) attempt: u32,
}

/// A candidate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) n_bytes: u64,
    pub(crate) sha256: String,
}

impl Candidate {
    /// `000005-1`.
    pub(crate) fn name(self, spec: &Spec) -> String {
        format!("{}-{}", spec.number(self.slot), self.attempt)
    }

    pub(crate) fn born(self, spec: &Spec) -> String {
        format!("{CANDIDATES}/{}.{}", self.name(spec), spec.format().extension())
    }

    pub(crate) fn rejected(self, spec: &Spec) -> String {
        format!("{REJECTED}/{}.{}", self.name(spec), spec.format().extension())
    }

    /// The candidate of a name, with or without folder and extension. A name without attempt is attempt 0.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let stem = Path::new(name).file_stem()?.to_str()?;
        match stem.split_once('-') {
            Some((slot, attempt)) => Some(Self { slot: slot.parse().ok()?, attempt: attempt.parse().ok()? }),
            None => Some(Self { slot: stem.parse().ok()?, attempt: 0 }),
        }
    }

    /// The file of a candidate, wherever it lies whole.
    pub(crate) fn find(self, spec: &Spec, folder: &Path, made: &Made) -> Option<PathBuf> {
        let names = [self.born(spec), self.rejected(spec), spec.file_name(self.slot)];
        let is_whole = |path: &PathBuf| {
            // A file of another size is not worth reading.
            path.metadata().is_ok_and(|file| file.len() == made.n_bytes)
                && hash_file(path).is_ok_and(|(hash, _)| hash == made.sha256)
        };
        names.into_iter().map(|name| folder.join(name)).find(is_whole)
    }
}

/// What lines of journals, `candidates.jsonl` and `metadata.jsonl` have in common.
#[derive(Deserialize)]
struct Line {
    candidate: Option<String>,
    file_name: Option<String>,
    attempt: Option<u32>,
    n_bytes: u64,
    sha256: String,
}

/// Every candidate that a folder has a line of. Pictures of a build without curation are first attempts.
pub(crate) fn made(folder: &Path) -> Result<BTreeMap<Candidate, Made>, BuildError> {
    let mut found = BTreeMap::new();
    let mut sources = vec![folder.join(METADATA), folder.join(CANDIDATE_LINES)];
    sources.extend(journals(folder)?);
    for path in sources {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(|source| io_error(&path, source))?,
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|source| io_error(&path, source))?;
            // Lines cut short by a power failure are left out: their pictures are made again.
            let Ok(line) = serde_json::from_slice::<Line>(&line) else { continue };
            let name = line.candidate.or(line.file_name).unwrap_or_default();
            if let Some(candidate) = Candidate::parse(&name) {
                let candidate = Candidate { attempt: line.attempt.unwrap_or(candidate.attempt), ..candidate };
                found.insert(candidate, Made { n_bytes: line.n_bytes, sha256: line.sha256 });
            }
        }
    }
    Ok(found)
}
