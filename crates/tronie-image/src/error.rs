//! What can go wrong with a picture file.

use std::io;
use std::path::{Path, PathBuf};

use tronie_base::{Fault, Faulty};

use crate::Rect;
use crate::decode::{MAX_PIXELS, MAX_SIDE_PX};

/// A picture could not be read, written or combined.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Any of the others, and the file it happened on.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: Box<ImageError>,
    },
    /// The operating system refused.
    #[error("cannot read: {source}")]
    Read {
        /// What it said.
        source: io::Error,
    },
    /// A file larger than any picture this program takes.
    #[error("{found_bytes} bytes, expected a picture of at most {limit_bytes}")]
    FileTooLarge {
        /// Size of the file.
        found_bytes: u64,
        /// Largest accepted size.
        limit_bytes: u64,
    },
    /// The first bytes are none of the three signatures.
    #[error("not a picture: begins with {found}, expected PNG, JPEG or WebP")]
    UnknownFormat {
        /// The first bytes, as hexadecimal numbers.
        found: String,
    },
    /// A file name that does not say which format is meant.
    #[error("unknown picture format \"{found}\", expected png, jpg, jpeg or webp")]
    UnknownExtension {
        /// The extension.
        found: String,
    },
    /// More pixels than this program decodes.
    #[error(
        "{width_px}x{height_px} pixels, expected sides of at most {MAX_SIDE_PX} and at most {MAX_PIXELS} pixels"
    )]
    TooManyPixels {
        /// Width.
        width_px: u32,
        /// Height.
        height_px: u32,
    },
    /// The content contradicts the format.
    #[error("broken {format} file: {reason}")]
    Broken {
        /// Name of the format.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// The encoder refused the picture.
    #[error("cannot encode {width_px}x{height_px} pixels as {format}: {reason}")]
    Encode {
        /// Name of the format.
        format: &'static str,
        /// Width.
        width_px: u32,
        /// Height.
        height_px: u32,
        /// What the encoder said.
        reason: String,
    },
    /// A quality outside 1..=100.
    #[error("jpeg quality {found}, expected 1 to 100")]
    BadQuality {
        /// The quality asked for.
        found: u8,
    },
    /// A side of zero pixels, or a buffer that does not fit the sides.
    #[error(
        "{found_bytes} bytes for {width_px}x{height_px} pixels, expected 3 for each, and at least one pixel"
    )]
    WrongLength {
        /// Width.
        width_px: u32,
        /// Height.
        height_px: u32,
        /// Length of the buffer.
        found_bytes: usize,
    },
    /// Two pictures that had to be equally large.
    #[error("{}x{} pixels compared with {}x{}, expected equal sizes", found.0, found.1, expected.0, expected.1)]
    SizesDiffer {
        /// Width and height of the first.
        found: (u32, u32),
        /// Width and height of the second.
        expected: (u32, u32),
    },
    /// A text key that no PNG can carry.
    #[error("text key \"{key}\", expected 1 to 79 Latin-1 characters without spaces at the ends")]
    BadKey {
        /// The key.
        key: String,
    },
    /// A text with a zero character, which ends a text in every one of the formats.
    #[error("text \"{key}\" has a zero character at {position}")]
    ZeroInText {
        /// The key.
        key: String,
        /// Byte position.
        position: usize,
    },
    /// A text longer than the format, or this program, takes.
    #[error("text \"{key}\" takes {found_bytes} bytes, {format} holds at most {limit_bytes}")]
    TextTooLong {
        /// The key.
        key: String,
        /// Its size in the file.
        found_bytes: usize,
        /// Largest size.
        limit_bytes: usize,
        /// Name of the format.
        format: &'static str,
    },
    /// More texts than JPEG and WebP have places for.
    #[error(
        "no place for the texts \"{first}\" and \"{second}\" in one {format} file, expected one beside parameters and XMP"
    )]
    NoPlaceForText {
        /// The text that got the place.
        first: String,
        /// The one left over.
        second: String,
        /// Name of the format.
        format: &'static str,
    },
    /// A rectangle that does not lie in the picture.
    #[error("rectangle {rect} of {width_px}x{height_px} pixels, expected one inside with at least one pixel")]
    Outside {
        /// The rectangle.
        rect: Rect,
        /// Width of the picture.
        width_px: u32,
        /// Height of the picture.
        height_px: u32,
    },
    /// A contact sheet without pictures, columns or tile size, or with labels for other pictures.
    #[error(
        "contact sheet of {n_images} pictures and {n_labels} labels in {columns} columns of {tile_px} pixels, expected at least one of each and no label or one per picture"
    )]
    BadSheet {
        /// Number of pictures.
        n_images: usize,
        /// Number of labels.
        n_labels: usize,
        /// Number of columns.
        columns: usize,
        /// Side of a tile.
        tile_px: u32,
    },
}

impl ImageError {
    /// The error with the file it happened on.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

impl Faulty for ImageError {
    fn fault(&self) -> Fault {
        match self {
            Self::InFile { source, .. } => source.fault(),
            Self::Read { source } if source.kind() == io::ErrorKind::NotFound => Fault::Input,
            Self::Read { .. } => Fault::Environment,
            Self::SizesDiffer { .. } | Self::WrongLength { .. } => Fault::Bug,
            Self::BadSheet { .. } | Self::Outside { .. } => Fault::Bug,
            Self::FileTooLarge { .. }
            | Self::UnknownFormat { .. }
            | Self::UnknownExtension { .. }
            | Self::TooManyPixels { .. }
            | Self::Broken { .. }
            | Self::Encode { .. }
            | Self::BadQuality { .. }
            | Self::BadKey { .. }
            | Self::ZeroInText { .. }
            | Self::TextTooLong { .. }
            | Self::NoPlaceForText { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InFile { source, .. } => source.hint(),
            Self::FileTooLarge { .. } | Self::TooManyPixels { .. } => {
                Some("scale the picture down first".into())
            }
            Self::UnknownFormat { .. } => Some("convert the file to PNG first".into()),
            Self::TextTooLong { .. } | Self::NoPlaceForText { .. } => {
                Some("write PNG, which has room for any text".into())
            }
            _ => None,
        }
    }
}
