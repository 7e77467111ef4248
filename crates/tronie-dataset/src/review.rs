//! Decisions by hand: a log beside the pictures that every later build obeys.
//!
//! `review.jsonl` has one line for each decision and is only ever added to. A line names a candidate and the hash of its
//! picture, and counts as long as the picture is that one; the last line about a candidate is what holds.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tronie_base::FolderLock;

use crate::BuildError;
use crate::candidate::{Candidate, Made};
use crate::disk::{RealDisk, io_error};
use crate::folder::{CANDIDATE_LINES, REVIEW, write_bytes};
use crate::judge::Reason;
use crate::measures::Measures;

/// What a person decides about a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It fills its place, whatever the rules and the other attempts say.
    Keep,
    /// It is not kept.
    Drop {
        /// Why, for the record; may be empty.
        because: String,
    },
    /// The rules decide again.
    Undo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Keep,
    Drop,
    Undo,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    candidate: String,
    sha256: String,
    decision: Verb,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    because: String,
}

/// A candidate and what was decided about it: a line of `candidates.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Its name: place and attempt.
    pub candidate: String,
    /// Its file below the dataset's folder; absent where it was deleted.
    pub file_name: Option<String>,
    /// Name of its cell.
    pub cell: String,
    /// The prompt.
    pub text: String,
    /// The seed.
    pub seed: u64,
    /// Attribute → value that was asked for.
    pub attributes: BTreeMap<String, String>,
    /// What was measured.
    pub measures: Measures,
    /// What was decided.
    pub decision: Decision,
    /// Why it is not kept; none for the others.
    pub reasons: Vec<Reason>,
    /// Size of the file.
    pub n_bytes: u64,
    /// Hash of the file.
    pub sha256: String,
}

/// What was decided about a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It fills its place.
    Kept,
    /// It does not, for its reasons.
    Dropped,
    /// Its place is filled or given up without it; only rules of an earlier build asked for it.
    Spare,
}

/// What people have decided, as far as it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hands {
    chosen: HashMap<u64, u32>,
    dropped: HashMap<Candidate, String>,
}

impl Hands {
    /// Reads the log; lines about pictures that were never made, or are others now, do not count.
    pub(crate) fn read(folder: &Path, made: &BTreeMap<Candidate, Made>) -> Result<Self, BuildError> {
        let mut hands = Self::default();
        let path = folder.join(REVIEW);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(hands),
            file => file.map_err(|source| io_error(&path, source))?,
        };
        for text in BufReader::new(file).lines() {
            let text = text.map_err(|source| io_error(&path, source))?;
            let line: Line = serde_json::from_str(&text)
                .map_err(|source| BuildError::BadRecord { path: path.clone(), source })?;
            let candidate = Candidate::parse(&line.candidate);
            let is_there =
                |candidate: &Candidate| made.get(candidate).is_some_and(|made| made.sha256 == line.sha256);
            if let Some(candidate) = candidate.filter(is_there) {
                hands.obey(candidate, line.decision, line.because);
            }
        }
        Ok(hands)
    }

    fn obey(&mut self, candidate: Candidate, decision: Verb, because: String) {
        self.dropped.remove(&candidate);
        if self.chosen.get(&candidate.slot) == Some(&candidate.attempt) {
            self.chosen.remove(&candidate.slot);
        }
        match decision {
            Verb::Keep => _ = self.chosen.insert(candidate.slot, candidate.attempt),
            Verb::Drop => _ = self.dropped.insert(candidate, because),
            Verb::Undo => {}
        }
    }

    /// Place → the attempt that fills it.
    pub(crate) fn chosen(&self) -> &HashMap<u64, u32> {
        &self.chosen
    }

    /// Why a candidate is not to be kept; empty where nobody said why.
    pub(crate) fn dropped(&self, candidate: Candidate) -> Option<&str> {
        self.dropped.get(&candidate).map(String::as_str)
    }
}

/// What the last build has decided about every candidate, by place and attempt.
///
/// # Errors
/// [`BuildError::NotCurated`] where no build with rules has ended in the folder.
pub fn decided(folder: &Path) -> Result<Vec<Decided>, BuildError> {
    let path = folder.join(CANDIDATE_LINES);
    let file = File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BuildError::NotCurated { folder: folder.to_owned() },
        _ => io_error(&path, source),
    })?;
    let mut decided = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|source| io_error(&path, source))?;
        let line = serde_json::from_str(&line);
        decided.push(line.map_err(|source| BuildError::BadRecord { path: path.clone(), source })?);
    }
    Ok(decided)
}

/// Writes what a person decides about a picture into the log. `name` is its file, or the name of its candidate.
///
/// # Errors
/// [`BuildError::NoCandidate`] where no decision is about such a picture.
pub fn review(folder: &Path, name: &str, ruling: &Ruling) -> Result<Decided, BuildError> {
    let unknown = || BuildError::NoCandidate { folder: folder.to_owned(), found: name.to_owned() };
    let is_named = |decided: &Decided| {
        let is_file = |file: &String| Path::new(name).ends_with(file);
        decided.candidate == name || decided.file_name.as_ref().is_some_and(is_file)
    };
    let decided = decided(folder)?.into_iter().find(is_named).ok_or_else(unknown)?;
    let _lock = FolderLock::take(folder)?;
    let (decision, because) = match ruling {
        Ruling::Keep => (Verb::Keep, ""),
        Ruling::Drop { because } => (Verb::Drop, because.as_str()),
        Ruling::Undo => (Verb::Undo, ""),
    };
    let line = Line {
        candidate: decided.candidate.clone(),
        sha256: decided.sha256.clone(),
        decision,
        because: because.to_owned(),
    };
    let path = folder.join(REVIEW);
    let mut log = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        log => log.map_err(|source| io_error(&path, source))?,
    };
    // Strings always serialize.
    log.extend(serde_json::to_string(&line).unwrap_or_default().into_bytes());
    log.push(b'\n');
    write_bytes(&mut RealDisk, &path, &log)?;
    Ok(decided)
}
