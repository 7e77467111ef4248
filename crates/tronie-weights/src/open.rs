//! Opening a checkpoint by what is in it; what the file is called decides nothing.

use std::path::{Path, PathBuf};

use tronie_base::{Fault, Faulty};

use crate::TensorFile;
use crate::pickle_file::{PickleFile, PickleFileError};
use crate::safetensors_file::{SafetensorsError, SafetensorsFile};
use crate::sharded_file::{ShardedError, ShardedFile};
use crate::source::{Source, SourceError};

/// A file that is not a checkpoint, or a broken one.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A broken safetensors file.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A broken or incomplete sharded checkpoint.
    #[error(transparent)]
    Sharded(#[from] ShardedError),
    /// A PyTorch checkpoint that is broken or was refused.
    #[error(transparent)]
    Pickle(#[from] PickleFileError),
    /// Something else.
    #[error("{} is {found}, expected a safetensors file or a PyTorch checkpoint", path.display())]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
}

impl Faulty for OpenError {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::Safetensors(error) => error.fault(),
            Self::Sharded(error) => error.fault(),
            Self::Pickle(error) => error.fault(),
            Self::Unknown { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Safetensors(error) => error.hint(),
            Self::Sharded(error) => error.hint(),
            Self::Pickle(error) => error.hint(),
            Self::Unknown { hint, .. } => Some((*hint).to_owned()),
        }
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Safetensors,
    ShardIndex,
    Pickle,
}

/// Opens a checkpoint of any supported format: safetensors, the index of a sharded one, or PyTorch's (both kinds).
///
/// # Errors
/// [`OpenError`]: it cannot be read, is none of these, or breaks a rule of its format.
pub fn open(path: &Path) -> Result<Box<dyn TensorFile>, OpenError> {
    let source = Source::open(path)?;
    Ok(match recognize(&source, path)? {
        Format::Safetensors => Box::new(SafetensorsFile::from_source(source)?),
        Format::ShardIndex => Box::new(ShardedFile::open(path)?),
        Format::Pickle => Box::new(PickleFile::from_source(source)?),
    })
}

/// Beginnings of files that people hand in by mistake: (offset, bytes, what it is, what to do).
const STRANGERS: [(usize, &[u8], &str, &str); 12] = [
    (0, b"version https://git-lfs", "a Git LFS pointer", "run git lfs pull in the folder it comes from"),
    (
        0,
        b"GGUF",
        "a GGUF file",
        "quantised checkpoints are not supported; use the f16 or f32 safetensors file",
    ),
    (0, b"<!", "a web page", "the download got an error or login page; fetch the file itself"),
    (0, b"<html", "a web page", "the download got an error or login page; fetch the file itself"),
    (0, b"\x1f\x8b", "gzip", "unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard", "unpack it first"),
    (257, b"ustar", "a tar archive", "unpack it first"),
    (0, b"\x89HDF", "an HDF5 file", "use the safetensors file of this model"),
    (0, b"\x89PNG", "a PNG image", "images are read by the image commands"),
    (0, b"\xff\xd8\xff", "a JPEG image", "images are read by the image commands"),
];

/// Tells a file's format from its first bytes.
pub(crate) fn recognize(source: &Source, path: &Path) -> Result<Format, OpenError> {
    const HEAD_BYTES: u64 = 512;
    let head = source.read(0, source.len().min(HEAD_BYTES))?;
    // The eight bytes before a safetensors header are its length; a zip file has a small number in place of the brace.
    if head.get(8) == Some(&b'{') {
        return Ok(Format::Safetensors);
    }
    if head.starts_with(b"PK\x03\x04") || head.first() == Some(&0x80) {
        return Ok(Format::Pickle);
    }
    if head.trim_ascii_start().first() == Some(&b'{') {
        return Ok(Format::ShardIndex);
    }
    let mut strangers = STRANGERS.iter();
    let stranger = strangers.find(|row| head.get(row.0..).is_some_and(|rest| rest.starts_with(row.1)));
    let (found, hint) = match stranger {
        Some(row) => (row.2, row.3),
        None if head.is_empty() => ("empty", "the download did not finish; fetch it again"),
        None => ("something else", "check that this is the right file, and that it was fetched whole"),
    };
    Err(OpenError::Unknown { path: path.to_owned(), found, hint })
}
