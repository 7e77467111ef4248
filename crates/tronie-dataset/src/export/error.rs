//! What can stop the reading of a collection, and its export.

use std::io;
use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty, LockError, WriteError};
use tronie_faces::FacesError;
use tronie_image::ImageError;

use crate::BuildError;

/// A collection that cannot be read or exported. Nothing unfinished is left under a final name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another process exports to the same place.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A dataset's header is not ours.
    #[error(transparent)]
    Dataset(#[from] BuildError),
    /// Annotations or a folder of pictures cannot be read.
    #[error(transparent)]
    Faces(#[from] FacesError),
    /// A picture or mask that is none.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A dataset that is still being made.
    #[error("{} is a dataset that is not complete", folder.display())]
    Unfinished {
        /// The folder.
        folder: PathBuf,
    },
    /// Nothing to export.
    #[error("{} has no pictures, expected .png, .jpg, .jpeg or .webp files", folder.display())]
    NoPictures {
        /// The folder.
        folder: PathBuf,
    },
    /// A line of metadata that cannot be read.
    #[error("{}, line {line}: {reason}", path.display())]
    BadLine {
        /// The metadata.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that leads out of the folder, or none.
    #[error("{}, line {line}: file_name is \"{found}\", expected a file below the folder", path.display())]
    BadName {
        /// The metadata.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The name.
        found: String,
    },
    /// A picture that has two lines.
    #[error("{}, line {line}: \"{found}\" has a line already", path.display())]
    Repeated {
        /// The metadata.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The picture.
        found: String,
    },
    /// Metadata without their picture.
    #[error("{}, line {line}: \"{found}\" is not there", path.display())]
    MissingPicture {
        /// The metadata.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The picture.
        found: String,
    },
    /// A picture that is not the one its metadata describe.
    #[error("{}: sha256 {found}, expected {expected}", path.display())]
    Changed {
        /// The picture.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash in the metadata.
        expected: String,
    },
    /// Two pictures that would get one name.
    #[error("\"{first}\" and \"{second}\" would both be {name} in the export")]
    SameName {
        /// One picture.
        first: String,
        /// The other one.
        second: String,
        /// The name.
        name: String,
    },
    /// A format that is not in the table.
    #[error("unknown format \"{found}\", expected one of: {expected}")]
    UnknownFormat {
        /// What was asked for.
        found: String,
        /// All formats.
        expected: String,
    },
    /// A format needs more than there is.
    #[error("format {format} needs {need}, and there is none")]
    Needs {
        /// The format.
        format: &'static str,
        /// What it needs.
        need: &'static str,
    },
    /// Annotations of other pictures.
    #[error("the annotations have no line for \"{found}\"")]
    NotAnnotated {
        /// A picture without line.
        found: String,
    },
    /// Annotations of a picture of another size.
    #[error("\"{picture}\" is {found} pixels, its {what} {expected}")]
    OtherSize {
        /// The picture.
        picture: String,
        /// Size of the picture.
        found: String,
        /// `mask is` or `annotations say`.
        what: &'static str,
        /// Size of the other.
        expected: String,
    },
    /// A class that has no name.
    #[error("the mask of \"{picture}\" has class {found}, expected 0 to {largest}")]
    BadClass {
        /// The picture.
        picture: String,
        /// The class.
        found: u8,
        /// The largest class.
        largest: usize,
    },
    /// Something is there already.
    #[error("{} exists", out.display())]
    Exists {
        /// The folder.
        out: PathBuf,
    },
    /// Something is there that this program has not exported.
    #[error("{} is no earlier export: it has no export.json", out.display())]
    NotAnExport {
        /// The folder.
        out: PathBuf,
    },
    /// The export would lie in what is exported, or the other way round.
    #[error("{} and {} lie inside of each other", out.display(), folder.display())]
    Inside {
        /// The folder to write.
        out: PathBuf,
        /// The folder to read.
        folder: PathBuf,
    },
    /// A day that is none.
    #[error("published on \"{found}\", expected year-month-day, such as 2026-01-29")]
    BadDay {
        /// What was given.
        found: String,
    },
}

impl Faulty for ExportError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Write(error) => error.fault(),
            Self::Lock(error) => error.fault(),
            Self::Dataset(error) => error.fault(),
            Self::Faces(error) => error.fault(),
            Self::Image(error) => error.fault(),
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => Fault::Environment,
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Dataset(error) => error.hint(),
            Self::Faces(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Unfinished { .. } => Some("run `tronie dataset build` again to complete it".into()),
            Self::Changed { .. } => Some("build the dataset again: what was changed is made anew".into()),
            Self::SameName { .. } => Some("rename one of them".into()),
            Self::Needs { .. } => {
                Some("run `tronie faces annotate` and pass its file as --annotations".into())
            }
            Self::NotAnnotated { .. } | Self::OtherSize { .. } => {
                Some("annotate the folder that is exported".into())
            }
            Self::Exists { .. } => Some("choose another folder, or replace this one with --force".into()),
            Self::NotAnExport { .. } | Self::Inside { .. } => Some("choose another folder".into()),
            _ => None,
        }
    }
}
