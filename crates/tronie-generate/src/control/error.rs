//! What can keep a picture from steering.

use tronie_base::{Fault, Faulty};
use tronie_image::hints::PoseError;
use tronie_models::ControlFitError;
use tronie_weights::{ControlError, LibraryError};

use super::ControlPicture;

/// A unit that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlUnitError {
    /// A pose that is none.
    #[error("{file}: {source}")]
    Pose {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: PoseError,
    },
    /// A size that an adapter cannot take.
    #[error("the adapter \"{name}\" takes sides that are multiples of {multiple} pixels, found {}x{}", found[0], found[1])]
    Multiple {
        /// The network's name.
        name: String,
        /// Width and height asked for.
        found: [u32; 2],
        /// What both must be a multiple of.
        multiple: usize,
    },
    /// A union that is not told what it gets.
    #[error("the control network \"{name}\" is for several kinds of pictures, and is not told which it gets")]
    NoKind {
        /// The network's name.
        name: String,
    },
    /// A union that does not know the kind.
    #[error(
        "the control network \"{name}\" knows the first {n_kinds} kinds of pictures, and {kind:?} is not among them"
    )]
    UnknownKind {
        /// The network's name.
        name: String,
        /// What it was to get.
        kind: ControlPicture,
        /// How many it knows.
        n_kinds: usize,
    },
    /// A network that no place has, or that several places have.
    #[error("control network: {0}")]
    Library(#[from] LibraryError),
    /// A network that cannot be opened.
    #[error("control network \"{name}\": {source}")]
    Open {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: Box<ControlError>,
    },
    /// A network for another model.
    #[error("control network \"{name}\" is not for this model ({family}): {source}")]
    Fit {
        /// Its name.
        name: String,
        /// The model's family.
        family: &'static str,
        /// In what they differ.
        source: Box<ControlFitError>,
    },
}

impl Faulty for ControlUnitError {
    fn fault(&self) -> Fault {
        match self {
            Self::Pose { .. } | Self::Multiple { .. } => Fault::Input,
            Self::NoKind { .. } | Self::UnknownKind { .. } => Fault::Input,
            Self::Library(LibraryError::Unknown { .. }) => Fault::Environment,
            Self::Library(error) => error.fault(),
            Self::Open { source, .. } => source.fault(),
            Self::Fit { source, .. } => source.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Pose { source, .. } => source.hint(),
            Self::Multiple { .. } => Some("choose another --size".into()),
            Self::NoKind { .. } => {
                Some("add kind=pose, depth, soft_edge, line, normal, segmentation, tile or inpaint".into())
            }
            Self::UnknownKind { .. } => Some("take the ProMax file, which knows tile and inpaint too".into()),
            Self::Library(error) => error.hint(),
            Self::Open { source, .. } => source.hint(),
            Self::Fit { source, .. } => source.hint(),
        }
    }
}
