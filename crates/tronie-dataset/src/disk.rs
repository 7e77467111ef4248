//! Every change a build makes on the disk, so that tests can make any of them fail.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tronie_base::{AtomicFile, WriteError};

use crate::BuildError;

/// Writes the content of a file.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

pub(crate) trait Disk {
    /// Makes `path` appear with what `fill` writes, whole or not at all.
    fn write(&mut self, path: &Path, fill: Fill<'_>) -> Result<(), BuildError>;

    /// Adds to the end of `path`, and returns when it is durable.
    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BuildError>;

    /// Removes a file; one that is not there is fine.
    fn remove(&mut self, path: &Path) -> Result<(), BuildError>;

    /// Gives a file another name on the same disk, and its folder where it is missing.
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), BuildError>;
}

pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn write(&mut self, path: &Path, fill: Fill<'_>) -> Result<(), BuildError> {
        let mut file = AtomicFile::create(path)?;
        let mut buffered = BufWriter::new(&mut file);
        let written = fill(&mut buffered).and_then(|()| buffered.flush());
        drop(buffered);
        written.map_err(|source| write_error(path, source))?;
        Ok(file.commit()?)
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        Ok(write().map_err(|source| write_error(path, source))?)
    }

    fn remove(&mut self, path: &Path) -> Result<(), BuildError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(path, source)),
            _ => Ok(()),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), BuildError> {
        let rename = || {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(from, to)
        };
        Ok(rename().map_err(|source| write_error(to, source))?)
    }
}

fn write_error(path: &Path, source: io::Error) -> WriteError {
    WriteError { path: path.to_owned(), source }
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}

/// SHA-256 of a file and its size, without holding it in memory.
pub(crate) fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    Ok((tronie_base::sha256_of_file(path)?, fs::metadata(path)?.len()))
}
