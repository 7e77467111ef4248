//! Text chunks of PNG files: `tEXt`, `zTXt`, `iTXt` and `eXIf`.
//!
//! PNG specification, third edition, 11.3.3 (textual information) and 11.3.3.2 (`eXIf`).

use std::io::{BufReader, Read, Seek};

use flate2::read::ZlibDecoder;

use super::{Found, check_length, read_array, read_bytes, skip};
use crate::{ImageError, MAX_TEXT_BYTES};

const FORMAT: &str = "PNG";

/// Walks the chunks; lengths are big-endian, and a check sum of 4 bytes follows every chunk.
pub(crate) fn scan<R: Read + Seek>(reader: &mut BufReader<R>, found: &mut Found) -> Result<(), ImageError> {
    skip(reader, 8)?;
    while let Some([l0, l1, l2, l3, kind @ ..]) = read_array::<_, 8>(reader)? {
        let length = u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
        match &kind {
            b"IEND" => break,
            b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf" => {
                let name = String::from_utf8_lossy(&kind);
                let n_bytes = check_length(&name, length, FORMAT)?;
                let Some(body) = read_bytes(reader, n_bytes)? else {
                    break;
                };
                skip(reader, 4)?;
                read_chunk(kind, &body, found)?;
            }
            _ => skip(reader, length + 4)?,
        }
    }
    Ok(())
}

fn read_chunk(kind: [u8; 4], body: &[u8], found: &mut Found) -> Result<(), ImageError> {
    if &kind == b"eXIf" {
        return found.push_exif(body, FORMAT);
    }
    let (key, rest) = split_at_zero(body).ok_or_else(|| broken("a text chunk has no keyword"))?;
    let key = from_latin1(key);
    let value = match &kind {
        b"tEXt" => from_latin1(rest),
        b"zTXt" => {
            // One byte for the method, of which there is only one: deflate.
            let deflated = rest.get(1..).ok_or_else(|| broken("a zTXt chunk ends early"))?;
            from_latin1(&inflate(&key, deflated)?)
        }
        _ => international(&key, rest)?,
    };
    found.push(key, value, FORMAT)
}

/// The text after the keyword of an `iTXt` chunk: flag, method, language, zero, translated keyword, zero, UTF-8.
fn international(key: &str, rest: &[u8]) -> Result<String, ImageError> {
    let ended = || broken("an iTXt chunk ends early");
    let (&[is_compressed, _method], rest) = rest.split_first_chunk::<2>().ok_or_else(ended)?;
    let (_language, rest) = split_at_zero(rest).ok_or_else(ended)?;
    let (_translated_key, text) = split_at_zero(rest).ok_or_else(ended)?;
    if is_compressed == 0 {
        return Ok(String::from_utf8_lossy(text).into_owned());
    }
    Ok(String::from_utf8_lossy(&inflate(key, text)?).into_owned())
}

fn inflate(key: &str, deflated: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut text = Vec::new();
    // One byte more than allowed is enough to know that there is too much.
    let mut decoder = ZlibDecoder::new(deflated).take(MAX_TEXT_BYTES as u64 + 1);
    let result = decoder.read_to_end(&mut text);
    result.map_err(|error| broken(&format!("text \"{key}\" does not inflate: {error}")))?;
    check_length(key, text.len() as u64, FORMAT)?;
    Ok(text)
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&byte| byte == 0)?;
    let (before, after) = bytes.split_at_checked(position)?;
    Some((before, after.get(1..)?))
}

fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn broken(reason: &str) -> ImageError {
    ImageError::Broken { format: FORMAT, reason: reason.to_owned() }
}
