//! APP1 segments of JPEG files: EXIF and XMP.
//!
//! ITU-T T.81 B.1.1 (marker segments), EXIF 2.3 4.7.2 (APP1), XMP specification part 3, 1.1.3.

use std::io::{BufReader, Read, Seek};

use super::{Found, read_array, read_bytes, skip};
use crate::encode::Places;
use crate::{ImageError, KEY_XMP};

const FORMAT: &str = "JPEG";
const EXIF_HEAD: &[u8] = b"Exif\0\0";
const XMP_HEAD: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
/// The two bytes of a segment's length count themselves.
const LENGTH_BYTES: usize = 2;

/// Walks the marker segments up to the first scan; lengths are big-endian and count themselves.
pub(crate) fn scan<R: Read + Seek>(reader: &mut BufReader<R>, found: &mut Found) -> Result<(), ImageError> {
    skip(reader, 2)?;
    while let Some(marker) = next_marker(reader)? {
        match marker {
            0xd9 | 0xda => break,           // end of image, start of scan: pixels from here on
            0x01 | 0xd0..=0xd8 => continue, // markers without a segment
            _ => {}
        }
        let Some(length) = read_array(reader)?.map(u16::from_be_bytes) else {
            break;
        };
        let n_bytes = usize::from(length).saturating_sub(LENGTH_BYTES);
        if marker != APP1 {
            skip(reader, n_bytes as u64)?;
            continue;
        }
        let Some(body) = read_bytes(reader, n_bytes)? else {
            break;
        };
        if let Some(block) = body.strip_prefix(EXIF_HEAD) {
            found.push_exif(block, FORMAT)?;
        } else if let Some(packet) = body.strip_prefix(XMP_HEAD) {
            found.push_xmp(packet, FORMAT)?;
        }
    }
    Ok(())
}

/// `None` at the end of the file, and where something other than a marker stands.
fn next_marker<R: Read>(reader: &mut R) -> Result<Option<u8>, ImageError> {
    if read_array(reader)? != Some([0xff]) {
        return Ok(None);
    }
    loop {
        match read_array(reader)? {
            Some([0xff]) => {} // fill bytes
            Some([marker]) => return Ok(Some(marker)),
            None => return Ok(None),
        }
    }
}

/// The file with the texts behind its JFIF segment, where readers expect them.
pub(crate) fn with_texts(file: Vec<u8>, places: &Places) -> Result<Vec<u8>, ImageError> {
    let mut segments = Vec::new();
    if let Some((key, block)) = &places.exif {
        push_segment(&mut segments, EXIF_HEAD, block, key)?;
    }
    if let Some(packet) = &places.xmp {
        push_segment(&mut segments, XMP_HEAD, packet.as_bytes(), KEY_XMP)?;
    }
    let mut file = file;
    let at = end_of_jfif(&file);
    file.splice(at..at, segments);
    Ok(file)
}

fn push_segment(segments: &mut Vec<u8>, head: &[u8], body: &[u8], key: &str) -> Result<(), ImageError> {
    let n_bytes = LENGTH_BYTES + head.len() + body.len();
    let Ok(length) = u16::try_from(n_bytes) else {
        return Err(ImageError::TextTooLong {
            key: key.to_owned(),
            found_bytes: body.len(),
            limit_bytes: usize::from(u16::MAX) - LENGTH_BYTES - head.len(),
            format: FORMAT,
        });
    };
    segments.extend_from_slice(&[0xff, APP1]);
    segments.extend_from_slice(&length.to_be_bytes());
    segments.extend_from_slice(head);
    segments.extend_from_slice(body);
    Ok(())
}

fn end_of_jfif(file: &[u8]) -> usize {
    match file {
        [0xff, 0xd8, 0xff, APP0, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => 2,
    }
}
