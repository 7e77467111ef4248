//! Checkpoints from before PyTorch 1.6: five pickles, then the storages, in one stream.
//!
//! Magic number, protocol version, facts about the machine, the checkpoint, the list of storage keys; then for each
//! key the number of elements (64 bit) and the elements. Source: `_legacy_save` in `torch/serialization.py`.

use std::sync::atomic::AtomicBool;

use super::cursor::Cursor;
use super::machine::{Interpreted, Mentioned, interpret};
use super::storage::StoredRange;
use super::value::Value;
use crate::pickle_file::PickleFileError;
use crate::source::{Source, shown};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const PROTOCOL_VERSION: i64 = 1001;

/// A whole file of this kind.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) interpreted: Interpreted,
    pub(crate) stored: Vec<StoredRange>,
}

impl Legacy {
    /// Reads all pickles and finds all storages.
    pub(crate) fn read(source: &Source, mentioned: &mut Mentioned) -> Result<Self, PickleFileError> {
        let mut cursor = Cursor::new(source, 0, source.len());
        let magic = interpret(&mut cursor, mentioned)?.value;
        if magic != Value::BigInt(MAGIC.to_vec()) {
            return Err(PickleFileError::Magic { file: source.name().to_owned() });
        }
        let version = interpret(&mut cursor, mentioned)?.value.as_int();
        if version != Some(PROTOCOL_VERSION) {
            return Err(PickleFileError::Version { expected: PROTOCOL_VERSION, found: version });
        }
        let machine = interpret(&mut cursor, mentioned)?.value;
        if machine.get("little_endian") != Some(&Value::Bool(true)) {
            return Err(PickleFileError::ByteOrder { found: "big".into() });
        }
        let interpreted = interpret(&mut cursor, mentioned)?;
        let keys = interpret(&mut cursor, mentioned)?.value;
        let keys = keys.as_list().ok_or(PickleFileError::StorageKeys)?;
        let stored = locate(source, &interpreted, keys, cursor.offset())?;
        Ok(Self { interpreted, stored })
    }
}

/// The range of every storage the checkpoint mentions, in the order it mentions them.
fn locate(
    source: &Source,
    interpreted: &Interpreted,
    keys: &[Value],
    start: u64,
) -> Result<Vec<StoredRange>, PickleFileError> {
    const COUNT_BYTES: u64 = 8;
    let index_of = interpreted.storages.iter().enumerate();
    let index_of: std::collections::HashMap<&str, usize> =
        index_of.map(|(index, storage)| (storage.key.as_str(), index)).collect();
    let mut found: Vec<Option<StoredRange>> = interpreted.storages.iter().map(|_| None).collect();
    let mut at = start;
    for key in keys {
        let key = key.as_text().ok_or(PickleFileError::StorageKeys)?;
        let unknown = || PickleFileError::StorageUnknown { storage: shown(key) };
        let index = *index_of.get(key).ok_or_else(unknown)?;
        let storage = interpreted.storages.get(index).ok_or_else(unknown)?;
        let slot = found.get_mut(index).filter(|slot| slot.is_none()).ok_or_else(unknown)?;
        let mut count = [0; 8];
        count.copy_from_slice(&source.read(at, COUNT_BYTES)?);
        let n_elements = u64::from_le_bytes(count);
        let n_bytes = storage.n_bytes().filter(|_| n_elements == storage.n_elements);
        let n_bytes = n_bytes.ok_or_else(|| PickleFileError::StorageSize {
            storage: shown(key),
            dtype: storage.dtype,
            expected: storage.n_elements,
            found_bytes: n_elements.saturating_mul(storage.dtype.size_bytes() as u64),
        })?;
        at += COUNT_BYTES;
        *slot = Some(StoredRange { start: at, n_bytes, check: None, is_verified: AtomicBool::new(true) });
        at = at.saturating_add(n_bytes);
        source.expect_len_at_least(at)?;
    }
    if at != source.len() {
        return Err(PickleFileError::Longer {
            file: source.name().to_owned(),
            expected: at,
            found: source.len(),
        });
    }
    let pairs = found.into_iter().zip(&interpreted.storages);
    let stored = pairs.map(|(stored, storage)| {
        stored.ok_or_else(|| PickleFileError::StorageMissing { storage: shown(&storage.key) })
    });
    stored.collect()
}
