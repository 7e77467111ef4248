//! The hash that a LoRA is known by, whatever its file is called.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::LoraError;
use crate::source::Source;
use crate::{OpenError, SafetensorsFile};
use tronie_base::hex;

/// SHA-256 of a LoRA file without its header, as 64 hexadecimal digits; of all of it where it is not safetensors.
///
/// Its first twelve digits are what A1111 writes into images and what Civitai calls `AutoV3`. kohya's trainer keeps the same
/// number in the metadata as `sshs_model_hash`, which A1111 takes unchecked (`extensions-builtin/Lora/network.py`); here
/// the bytes are what counts.
///
/// # Errors
/// [`LoraError::Open`]: the file cannot be read.
pub fn hash_of_lora(path: &Path) -> Result<String, LoraError> {
    let bytes = match SafetensorsFile::open(path) {
        Ok(file) => file.data(),
        Err(_) => Source::open(path).and_then(|source| source.read(0, source.len())),
    };
    Ok(hex(&Sha256::digest(bytes.map_err(OpenError::from)?)))
}
