//! A folder that is there whole or not at all.
//!
//! Files are written into a hidden, locked folder beside the final one, each made durable, then the whole is renamed. A
//! killed export leaves the hidden folder, which the next export to the same place clears.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tronie_base::{FolderLock, TEMPORARY, WriteError};

use super::{ExportError, Exported};
use crate::folder::MANIFEST;

/// What says that a folder is an export.
const RECORD: &str = "export.json";

pub(super) struct Staging {
    out: PathBuf,
    /// The hidden folder; `new` and `old` are in it.
    hidden: PathBuf,
    _lock: FolderLock,
    /// Name → hash and size of what was written.
    files: BTreeMap<String, (String, u64)>,
    pub(super) n_left_out: usize,
    n_pictures: usize,
    is_published: bool,
}

impl Staging {
    pub(super) fn begin(out: &Path, source: &Path, force: bool) -> Result<Self, ExportError> {
        check_apart(out, source)?;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let hidden = out.with_file_name(format!("{TEMPORARY}{name}-export"));
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|source| write_error(parent, source))?;
        }
        let lock = FolderLock::take(&hidden)?;
        let old = hidden.join("old");
        if old.exists() && !out.exists() {
            // A replacement was killed between its two renames.
            fs::rename(&old, out).map_err(|source| write_error(out, source))?;
        }
        let staging = Self {
            out: out.to_owned(),
            hidden,
            _lock: lock,
            files: BTreeMap::new(),
            n_left_out: 0,
            n_pictures: 0,
            is_published: false,
        };
        check_free(out, force)?;
        for leftover in [old, staging.root()] {
            remove(&leftover)?;
        }
        fs::create_dir(staging.root()).map_err(|source| write_error(out, source))?;
        Ok(staging)
    }

    fn root(&self) -> PathBuf {
        self.hidden.join("new")
    }

    /// Counts a picture of which something was written.
    pub(super) fn count_picture(&mut self) {
        self.n_pictures += 1;
    }

    /// Writes one whole file; `name` is below the folder, with `/`.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let mut file = self.create(name)?;
        file.write_all(bytes).map_err(|source| self.fail(name, source))?;
        self.close(file)
    }

    /// Begins a file that is written piece by piece.
    pub(super) fn create(&self, name: &str) -> Result<Staged, ExportError> {
        let path = self.root().join(name);
        let open = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create_new(&path)
        };
        let file = open().map_err(|source| self.fail(name, source))?;
        Ok(Staged { name: name.to_owned(), file: BufWriter::new(file), hasher: Sha256::new(), n_bytes: 0 })
    }

    /// Makes a file durable.
    pub(super) fn close(&mut self, mut staged: Staged) -> Result<(), ExportError> {
        let durable = staged.file.flush().and_then(|()| staged.file.get_ref().sync_all());
        durable.map_err(|source| self.fail(&staged.name, source))?;
        let hash = tronie_base::hex(&staged.hasher.finalize());
        self.files.insert(staged.name, (hash, staged.n_bytes));
        Ok(())
    }

    /// The hash of a file that was closed.
    pub(super) fn sha256(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(|(hash, _)| hash.as_str())
    }

    /// An error of writing the file `name`.
    pub(super) fn fail(&self, name: &str, source: io::Error) -> ExportError {
        write_error(&self.out.join(name), source)
    }

    /// Writes what says that this is an export, and the hashes of all files; then the folder appears.
    pub(super) fn publish(mut self, record: &Value) -> Result<Exported, ExportError> {
        self.write(RECORD, format!("{record:#}\n").as_bytes())?;
        let lines = self.files.iter().map(|(name, (hash, _))| format!("{hash}  {name}\n"));
        let manifest: String = lines.collect();
        self.write(MANIFEST, manifest.as_bytes())?;
        let (new, old, out) = (self.root(), self.hidden.join("old"), self.out.clone());
        let rename = || {
            if out.exists() {
                fs::rename(&out, &old)?;
            }
            fs::rename(&new, &out)?;
            match out.parent() {
                Some(parent) if cfg!(unix) && !parent.as_os_str().is_empty() => {
                    File::open(parent)?.sync_all()
                }
                _ => Ok(()),
            }
        };
        rename().map_err(|source| write_error(&out, source))?;
        self.is_published = true;
        Ok(Exported {
            n_pictures: self.n_pictures,
            n_left_out: self.n_left_out,
            n_files: self.files.len(),
            n_bytes: self.files.values().map(|(_, n_bytes)| n_bytes).sum(),
        })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An old export whose place nothing has taken stays for the next run to put back.
        let old = self.hidden.join("old");
        if self.is_published || !old.exists() {
            // What cannot be removed now is removed by the next export to this place.
            let _ = fs::remove_dir_all(&self.hidden);
        }
    }
}

/// A file under construction.
pub(super) struct Staged {
    name: String,
    file: BufWriter<File>,
    hasher: Sha256,
    n_bytes: u64,
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..n).unwrap_or_default());
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn check_apart(out: &Path, source: &Path) -> Result<(), ExportError> {
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.canonicalize().unwrap_or(path)
    };
    let (inner, outer) = (absolute(out), absolute(source));
    if inner.starts_with(&outer) || outer.starts_with(&inner) {
        return Err(ExportError::Inside { out: out.to_owned(), folder: source.to_owned() });
    }
    Ok(())
}

/// Nothing is there, or an empty folder, or with `force` an earlier export.
fn check_free(out: &Path, force: bool) -> Result<(), ExportError> {
    let is_free = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    match (is_free, force) {
        (true, _) => Ok(()),
        (false, false) => Err(ExportError::Exists { out: out.to_owned() }),
        (false, true) if out.join(RECORD).is_file() => Ok(()),
        (false, true) => Err(ExportError::NotAnExport { out: out.to_owned() }),
    }
}

fn remove(folder: &Path) -> Result<(), ExportError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(write_error(folder, source)),
        _ => Ok(()),
    }
}

fn write_error(path: &Path, source: io::Error) -> ExportError {
    WriteError { path: path.to_owned(), source }.into()
}
