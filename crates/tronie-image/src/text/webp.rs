//! EXIF and XMP chunks of WebP files.
//!
//! RFC 9649, 2.7 (extended file format).

use std::io::{BufReader, Read, Seek};

use super::{Found, check_length, read_array, read_bytes, skip};
use crate::ImageError;
use crate::encode::Places;

const FORMAT: &str = "WebP";
/// `RIFF`, the size, `WEBP`.
const HEAD_BYTES: usize = 12;
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

/// Walks the chunks; lengths are little-endian, bodies padded to even length.
pub(crate) fn scan<R: Read + Seek>(reader: &mut BufReader<R>, found: &mut Found) -> Result<(), ImageError> {
    skip(reader, HEAD_BYTES as u64)?;
    while let Some([kind @ .., l0, l1, l2, l3]) = read_array::<_, 8>(reader)? {
        let kind: [u8; 4] = kind;
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        let padding = length % 2;
        if ![*b"EXIF", *b"XMP "].contains(&kind) {
            skip(reader, length + padding)?;
            continue;
        }
        let n_bytes = check_length(&String::from_utf8_lossy(&kind), length, FORMAT)?;
        let Some(body) = read_bytes(reader, n_bytes)? else {
            break;
        };
        skip(reader, padding)?;
        if &kind == b"EXIF" {
            // Some writers keep the prefix that belongs to JPEG segments.
            found.push_exif(body.strip_prefix(b"Exif\0\0").unwrap_or(&body), FORMAT)?;
        } else {
            found.push_xmp(&body, FORMAT)?;
        }
    }
    Ok(())
}

/// The file in the extended layout: `VP8X` says what there is, the pixels stay as they are, texts follow.
pub(crate) fn with_texts(file: Vec<u8>, size_px: (u32, u32), places: &Places) -> Result<Vec<u8>, ImageError> {
    if places.exif.is_none() && places.xmp.is_none() {
        return Ok(file);
    }
    let exif_flag = if places.exif.is_some() { HAS_EXIF } else { 0 };
    let xmp_flag = if places.xmp.is_some() { HAS_XMP } else { 0 };
    let [w0, w1, w2, _] = (size_px.0 - 1).to_le_bytes();
    let [h0, h1, h2, _] = (size_px.1 - 1).to_le_bytes();
    let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
    push_chunk(&mut out, *b"VP8X", &[exif_flag | xmp_flag, 0, 0, 0, w0, w1, w2, h0, h1, h2])?;
    out.extend_from_slice(file.get(HEAD_BYTES..).unwrap_or_default());
    if let Some((_, block)) = &places.exif {
        push_chunk(&mut out, *b"EXIF", block)?;
    }
    if let Some(packet) = &places.xmp {
        push_chunk(&mut out, *b"XMP ", packet.as_bytes())?;
    }
    let n_bytes = length_field(out.len() - 8, "RIFF")?;
    if let Some(field) = out.get_mut(4..8) {
        field.copy_from_slice(&n_bytes);
    }
    Ok(out)
}

fn push_chunk(out: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) -> Result<(), ImageError> {
    out.extend_from_slice(&kind);
    out.extend_from_slice(&length_field(body.len(), &String::from_utf8_lossy(&kind))?);
    out.extend_from_slice(body);
    if body.len() % 2 == 1 {
        out.push(0);
    }
    Ok(())
}

fn length_field(n_bytes: usize, key: &str) -> Result<[u8; 4], ImageError> {
    let length = u32::try_from(n_bytes).map_err(|_| ImageError::TextTooLong {
        key: key.to_owned(),
        found_bytes: n_bytes,
        limit_bytes: u32::MAX as usize,
        format: FORMAT,
    })?;
    Ok(length.to_le_bytes())
}
