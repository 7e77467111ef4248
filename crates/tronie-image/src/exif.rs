//! The two EXIF fields that carry text: UserComment and ImageDescription.
//!
//! TIFF 6.0 section 2 (structure), EXIF 2.3 4.6.5 (tags). Written big-endian, as `piexif` and with it the Stable
//! Diffusion web interfaces do; read in both byte orders.

use crate::KEY_PARAMETERS;

const IMAGE_DESCRIPTION: u16 = 0x010e;
const MAKE: u16 = 0x010f;
const EXIF_IFD: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;

const TYPE_ASCII: u16 = 2;
const TYPE_LONG: u16 = 4;
const TYPE_UNDEFINED: u16 = 7;

/// Where the first directory begins: `MM`, 42, and the offset itself take 8 bytes.
const FIRST_IFD: u32 = 8;
/// Bytes of one directory entry: tag, type, count, value or offset.
const ENTRY_BYTES: u32 = 12;

/// A TIFF structure with the given UserComment (as UTF-16BE) and ImageDescription (as UTF-8).
pub(crate) fn write(comment: Option<&str>, description: Option<&str>) -> Vec<u8> {
    let comment = comment.map(|text| {
        let units = text.encode_utf16().flat_map(u16::to_be_bytes);
        b"UNICODE\0".iter().copied().chain(units).collect::<Vec<u8>>()
    });
    let description = description.map(|text| [text.as_bytes(), b"\0"].concat());
    let n_main = u32::from(description.is_some()) + u32::from(comment.is_some());
    let exif_ifd = FIRST_IFD + directory_bytes(n_main);
    let n_exif = u32::from(comment.is_some());
    let data_start = exif_ifd + if n_exif == 0 { 0 } else { directory_bytes(n_exif) };

    let mut data = Vec::new();
    let mut main = Vec::new();
    if let Some(text) = description {
        main.push(stored(IMAGE_DESCRIPTION, TYPE_ASCII, text, (data_start, &mut data)));
    }
    let mut exif = Vec::new();
    if let Some(text) = comment {
        main.push(entry(EXIF_IFD, TYPE_LONG, 1, exif_ifd.to_be_bytes()));
        exif.push(stored(USER_COMMENT, TYPE_UNDEFINED, text, (data_start, &mut data)));
    }
    let mut block = b"MM\0\x2a".to_vec();
    block.extend(FIRST_IFD.to_be_bytes());
    for directory in [main, exif].into_iter().filter(|directory| !directory.is_empty()) {
        block.extend(u16::try_from(directory.len()).unwrap_or(u16::MAX).to_be_bytes());
        block.extend(directory.concat());
        block.extend(0_u32.to_be_bytes()); // no further directory
    }
    block.extend(data);
    block
}

fn directory_bytes(n_entries: u32) -> u32 {
    2 + n_entries * ENTRY_BYTES + 4
}

fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
    let mut bytes = tag.to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(count.to_be_bytes());
    bytes.extend(value);
    bytes
}

/// An entry whose value lies in `place`: values of up to four bytes sit in the entry, others in the data area.
fn stored(tag: u16, kind: u16, mut value: Vec<u8>, place: (u32, &mut Vec<u8>)) -> Vec<u8> {
    let (data_start, data) = place;
    // Texts are limited to 16 MiB before they come here.
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let count = length(&value);
    if value.len() <= 4 {
        value.resize(4, 0);
        let field = value.try_into().unwrap_or_default();
        return entry(tag, kind, count, field);
    }
    let offset = data_start + length(data);
    if value.len() % 2 == 1 {
        value.push(0); // offsets must be even
    }
    data.extend(value);
    entry(tag, kind, count, offset.to_be_bytes())
}

/// The texts of a TIFF structure: UserComment as `parameters`, a description `key:value` as that key.
///
/// What is out of bounds is left out: EXIF of strangers is broken too often to refuse the picture for it.
pub(crate) fn read(block: &[u8]) -> Vec<(String, String)> {
    Tiff::new(block).map(|tiff| tiff.texts()).unwrap_or_default()
}

struct Tiff<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

struct Field<'a> {
    tag: u16,
    value: &'a [u8],
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big_endian = match bytes.get(..4)? {
            b"MM\0\x2a" => true,
            b"II\x2a\0" => false,
            _ => return None,
        };
        Some(Self { bytes, is_big_endian })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.u32(at)?).ok()
    }

    fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        let Some(main) = self.offset(4) else { return texts };
        for field in self.fields(main) {
            match field.tag {
                IMAGE_DESCRIPTION | MAKE => texts.extend(description(&field)),
                EXIF_IFD => {
                    let exif = self.sub_directory(&field);
                    let comments = exif.filter(|field| field.tag == USER_COMMENT);
                    texts.extend(comments.filter_map(|field| {
                        Some((KEY_PARAMETERS.to_owned(), comment(field.value, self.is_big_endian)?))
                    }));
                }
                _ => {}
            }
        }
        texts
    }

    fn sub_directory(&self, pointer: &Field<'a>) -> impl Iterator<Item = Field<'a>> {
        let bytes = pointer.value.try_into().unwrap_or_default();
        let at = if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        self.fields(usize::try_from(at).unwrap_or(usize::MAX))
    }

    /// The fields of one directory that are text, and the pointer to the EXIF directory.
    fn fields(&self, at: usize) -> impl Iterator<Item = Field<'a>> {
        let n_entries = self.u16(at).map_or(0, usize::from);
        (0..n_entries)
            .filter_map(move |index| self.field(at.checked_add(2 + index * 12)?))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn field(&self, at: usize) -> Option<Field<'a>> {
        let size = match self.u16(at + 2)? {
            TYPE_ASCII | TYPE_UNDEFINED | 1 => 1,
            TYPE_LONG => 4,
            _ => return None,
        };
        let n_bytes = usize::try_from(self.u32(at + 4)?).ok()?.checked_mul(size)?;
        let start = if n_bytes <= 4 { at + 8 } else { self.offset(at + 8)? };
        let value = self.bytes.get(start..start.checked_add(n_bytes)?)?;
        Some(Field { tag: self.u16(at)?, value })
    }
}

/// `key:value` where the key is a plain word; cameras write names and titles here, which are left out unless they
/// are a description.
fn description(field: &Field<'_>) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(field.value);
    let text = text.trim_end_matches('\0');
    let is_word =
        |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match text.split_once(':') {
        Some((key, value)) if is_word(key) => Some((key.to_owned(), value.to_owned())),
        _ if field.tag == IMAGE_DESCRIPTION && !text.is_empty() => {
            Some(("ImageDescription".to_owned(), text.to_owned()))
        }
        _ => None,
    }
}

/// A UserComment: eight bytes that name the encoding, then the text. `None` when it is empty.
fn comment(value: &[u8], is_big_endian: bool) -> Option<String> {
    let text = match value.split_at_checked(8) {
        Some((b"UNICODE\0", text)) => from_utf16(text, is_big_endian),
        Some((b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0", text)) => String::from_utf8_lossy(text).into_owned(),
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    let text = text.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// UTF-16 in either order: a byte order mark decides, else where the zero bytes of its ASCII characters stand
/// (`piexif` writes big-endian whatever the file's order), else the order of the file.
fn from_utf16(bytes: &[u8], file_is_big_endian: bool) -> String {
    let n_zeros = |offset: usize| bytes.iter().skip(offset).step_by(2).filter(|&&byte| byte == 0).count();
    let (is_big_endian, bytes) = match bytes {
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [0xff, 0xfe, rest @ ..] => (false, rest),
        _ => match n_zeros(0).cmp(&n_zeros(1)) {
            std::cmp::Ordering::Greater => (true, bytes),
            std::cmp::Ordering::Less => (false, bytes),
            std::cmp::Ordering::Equal => (file_is_big_endian, bytes),
        },
    };
    let (units, _) = bytes.as_chunks::<2>();
    let units = units
        .iter()
        .map(|&unit| if is_big_endian { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) });
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests;
