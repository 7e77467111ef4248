//! The folder of a dataset: its names, what is finished in it.
//!
//! | file | written | says |
//! |---|---|---|
//! | `spec.toml`, `dataset.json` | first | the spec as it was given; its identity and the model |
//! | `images/000000.png` ... | as they are made | |
//! | `candidates/000000-0.png` ... | as they are made, with curation | moved to `images` or `rejected` at the end |
//! | `annotations/*.jsonl` | as pictures are looked at, with curation | what the annotators said, by hash of the picture |
//! | `review.jsonl` | by hand | decisions of people, which builds obey |
//! | `journal*.jsonl` | one line after each image, removed at the end | name, size and hash of finished images |
//! | `metadata.jsonl` | at the end | one line per image, `file_name` first, as Hugging Face's imagefolder wants it |
//! | `candidates.jsonl`, `rejected/000000-0.png` ... | at the end, with curation | one line per candidate, what was decided and why; those not kept |
//! | `contact_sheet.png`, `summary.json`, `summary.md` | at the end | what is in it |
//! | `manifest.sha256` | last | hashes of all the others, for `sha256sum -c`; where it is, the dataset is complete |
//! | `.lock` | always | empty, or the process that is building |

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tronie_base::{FolderLock, TEMPORARY};

use crate::annotations::ANNOTATIONS;
use crate::candidate::{CANDIDATES, Candidate, REJECTED};
use crate::disk::{Disk, io_error};
use crate::{BuildError, Spec, canonical};

pub(crate) const IMAGES: &str = "images";
pub(crate) const SPEC: &str = "spec.toml";
pub(crate) const DATASET: &str = "dataset.json";
pub(crate) const METADATA: &str = "metadata.jsonl";
pub(crate) const CANDIDATE_LINES: &str = "candidates.jsonl";
pub(crate) const REVIEW: &str = "review.jsonl";
pub(crate) const CONTACT_SHEET: &str = "contact_sheet.png";
pub(crate) const SUMMARY_JSON: &str = "summary.json";
pub(crate) const SUMMARY_MD: &str = "summary.md";
pub(crate) const MANIFEST: &str = "manifest.sha256";

/// `dataset.json`: what a folder was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) identity: String,
    pub(crate) model_id: String,
    pub(crate) model_hash: String,
    pub(crate) n_images: u64,
    /// Hash of the rules of curation, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) curation: Option<String>,
}

/// A finished image. Lines of the journal hold nothing else, those of `metadata.jsonl` more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) file_name: String,
    pub(crate) n_bytes: u64,
    pub(crate) sha256: String,
}

impl Record {
    pub(crate) fn line(&self) -> String {
        // Strings and numbers always serialize.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// What must hold before a folder is touched.
pub(crate) struct Claim<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) header: &'a Header,
    /// Start over where the folder belongs to another spec or model.
    pub(crate) force: bool,
}

/// Makes the folder this spec's: checks what is there, and writes `spec.toml` and `dataset.json`.
pub(crate) fn claim(folder: &Path, claim: &Claim<'_>, disk: &mut dyn Disk) -> Result<(), BuildError> {
    remove_temporary(folder, disk)?;
    for below in [IMAGES, CANDIDATES, REJECTED, ANNOTATIONS] {
        remove_temporary(&folder.join(below), disk)?;
    }
    let path = folder.join(DATASET);
    if path.exists() {
        let belongs = read_header(folder).and_then(|found| check_header(folder, &found, claim));
        match belongs {
            Err(_) if claim.force => clear(folder, disk)?,
            other => other?,
        }
    }
    if read_header(folder).is_ok_and(|found| found != *claim.header) {
        // Other rules: until they are applied the folder is not complete.
        disk.remove(&folder.join(MANIFEST))?;
    }
    write_bytes(disk, &folder.join(SPEC), claim.spec.text().as_bytes())?;
    let header = serde_json::to_string_pretty(claim.header).unwrap_or_default() + "\n";
    write_bytes(disk, &path, header.as_bytes())
}

/// What is different between a spec's rules and those that the folder was built by last.
pub(crate) fn changed_rules(folder: &Path, spec: &Spec) -> Vec<String> {
    let old = fs::read_to_string(folder.join(SPEC)).ok().and_then(|text| Spec::parse(&text).ok());
    let rules = old.as_ref().and_then(Spec::curation).zip(spec.curation());
    rules.map_or_else(Vec::new, |(old, new)| canonical::changes(&old.meaning, &new.meaning))
}

pub(crate) fn read_header(folder: &Path) -> Result<Header, BuildError> {
    let path = folder.join(DATASET);
    let text = fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
    serde_json::from_str(&text).map_err(|source| BuildError::BadRecord { path, source })
}

fn check_header(folder: &Path, found: &Header, claim: &Claim<'_>) -> Result<(), BuildError> {
    if found.identity != claim.header.identity {
        let old = fs::read_to_string(folder.join(SPEC))
            .ok()
            .and_then(|text| Spec::parse(&text).ok())
            .filter(|old| old.identity() == found.identity);
        return Err(BuildError::AnotherSpec {
            folder: folder.to_owned(),
            changes: match old {
                Some(old) => canonical::changes(&old.meaning, &claim.spec.meaning),
                None => vec![format!("{} version {}, which cannot be read", found.name, found.version)],
            },
        });
    }
    if found.curation.is_some() && claim.header.curation.is_none() {
        // Its pictures are not all first attempts, which are what a spec without rules means.
        let changes = vec!["the rules of curation are gone".to_owned()];
        return Err(BuildError::AnotherSpec { folder: folder.to_owned(), changes });
    }
    let model = |header: &Header| format!("{} ({})", header.model_id, header.model_hash);
    if model(found) != model(claim.header) {
        return Err(BuildError::AnotherModel {
            folder: folder.to_owned(),
            found: model(found),
            expected: model(claim.header),
        });
    }
    Ok(())
}

/// Fails for a folder without dataset but with files that no build has left there. Asked before the lock is taken:
/// nothing is to appear in such a folder, not even a lock.
pub(crate) fn check_free(folder: &Path, spec: &Spec) -> Result<(), BuildError> {
    if folder.join(DATASET).exists() {
        return Ok(());
    }
    for name in names(folder)? {
        let is_our_spec =
            name == SPEC && fs::read_to_string(folder.join(SPEC)).is_ok_and(|text| text == spec.text());
        if name != FolderLock::NAME && !name.starts_with(TEMPORARY) && !is_our_spec {
            return Err(BuildError::NotADataset { folder: folder.to_owned(), example: name });
        }
    }
    Ok(())
}

/// Removes what a build has written, and nothing else; the header last, so that a killed start-over goes on.
fn clear(folder: &Path, disk: &mut dyn Disk) -> Result<(), BuildError> {
    disk.remove(&folder.join(MANIFEST))?;
    for below in [IMAGES, CANDIDATES, REJECTED].map(|name| folder.join(name)) {
        for name in names(&below)?.into_iter().filter(|name| Candidate::parse(name).is_some()) {
            disk.remove(&below.join(name))?;
        }
    }
    let annotations = folder.join(ANNOTATIONS);
    for name in names(&annotations)?.into_iter().filter(|name| name.ends_with(".jsonl")) {
        disk.remove(&annotations.join(name))?;
    }
    for journal in journals(folder)? {
        disk.remove(&journal)?;
    }
    for name in [METADATA, CANDIDATE_LINES, CONTACT_SHEET, SUMMARY_JSON, SUMMARY_MD] {
        disk.remove(&folder.join(name))?;
    }
    Ok(())
}

fn remove_temporary(folder: &Path, disk: &mut dyn Disk) -> Result<(), BuildError> {
    for name in names(folder)?.into_iter().filter(|name| name.starts_with(TEMPORARY)) {
        disk.remove(&folder.join(name))?;
    }
    Ok(())
}

/// Sorted names in a folder; none where there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, BuildError> {
    let list = || -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = list().map_err(|source| io_error(folder, source))?;
    names.sort();
    Ok(names)
}

/// All journals: one build's, and those of shards that were copied here.
pub(crate) fn journals(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let is_journal = |name: &String| name.starts_with("journal") && name.ends_with(".jsonl");
    Ok(names(folder)?.into_iter().filter(is_journal).map(|name| folder.join(name)).collect())
}

/// What journals and `metadata.jsonl` say is finished, by file name. Lines cut short by a power failure are left
/// out: their images are made again.
pub(crate) fn records(folder: &Path) -> Result<HashMap<String, Record>, BuildError> {
    let mut found = HashMap::new();
    let mut sources = vec![folder.join(METADATA)];
    sources.extend(journals(folder)?);
    for path in sources {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(|source| io_error(&path, source))?,
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|source| io_error(&path, source))?;
            if let Ok(record) = serde_json::from_slice::<Record>(&line) {
                found.insert(record.file_name.clone(), record);
            }
        }
    }
    Ok(found)
}

pub(crate) fn write_bytes(disk: &mut dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    disk.write(path, &mut |file| file.write_all(bytes))
}
