//! Tensors as views of storages, and how their numbers are read.
//!
//! A storage is a run of numbers in the file; a tensor is a window on it: offset, shape and strides, all in elements.
//! Several tensors may share a storage.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Limit, PickleProblem};
use super::zip::{ArchiveError, Crc};
use crate::source::{Source, SourceError, shown};
use crate::{Dtype, RawTensor, TensorMeta};

/// A storage as a pickle declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageRef {
    /// Its name in the file.
    pub(crate) key: String,
    pub(crate) dtype: Dtype,
    pub(crate) n_elements: u64,
}

impl StorageRef {
    /// Size in bytes; `None` when it does not fit the machine.
    pub(crate) fn n_bytes(&self) -> Option<u64> {
        self.n_elements.checked_mul(self.dtype.size_bytes() as u64)
    }
}

/// Part of a storage, in elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageSlice {
    /// Which row of the pickle's storages.
    pub(super) index: usize,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// Where the bytes of a storage are in the file.
#[derive(Debug)]
pub(crate) struct StoredRange {
    pub(crate) start: u64,
    pub(crate) n_bytes: u64,
    /// Name and checksum of the zip entry that holds it; `None` in files without checksums.
    pub(crate) check: Option<(String, u32)>,
    /// Whether the checksum was found right.
    pub(crate) is_verified: AtomicBool,
}

/// A tensor of a pickle: where its numbers are, not the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorView {
    meta: TensorMeta,
    storage: usize,
    /// Elements before the first one.
    offset: u64,
    strides: Vec<u64>,
    /// Elements from the first to the last one, both included.
    n_spanned: u64,
}

impl TensorView {
    /// Checks that the whole tensor lies inside its part of the storage.
    pub(super) fn new(
        (storage, slice): (&StorageRef, StorageSlice),
        offset: u64,
        shape: Vec<usize>,
        strides: Vec<u64>,
    ) -> Result<Self, PickleProblem> {
        if shape.len() != strides.len() {
            return Err(PickleProblem::Strides { n_dims: shape.len(), n_strides: strides.len() });
        }
        let n_dims = shape.len();
        let dtype = storage.dtype;
        let meta = TensorMeta { dtype, shape };
        if meta.size_bytes().is_none() {
            return Err(PickleProblem::TensorSize { n_dims });
        }
        let is_empty = meta.shape.contains(&0);
        let steps = meta.shape.iter().zip(&strides);
        let last = steps.fold(0_u128, |sum, (&dim, &stride)| {
            sum.saturating_add((dim as u128).saturating_sub(1).saturating_mul(u128::from(stride)))
        });
        let n_spanned = if is_empty { 0 } else { last.saturating_add(1) };
        let reached = n_spanned.saturating_add(u128::from(offset));
        let outside =
            || PickleProblem::TensorRange { storage: shown(&storage.key), n_elements: slice.len, reached };
        if !is_empty && reached > u128::from(slice.len) {
            return Err(outside());
        }
        Ok(Self {
            meta,
            storage: slice.index,
            offset: if is_empty { 0 } else { slice.start.saturating_add(offset) },
            strides,
            n_spanned: u64::try_from(n_spanned).map_err(|_| outside())?,
        })
    }

    /// Type and shape.
    #[must_use]
    pub fn meta(&self) -> &TensorMeta {
        &self.meta
    }

    /// Which row of the pickle's storages it is a window on.
    pub(crate) fn storage(&self) -> usize {
        self.storage
    }

    /// Size in bytes once it is read.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.meta.size_bytes().unwrap_or_default() as u64
    }

    /// Bytes beyond those it spans in the file: more than none where elements are used more than once.
    pub(super) fn repeated_bytes(&self) -> u64 {
        let width = self.meta.dtype.size_bytes() as u64;
        self.n_bytes().saturating_sub(self.n_spanned.saturating_mul(width))
    }

    /// Whether its elements follow each other in the file.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1_u64;
        self.meta.shape.iter().zip(&self.strides).rev().all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected = expected.saturating_mul(dim as u64);
            fits
        })
    }

    /// The numbers, in row-major order whatever their order in the file.
    pub(crate) fn read(&self, source: &Source, stored: &StoredRange) -> Result<RawTensor, ReadError> {
        let width = self.meta.dtype.size_bytes();
        let start = self.offset.saturating_mul(width as u64);
        let n_spanned = self.n_spanned.saturating_mul(width as u64);
        let is_whole = start == 0 && n_spanned == stored.n_bytes;
        if !is_whole {
            stored.verify(source)?;
        }
        let span = source.read(stored.start.saturating_add(start), n_spanned)?;
        if is_whole {
            stored.verify_bytes(&span)?;
        }
        let bytes = if self.meta.shape.contains(&0) || self.is_contiguous() {
            span
        } else {
            gather(&span, width, &self.meta.shape, &self.strides)
        };
        let meta = self.meta.clone();
        Ok(RawTensor { meta, bytes })
    }
}

/// A tensor whose bytes are not there or not what was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl StoredRange {
    /// Compares the checksum once, block by block.
    fn verify(&self, source: &Source) -> Result<(), ReadError> {
        let Some((entry, expected)) = &self.check else {
            return Ok(());
        };
        if self.is_verified.load(Ordering::Acquire) {
            return Ok(());
        }
        let found = Crc::of_range(source, self.start, self.n_bytes)?;
        found.expect(*expected, entry)?;
        self.is_verified.store(true, Ordering::Release);
        Ok(())
    }

    /// The same for bytes that are already read.
    fn verify_bytes(&self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match &self.check {
            Some((entry, expected)) if !self.is_verified.load(Ordering::Acquire) => {
                Crc::of(bytes).expect(*expected, entry)?;
                self.is_verified.store(true, Ordering::Release);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Row-major copy of the elements of a strided view; `span` begins at its first element.
fn gather(span: &[u8], width: usize, shape: &[usize], strides: &[u64]) -> Vec<u8> {
    let n_elements: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(n_elements.saturating_mul(width));
    let steps: Vec<usize> = strides
        .iter()
        .map(|&stride| usize::try_from(stride).unwrap_or(usize::MAX).saturating_mul(width))
        .collect();
    let (&n_columns, rows) = shape.split_last().unwrap_or((&1, &[]));
    let column_step = steps.last().copied().unwrap_or_default();
    let mut index = vec![0_usize; rows.len()];
    loop {
        let row_start: usize = index.iter().zip(&steps).map(|(&i, &step)| i.saturating_mul(step)).sum();
        for column in 0..n_columns {
            let at = row_start + column.saturating_mul(column_step);
            // In range: the view was checked against its storage when it was made.
            bytes.extend_from_slice(span.get(at..at.saturating_add(width)).unwrap_or_default());
        }
        // Counts the row index up by one, last dimension fastest.
        let mut carries = true;
        for (i, &dim) in index.iter_mut().zip(rows).rev() {
            *i += 1;
            if *i < dim {
                carries = false;
                break;
            }
            *i = 0;
        }
        if carries {
            return bytes;
        }
    }
}

/// The bytes that repeated elements of all tensors take together.
#[derive(Debug, Default)]
pub(super) struct Repeated(u64);

impl Repeated {
    pub(super) fn add(&mut self, view: &TensorView) -> Result<(), PickleProblem> {
        self.0 = self.0.saturating_add(view.repeated_bytes());
        let limit = Limit::RepeatedBytes;
        if self.0 > limit.most() {
            return Err(PickleProblem::Limit { limit });
        }
        Ok(())
    }
}
