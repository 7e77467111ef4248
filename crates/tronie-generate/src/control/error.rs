//! What can keep a picture from steering.

use std::io;

use tronie_base::{Fault, Faulty};
use tronie_image::hints::PoseError;
use tronie_models::ControlFitError;
use tronie_weights::{ControlError, LibraryError};

/// A unit that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlUnitError {
    /// A picture's file that cannot be read.
    #[error("cannot read the control image {file}: {source}")]
    Image {
        /// The file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A pose that is none.
    #[error("{file}: {source}")]
    Pose {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: PoseError,
    },
    /// A picture of another size than the image's.
    #[error(
        "the control image {file} is {}x{} pixels, the image shall be {}x{}",
        found[0], found[1], expected[0], expected[1]
    )]
    Size {
        /// The file.
        file: String,
        /// Its width and height.
        found: [u32; 2],
        /// Those of the image.
        expected: [u32; 2],
    },
    /// A picture that is not the one an image was made with.
    #[error("the control image {file} has SHA-256 {found}, the request was made with {expected}")]
    Changed {
        /// The file.
        file: String,
        /// Its hash.
        found: String,
        /// The hash in the request.
        expected: String,
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
            Self::Image { source, .. } if source.kind() == io::ErrorKind::NotFound => Fault::Input,
            Self::Image { .. } => Fault::Environment,
            Self::Pose { .. } | Self::Size { .. } | Self::Changed { .. } | Self::Multiple { .. } => {
                Fault::Input
            }
            Self::Library(LibraryError::Unknown { .. }) => Fault::Environment,
            Self::Library(error) => error.fault(),
            Self::Open { source, .. } => source.fault(),
            Self::Fit { source, .. } => source.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Image { .. } => Some("check the path after --control".into()),
            Self::Pose { source, .. } => source.hint(),
            Self::Size { expected: [w, h], .. } => {
                Some(format!("add fit=crop or fit=stretch, or give a picture of {w}x{h}"))
            }
            Self::Changed { .. } => Some("put the old file back, or name the new one with --control".into()),
            Self::Multiple { .. } => Some("choose another --size".into()),
            Self::Library(error) => error.hint(),
            Self::Open { source, .. } => source.hint(),
            Self::Fit { source, .. } => source.hint(),
        }
    }
}
