//! The right to change a folder: one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::{Fault, Faulty, WriteError};

/// What is read of a holder's name, at most.
const MAX_HOLDER_BYTES: u64 = 100;

/// A folder that cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else has it.
    #[error("{} is in use by {holder}", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who has it: "process 4711".
        holder: String,
    },
    /// It cannot be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Faulty for LockError {
    fn fault(&self) -> Fault {
        match self {
            Self::Held { .. } => Fault::Busy,
            Self::Write(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Held { .. } => Some("wait for it, or choose another folder".into()),
            Self::Write(error) => error.hint(),
        }
    }
}

/// The right to change a folder, until dropped. The operating system takes it back from a process that is killed.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// The file that is locked. It stays when the lock is gone: removing it could take it from someone who has just opened
    /// it.
    pub const NAME: &str = ".lock";

    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// [`LockError`] when another process has it, or when the folder cannot be written to.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let fail = |path: &Path, source| WriteError { path: path.to_owned(), source };
        fs::create_dir_all(folder).map_err(|source| fail(folder, source))?;
        let path = folder.join(Self::NAME);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|source| fail(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Where a locked file cannot be read, the holder stays unnamed.
                let _ = file.take(MAX_HOLDER_BYTES).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                return Err(LockError::Held { folder: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(fail(&path, source).into()),
        }
        let written = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        written.map_err(|source| fail(&path, source))?;
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // The name in it only informs others; closing the file is what unlocks.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let lock = FolderLock::take(&runs).unwrap();
        let error = FolderLock::take(&runs).unwrap_err();
        assert_eq!(error.fault(), Fault::Busy);
        let holder = format!("{} is in use by process {}", runs.display(), std::process::id());
        assert_eq!(error.to_string(), holder);
        drop(lock);
        FolderLock::take(&runs).unwrap();
    }

    #[test]
    fn a_file_in_the_folders_place_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = FolderLock::take(file.path()).unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert_eq!(error.fault(), Fault::Environment);
    }
}
