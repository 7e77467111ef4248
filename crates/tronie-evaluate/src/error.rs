//! What can stop an evaluation.

use std::io;
use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty, WriteError};
use tronie_image::ImageError;

/// Numbers that cannot be computed, or would not mean what they are called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A picture cannot be read or resized.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file of features cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system or the format said.
        source: io::Error,
    },
    /// A file of another type.
    #[error("{}: expected features in a .npy or .safetensors file", path.display())]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// A file that does not hold one table of numbers.
    #[error("{}: {found}, expected one array of pictures by numbers, f32 or f64", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A number that is none.
    #[error("row {row} of the features of {set} has a number that is not finite")]
    NotFinite {
        /// Which features.
        set: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// Rows of different lengths.
    #[error("row {row} of the features of {set} has {found} numbers, expected {expected}")]
    OtherWidth {
        /// Which features.
        set: &'static str,
        /// The row, from 0.
        row: usize,
        /// Its numbers.
        found: usize,
        /// Those of the rows before.
        expected: usize,
    },
    /// Two sets that cannot be compared.
    #[error("the pictures have {found} features each, those they are compared with {expected}")]
    Incomparable {
        /// Width of one set.
        found: usize,
        /// Width of the other.
        expected: usize,
    },
    /// Too few for the number to mean anything.
    #[error("{metric} of {found} {of}, expected at least {expected}: {why}")]
    TooFew {
        /// The metric.
        metric: &'static str,
        /// What it is made of.
        of: &'static str,
        /// How many there are.
        found: usize,
        /// The fewest.
        expected: usize,
        /// Why.
        why: &'static str,
    },
    /// Pictures of different sizes.
    #[error("SSIM of pictures of {found} and {expected} pixels, expected one size")]
    OtherSize {
        /// One size.
        found: String,
        /// The other.
        expected: String,
    },
    /// Pictures smaller than a window.
    #[error("SSIM of {width_px}x{height_px} pixels, expected sides of at least {side_px}")]
    TooSmall {
        /// Width.
        width_px: usize,
        /// Height.
        height_px: usize,
        /// Side of the window.
        side_px: usize,
    },
    /// An iteration that did not end.
    #[error("the eigenvalues of the features of {set} were not found")]
    Eigenvalues {
        /// Which features.
        set: &'static str,
    },
}

impl Faulty for EvaluateError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Write(error) => error.fault(),
            Self::Image(error) => error.fault(),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Fault::Environment
            }
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Incomparable { .. } => Some("make both with the same network".into()),
            Self::TooFew { .. } => Some("make more pictures, or leave the metric out".into()),
            Self::OtherSize { .. } => Some("use the setting coursework, which resizes".into()),
            _ => None,
        }
    }
}
