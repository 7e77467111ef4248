//! The three formats: their names, extensions and first bytes.

use std::fmt::Write as _;
use std::path::Path;

use crate::ImageError;

/// A file format, and for JPEG how much it may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Lossless, and the only one with room for any text.
    Png,
    /// Lossy. `quality` is 1 (small) to 100 (good) on the scale of libjpeg.
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
    /// Lossless WebP.
    Webp,
}

impl ImageFormat {
    /// The JPEG quality of [`ImageFormat::from_extension`].
    pub const DEFAULT_JPEG_QUALITY: u8 = 92;

    /// `png`, `jpg` or `webp`: what follows the last dot of a file name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg { .. } => "jpg",
            Self::Webp => "webp",
        }
    }

    /// MIME type, as HTTP and data URLs want it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg { .. } => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// The name people know: `PNG`, `JPEG` or `WebP`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg { .. } => "JPEG",
            Self::Webp => "WebP",
        }
    }

    /// The format an extension (any case, no dot) stands for; JPEG with [`Self::DEFAULT_JPEG_QUALITY`].
    ///
    /// # Errors
    /// [`ImageError::UnknownExtension`].
    pub fn from_extension(extension: &str) -> Result<Self, ImageError> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg { quality: Self::DEFAULT_JPEG_QUALITY }),
            "webp" => Ok(Self::Webp),
            _ => Err(ImageError::UnknownExtension { found: extension.to_owned() }),
        }
    }

    /// The format a file name stands for.
    ///
    /// # Errors
    /// [`ImageError::UnknownExtension`].
    pub fn from_path(path: &Path) -> Result<Self, ImageError> {
        let extension = path.extension().unwrap_or_default();
        Self::from_extension(&extension.to_string_lossy())
    }
}

/// What the first bytes of a file say it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Png,
    Jpeg,
    Webp,
}

impl Container {
    /// Enough bytes for [`Container::of`].
    pub(crate) const HEAD_BYTES: usize = 12;

    pub(crate) fn of(head: &[u8]) -> Result<Self, ImageError> {
        let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
        match head {
            _ if head.starts_with(b"\x89PNG\r\n\x1a\n") => Ok(Self::Png),
            _ if head.starts_with(b"\xff\xd8\xff") => Ok(Self::Jpeg),
            _ if webp => Ok(Self::Webp),
            _ => Err(ImageError::UnknownFormat { found: in_hex(head) }),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Webp => "WebP",
        }
    }
}

fn in_hex(head: &[u8]) -> String {
    if head.is_empty() {
        return "nothing (it is empty)".to_owned();
    }
    let mut text = String::new();
    for byte in head.iter().take(8) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{}{byte:02x}", if text.is_empty() { "" } else { " " });
    }
    text
}
