//! Checkpoints of PyTorch 1.6 and later: a zip file with one pickle and one entry for each storage.
//!
//! `<folder>/data.pkl`, `<folder>/data/<key>`, and a few notes about the format, all in one folder.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::cursor::Cursor;
use super::machine::{Interpreted, Mentioned, interpret};
use super::storage::{StorageRef, StoredRange};
use super::zip::{self, ArchiveError, Crc, EntryProblem, ZipEntry};
use crate::pickle_file::PickleFileError;
use crate::source::{Source, shown};

const PICKLE: &str = "data.pkl";
const BYTE_ORDER: &str = "byteorder";

/// An archive whose every entry is one that PyTorch writes.
#[derive(Debug)]
pub(crate) struct Archive {
    /// By name inside the folder.
    entries: BTreeMap<String, ZipEntry>,
}

impl Archive {
    /// Reads the directory and checks everything but the storages' checksums, which is done when they are read.
    pub(crate) fn open(source: &Source) -> Result<Self, PickleFileError> {
        let mut entries = BTreeMap::new();
        let mut first_folder = None;
        for entry in zip::entries(source)? {
            let refused = |problem| ArchiveError::Entry { entry: shown(&entry.name), problem };
            let (folder, name) = parts(&entry.name).ok_or_else(|| refused(EntryProblem::Name))?;
            if first_folder.get_or_insert_with(|| folder.to_owned()) != folder {
                return Err(refused(EntryProblem::Name).into());
            }
            if !is_storage(name) {
                let found =
                    Crc::of_range(source, entry.start, entry.n_bytes).map_err(ArchiveError::Source)?;
                found.expect(entry.crc32, &entry.name)?;
            }
            let name = name.to_owned();
            entries.insert(name, entry);
        }
        let archive = Self { entries };
        archive.check_byte_order(source)?;
        Ok(archive)
    }

    /// Reads the pickle.
    pub(crate) fn interpret(
        &self,
        source: &Source,
        mentioned: &mut Mentioned,
    ) -> Result<Interpreted, PickleFileError> {
        let entry = self
            .entries
            .get(PICKLE)
            .ok_or_else(|| ArchiveError::Missing { file: source.name().to_owned(), entry: PICKLE })?;
        let mut cursor = Cursor::new(source, entry.start, entry.start.saturating_add(entry.n_bytes));
        let interpreted = interpret(&mut cursor, mentioned)?;
        cursor.expect_end()?;
        Ok(interpreted)
    }

    /// Finds the entries of all storages; each must have exactly the size that the pickle says.
    pub(crate) fn locate(&self, storages: &[StorageRef]) -> Result<Vec<StoredRange>, PickleFileError> {
        let located = storages.iter().map(|storage| {
            let entry = self.entries.get(&format!("data/{}", storage.key));
            let entry =
                entry.ok_or_else(|| PickleFileError::StorageMissing { storage: shown(&storage.key) })?;
            if storage.n_bytes() != Some(entry.n_bytes) {
                return Err(PickleFileError::StorageSize {
                    storage: shown(&storage.key),
                    dtype: storage.dtype,
                    expected: storage.n_elements,
                    found_bytes: entry.n_bytes,
                });
            }
            Ok(StoredRange {
                start: entry.start,
                n_bytes: entry.n_bytes,
                check: Some((entry.name.clone(), entry.crc32)),
                is_verified: AtomicBool::new(false),
            })
        });
        located.collect()
    }

    /// Files from before 2.1 do not say; they are little-endian in practice.
    fn check_byte_order(&self, source: &Source) -> Result<(), PickleFileError> {
        const LITTLE: &[u8] = b"little";
        let Some(entry) = self.entries.get(BYTE_ORDER) else {
            return Ok(());
        };
        let found = source.read(entry.start, entry.n_bytes.min(LITTLE.len() as u64 + 1))?;
        if found != LITTLE {
            return Err(PickleFileError::ByteOrder { found: shown(&String::from_utf8_lossy(&found)) });
        }
        Ok(())
    }
}

/// Folder and name of an entry; `None` where PyTorch gives no such name.
fn parts(name: &str) -> Option<(&str, &str)> {
    let (folder, name) = name.split_once('/')?;
    let is_folder =
        !matches!(folder, "" | "." | "..") && !folder.contains(|c: char| c == '\\' || c.is_control());
    let is_note = matches!(
        name,
        PICKLE | BYTE_ORDER | "version" | ".format_version" | ".storage_alignment" | ".data/serialization_id"
    );
    (is_folder && (is_note || is_storage(name))).then_some((folder, name))
}

/// Whether an entry holds a storage: `data/` and a number.
fn is_storage(name: &str) -> bool {
    let key = name.strip_prefix("data/");
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()))
}
