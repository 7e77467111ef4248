//! What a picture says about itself: reading the texts of a file without decoding its pixels.

pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use crate::format::Container;
use crate::{ImageError, exif};

/// Key of the generation text that Stable Diffusion tools read and write.
pub const KEY_PARAMETERS: &str = "parameters";
/// Key of tronie's own record, a JSON object.
pub const KEY_RECORD: &str = "tronie";
/// Key of an XMP packet, by its registered PNG keyword.
pub const KEY_XMP: &str = "XML:com.adobe.xmp";
/// Longest text that is read or written, after decompression.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

/// All texts of one file together, after decompression.
const MAX_TOTAL_BYTES: usize = 64 << 20;

/// One text of a picture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextEntry {
    /// [`KEY_PARAMETERS`], [`KEY_RECORD`], [`KEY_XMP`], or any PNG keyword.
    pub key: String,
    /// The text, without zero characters.
    pub value: String,
}

impl TextEntry {
    /// An entry from its parts.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// All texts of a PNG, JPEG or WebP file, in file order.
///
/// Only the headers of other chunks are looked at, and a file that ends early gives what it had until then. Bytes
/// that are not valid in a text's encoding become U+FFFD. Check sums are not verified.
///
/// # Errors
/// [`ImageError`] for what is not a picture, for a text above [`MAX_TEXT_BYTES`], and for broken compression.
pub fn read_text(bytes: &[u8]) -> Result<Vec<TextEntry>, ImageError> {
    scan(&mut BufReader::with_capacity(64, Cursor::new(bytes)))
}

/// All texts of the file at `path`, as [`read_text`] gives them. The pixels are never read.
///
/// # Errors
/// [`ImageError::InFile`] around what went wrong.
pub fn read_text_from(path: &Path) -> Result<Vec<TextEntry>, ImageError> {
    let file = File::open(path).map_err(|source| ImageError::Read { source }.in_file(path))?;
    scan(&mut BufReader::new(file)).map_err(|error| error.in_file(path))
}

fn scan<R: Read + Seek>(reader: &mut BufReader<R>) -> Result<Vec<TextEntry>, ImageError> {
    let mut head = Vec::new();
    let limit = Container::HEAD_BYTES as u64;
    reader.by_ref().take(limit).read_to_end(&mut head).map_err(read_error)?;
    let container = Container::of(&head)?;
    reader.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let mut found = Found::default();
    match container {
        Container::Png => png::scan(reader, &mut found)?,
        Container::Jpeg => jpeg::scan(reader, &mut found)?,
        Container::Webp => webp::scan(reader, &mut found)?,
    }
    Ok(found.entries)
}

/// The entries so far, and how much they hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    entries: Vec<TextEntry>,
    n_bytes: usize,
}

impl Found {
    pub(crate) fn push(
        &mut self,
        key: String,
        value: String,
        format: &'static str,
    ) -> Result<(), ImageError> {
        self.n_bytes += key.len() + value.len();
        if self.n_bytes > MAX_TOTAL_BYTES {
            return Err(ImageError::TextTooLong {
                key,
                found_bytes: self.n_bytes,
                limit_bytes: MAX_TOTAL_BYTES,
                format,
            });
        }
        self.entries.push(TextEntry { key, value });
        Ok(())
    }

    pub(crate) fn push_exif(&mut self, block: &[u8], format: &'static str) -> Result<(), ImageError> {
        for (key, value) in exif::read(block) {
            self.push(key, value, format)?;
        }
        Ok(())
    }

    pub(crate) fn push_xmp(&mut self, packet: &[u8], format: &'static str) -> Result<(), ImageError> {
        let packet = String::from_utf8_lossy(packet);
        self.push(KEY_XMP.to_owned(), packet.trim_end_matches('\0').to_owned(), format)
    }
}

pub(crate) fn read_error(source: io::Error) -> ImageError {
    ImageError::Read { source }
}

/// The next `n` bytes; `None` when the file ends before them.
pub(crate) fn read_bytes<R: Read>(reader: &mut R, n: usize) -> Result<Option<Vec<u8>>, ImageError> {
    let mut bytes = Vec::new();
    reader.by_ref().take(n as u64).read_to_end(&mut bytes).map_err(read_error)?;
    Ok((bytes.len() == n).then_some(bytes))
}

/// The next `N` bytes; `None` when the file ends before them.
pub(crate) fn read_array<R: Read, const N: usize>(reader: &mut R) -> Result<Option<[u8; N]>, ImageError> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}

/// Leaves `n` bytes unread.
pub(crate) fn skip<R: Read + Seek>(reader: &mut BufReader<R>, n: u64) -> Result<(), ImageError> {
    // Both containers have 32-bit lengths, so this never saturates.
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    reader.seek_relative(n).map_err(read_error)
}

/// Fails for a text chunk that is larger than any text may be.
pub(crate) fn check_length(key: &str, found_bytes: u64, format: &'static str) -> Result<usize, ImageError> {
    match usize::try_from(found_bytes) {
        Ok(n) if n <= MAX_TEXT_BYTES => Ok(n),
        _ => Err(ImageError::TextTooLong {
            key: key.to_owned(),
            found_bytes: usize::try_from(found_bytes).unwrap_or(usize::MAX),
            limit_bytes: MAX_TEXT_BYTES,
            format,
        }),
    }
}

#[cfg(test)]
mod tests;
