//! Bytes at an offset, from a file or from memory.
//!
//! Files are read with positioned reads and never mapped: a file that somebody cuts while it is open is then an
//! error, not a SIGBUS that ends the program.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tronie_base::{Fault, Faulty};

/// Bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file could not be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The bytes asked for are not there (any more).
    #[error("{file} is cut: {expected} bytes expected, {found} found")]
    Cut {
        /// Which file.
        file: String,
        /// Least size, in bytes, that holds what was asked for.
        expected: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// No memory for the bytes asked for.
    #[error("no memory for {n_bytes} bytes of {file}")]
    Memory {
        /// Which file.
        file: String,
        /// How many bytes were asked for.
        n_bytes: u64,
    },
}

impl Faulty for SourceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open { .. } | Self::Read { .. } | Self::Memory { .. } => Fault::Environment,
            Self::Cut { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    Some("check the path; tronie models list shows what is there".into())
                }
                io::ErrorKind::PermissionDenied => Some("make the file readable for this user".into()),
                _ => None,
            },
            Self::Read { .. } => None,
            Self::Cut { .. } => {
                Some("the download did not finish, or the file was changed; fetch it again".into())
            }
            Self::Memory { .. } => Some("close other programs, or use the f16 file".into()),
        }
    }
}

/// Bytes that can be read at any offset, by several threads at once.
pub(crate) struct Source {
    name: String,
    len: u64,
    bytes: Bytes,
}

enum Bytes {
    File(File),
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}, {} bytes)", self.name, self.len)
    }
}

impl Source {
    /// Opens a regular file; anything else (folder, pipe, device) is an error.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        let fail = |source| SourceError::Open {
            path: path.to_owned(),
            source,
        };
        // Asked before opening, because opening a pipe waits for its writer.
        if !fs::metadata(path).map_err(fail)?.is_file() {
            return Err(fail(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            )));
        }
        let file = File::open(path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        Ok(Self {
            name: path.display().to_string(),
            len,
            bytes: Bytes::File(file),
        })
    }

    /// Bytes that are already in memory; nothing is copied.
    pub(crate) fn memory(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self {
            name: "the file in memory".into(),
            len: bytes.as_ref().len() as u64,
            bytes: Bytes::Memory(Box::new(bytes)),
        }
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Size in bytes when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// `n_bytes` bytes from `offset` on. Nothing is allocated for bytes the file never had.
    pub(crate) fn read(&self, offset: u64, n_bytes: u64) -> Result<Vec<u8>, SourceError> {
        let end = offset.saturating_add(n_bytes);
        self.expect_len_at_least(end)?;
        let no_memory = || SourceError::Memory {
            file: self.name.clone(),
            n_bytes,
        };
        let n = usize::try_from(n_bytes).map_err(|_| no_memory())?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(n).map_err(|_| no_memory())?;
        buffer.resize(n, 0);
        self.read_into(offset, &mut buffer)?;
        Ok(buffer)
    }

    /// Fails when the file had fewer bytes than that when it was opened.
    pub(crate) fn expect_len_at_least(&self, end: u64) -> Result<(), SourceError> {
        if end > self.len {
            return Err(self.cut(end, self.len));
        }
        Ok(())
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn read_into(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let end = offset.saturating_add(buffer.len() as u64);
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let all = bytes.as_ref().as_ref();
                let start = usize::try_from(offset).ok();
                let found = start.and_then(|start| all.get(start..start.checked_add(buffer.len())?));
                let found = found.ok_or_else(|| self.cut(end, all.len() as u64))?;
                buffer.copy_from_slice(found);
                Ok(())
            }
            Bytes::File(file) => read_exact_at(file, buffer, offset).map_err(|source| {
                if source.kind() == io::ErrorKind::UnexpectedEof {
                    return self.cut(end, file.metadata().map_or(0, |now| now.len()));
                }
                SourceError::Read {
                    file: self.name.clone(),
                    source,
                }
            }),
        }
    }

    fn cut(&self, expected: u64, found: u64) -> SourceError {
        SourceError::Cut {
            file: self.name.clone(),
            expected,
            found,
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buffer = std::mem::take(&mut buffer).get_mut(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A name from a foreign file, made fit for a message: control characters escaped, at most 120 characters.
pub(crate) fn shown(name: &str) -> String {
    const MOST: usize = 120;
    let mut text: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
}
