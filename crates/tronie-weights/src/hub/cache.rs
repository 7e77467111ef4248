//! The cache's folders: <https://huggingface.co/docs/hub/local-cache>.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tronie_base::{AtomicFile, Progress};

use super::listing::{Identity, RemoteFile};
use super::names::{Revision, is_commit};
use super::{HubError, RepoId};

/// One repository's share of the cache.
pub(super) struct RepoCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, repo: &RepoId) -> Self {
        Self { root: cache.join(repo.folder()), locks: cache.join(".locks").join(repo.folder()) }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    pub(super) fn reference(&self, revision: &Revision) -> PathBuf {
        self.root.join("refs").join(revision.as_str())
    }

    pub(super) fn blob(&self, name: &str) -> PathBuf {
        self.root.join("blobs").join(name)
    }

    /// The folder of a revision, if there is one.
    pub(super) fn find(&self, revision: &Revision) -> Option<PathBuf> {
        let commit = if is_commit(revision.as_str()) {
            revision.as_str().to_owned()
        } else {
            fs::read_to_string(self.reference(revision)).ok()?.trim().to_owned()
        };
        // Somebody else may have written the reference.
        let folder = self.snapshot(Some(commit.as_str()).filter(|commit| is_commit(commit))?);
        folder.is_dir().then_some(folder)
    }

    /// Whether a file is there in full, as far as its size tells.
    pub(super) fn has(&self, commit: &str, file: &RemoteFile) -> bool {
        // This follows the link, which may lead to nothing.
        let found = fs::metadata(self.snapshot(commit).join(&file.path));
        found.is_ok_and(|found| found.is_file() && file.size.is_none_or(|size| size == found.len()))
    }

    /// Waits until no other process works on this blob.
    pub(super) fn lock(&self, blob: &str, progress: &mut dyn Progress) -> Result<File, HubError> {
        const PAUSE: Duration = Duration::from_millis(100);
        let path = self.locks.join(format!("{blob}.lock"));
        let fail = |source| HubError::Cache { path: path.clone(), source };
        fs::create_dir_all(&self.locks).map_err(fail)?;
        let file = File::options().create(true).append(true).open(&path).map_err(fail)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        progress.note("another process is fetching the same file; waiting for it");
                    }
                    progress.check()?;
                    std::thread::sleep(PAUSE);
                }
                // A file system that knows no locks: fetching twice is better than not at all.
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
    }

    /// Shows a blob under its path in a snapshot: as a link, or as a copy where links cannot be made.
    pub(super) fn publish(&self, commit: &str, path: &str, blob: &Path) -> Result<(), HubError> {
        let shown_at = self.snapshot(commit).join(path);
        let fail = |source| HubError::Cache { path: shown_at.clone(), source };
        if let Some(folder) = shown_at.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        let name = blob.file_name().unwrap_or_default();
        let ups = "../".repeat(2 + path.split('/').count() - 1);
        let target = Path::new(&ups).join("blobs").join(name);
        let temporary = shown_at.with_file_name(format!(".tmp-link-{}", std::process::id()));
        let _ = fs::remove_file(&temporary); // of a process that was killed
        if link(&target, &temporary).is_ok() {
            return fs::rename(&temporary, &shown_at).map_err(fail);
        }
        let mut copy = AtomicFile::create(&shown_at)?;
        let mut original = File::open(blob).map_err(fail)?;
        io::copy(&mut original, &mut copy).map_err(fail)?;
        Ok(copy.commit()?)
    }
}

/// The name a file's blob has, or would have if its hash were known.
pub(super) fn blob_name(identity: &Identity) -> Option<&str> {
    match identity {
        Identity::Sha256(hash) | Identity::GitBlob(hash) => Some(hash),
        Identity::Unknown => None,
    }
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, at)
}

/// The paths of all files below a snapshot, with `/` between names.
pub(super) fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match fs::metadata(entry.path()) {
                Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{path}/"), found),
                Ok(_) => found.push(path),
                Err(_) => {} // a link to a blob that was removed
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}
