//! Files that are there whole or not at all: write a temporary sibling, fsync, rename, fsync the folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Fault, Faulty};

/// A file could not be written; nothing is left under its final name.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The final name.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl Faulty for WriteError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }

    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull => {
                Some("free some disk space, then run the same command again".into())
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory => Some("choose a folder you may write to".into()),
            _ => None,
        }
    }
}

/// How the names of unfinished files and folders begin. Where only one process writes, those it finds are of one that was
/// killed, and may go.
pub const TEMPORARY: &str = ".tmp-";

/// A hidden name beside `path` that nobody else is given: neither another process nor another call in this one.
#[must_use]
pub fn temporary_sibling(path: &Path) -> PathBuf {
    // Not state that anything computed depends on: the name is gone when the content is there.
    static N_GIVEN: AtomicU64 = AtomicU64::new(0);
    let n = N_GIVEN.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(TEMPORARY);
    name.push(path.file_name().unwrap_or_default());
    name.push(format!("-{}-{n}", std::process::id()));
    path.with_file_name(name)
}

/// A file under construction. Dropped without [`AtomicFile::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    final_path: PathBuf,
    temp_path: PathBuf,
    file: Option<File>,
}

impl AtomicFile {
    /// Starts writing what will become `path`; missing parent folders are made.
    ///
    /// # Errors
    /// [`WriteError`] when the folder or the temporary file cannot be made.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let fail = |source| WriteError { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        let temp_path = temporary_sibling(path);
        let file = File::create(&temp_path).map_err(fail)?;
        Ok(Self { final_path: path.to_owned(), temp_path, file: Some(file) })
    }

    /// Makes the content durable and visible under its final name, replacing what was there.
    ///
    /// # Errors
    /// [`WriteError`]; the final name then still shows what it showed before.
    pub fn commit(mut self) -> Result<(), WriteError> {
        let result = self.publish();
        result.map_err(|source| WriteError { path: self.final_path.clone(), source })
    }

    fn publish(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        fs::rename(&self.temp_path, &self.final_path)?;
        match self.final_path.parent() {
            // Only Unix can sync a folder; elsewhere the rename alone has to do.
            Some(parent) if cfg!(unix) && !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Err(io::ErrorKind::NotConnected.into()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit there is nothing under this name; a failure here has nobody left to tell.
        let _ = fs::remove_file(&self.temp_path);
    }
}

/// Writes `bytes` to `path` so that a reader, or a machine that loses power, sees all of them or none.
///
/// # Errors
/// [`WriteError`]; the final name then still shows what it showed before.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| WriteError { path: path.to_owned(), source })?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_committed_file_is_the_only_thing_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/a.bin");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(path.parent().unwrap()), ["a.bin"]);
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half of the new").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn threads_that_write_one_path_leave_one_of_their_contents_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let contents = [vec![b'a'; 100_000], vec![b'b'; 70_000]];
        for _ in 0..20 {
            std::thread::scope(|scope| {
                for content in &contents {
                    scope.spawn(|| write_atomic(&path, content).unwrap());
                }
            });
            assert!(contents.contains(&fs::read(&path).unwrap()));
            assert_eq!(names(folder.path()), ["a.bin"]);
        }
    }
}
