//! What a checkpoint mentions, for people who want to know before they trust it.

use std::path::Path;

use serde::Serialize;

use crate::open::{Format, OpenError, open, recognize};
use crate::pickle::{Foreign, Mentioned};
use crate::pickle_file;
use crate::source::Source;

/// The finding about one file. Nothing in the file was run to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// Whether the file can be used: it names nothing foreign and breaks no rule.
    pub safe: bool,
    /// Every Python global that its pickles mention, sorted; empty for formats without code.
    pub globals: Vec<String>,
    /// Why it is not safe, one sentence each.
    pub problems: Vec<String>,
}

/// Looks through a file of any kind. A pickle is read to its end where its form allows, so that everything it
/// mentions is listed, not only what is refused first.
///
/// # Errors
/// [`OpenError::Source`] when the file cannot be read at all; everything else is part of the report.
pub fn scan(path: &Path) -> Result<ScanReport, OpenError> {
    let source = Source::open(path)?;
    let mut mentioned = Mentioned::new(Foreign::Record);
    let mut problems = Vec::new();
    match recognize(&source, path) {
        Ok(Format::Pickle) => {
            let read = pickle_file::read(&source, &mut mentioned);
            problems.extend(read.err().map(|error| error.to_string()));
        }
        Ok(Format::Safetensors | Format::ShardIndex) => {
            problems.extend(open(path).err().map(|error| error.to_string()));
        }
        Err(OpenError::Source(error)) => return Err(error.into()),
        Err(error) => {
            problems.push(error.to_string());
            // Pickles of protocol 0 are plain text; whatever this is, what it would call is worth telling.
            let _ = pickle_file::read(&source, &mut mentioned);
        }
    }
    let refused = mentioned.refused.iter();
    problems
        .extend(refused.map(|name| format!("the global \"{name}\" is not one that checkpoints consist of")));
    Ok(ScanReport { safe: problems.is_empty(), globals: mentioned.all.into_iter().collect(), problems })
}
