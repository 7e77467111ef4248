//! Numpy values inside a checkpoint: step counters, learning rates, random states.
//!
//! Reference: `numpy.ndarray.__reduce__` and `numpy.dtype.__reduce__`; a type is a code (`f4`) and a byte order that
//! is set afterwards, an array is empty until its state (version, shape, type, order, bytes) is set.

use half::f16;

use super::arena::Object;
use super::error::PickleProblem;
use crate::source::shown;

/// A numpy type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumpyDtype {
    /// Kind and width in bytes, without byte order.
    pub(super) code: String,
    kind: char,
    /// Bytes of one value.
    width: usize,
    pub(super) is_big_endian: bool,
}

impl NumpyDtype {
    /// Reads a code: bool, integers, floats, and fixed-width text or bytes. Object arrays hold pickles of their own.
    pub(super) fn parse(code: &str) -> Result<Self, PickleProblem> {
        let not_plain = || PickleProblem::NumpyType { found: shown(code) };
        let (order, rest) = match code.chars().next() {
            Some(order @ ('<' | '>' | '|' | '=')) => (order, code.get(1..).unwrap_or_default()),
            _ => ('=', code),
        };
        let mut chars = rest.chars();
        let kind = chars.next().ok_or_else(not_plain)?;
        let n: usize = chars.as_str().parse().map_err(|_| not_plain())?;
        let width = match (kind, n) {
            ('b', 1) | ('f', 2 | 4 | 8) | ('i' | 'u', 1 | 2 | 4 | 8) | ('S' | 'V', _) => Some(n),
            ('U', _) => n.checked_mul(4),
            _ => None,
        };
        Ok(Self {
            code: rest.to_owned(),
            kind,
            width: width.ok_or_else(not_plain)?,
            is_big_endian: order == '>',
        })
    }

    /// The value of one number; text and bytes stay bytes.
    pub(super) fn scalar(&self, bytes: &[u8]) -> Result<Object, PickleProblem> {
        if bytes.len() != self.width {
            return Err(PickleProblem::NumpySize { expected: self.width as u64, found: bytes.len() as u64 });
        }
        let bytes = self.little_endian(bytes.to_vec());
        let mut wide = [0; 8];
        if !matches!(self.kind, 'b' | 'f' | 'i' | 'u') {
            return Ok(Object::Bytes(bytes));
        }
        for (to, from) in wide.iter_mut().zip(&bytes) {
            *to = *from;
        }
        let unsigned = u64::from_le_bytes(wide);
        let [low, high, ..] = wide;
        Ok(match (self.kind, self.width) {
            ('b', _) => Object::Bool(unsigned != 0),
            ('f', 2) => Object::Float(f16::from_le_bytes([low, high]).to_f64()),
            ('f', 4) => Object::Float(f64::from(f32::from_bits(u32::try_from(unsigned).unwrap_or_default()))),
            ('f', _) => Object::Float(f64::from_bits(unsigned)),
            ('i', width) => {
                let n_missing = 64 - 8 * u32::try_from(width).unwrap_or(8);
                Object::Int(unsigned.cast_signed().wrapping_shl(n_missing) >> n_missing)
            }
            _ => match i64::try_from(unsigned) {
                Ok(number) => Object::Int(number),
                // The ninth byte says that the number is positive.
                Err(_) => Object::BigInt([&unsigned.to_le_bytes()[..], &[0]].concat()),
            },
        })
    }

    fn little_endian(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let n_unit = if self.kind == 'U' { 4 } else { self.width };
        let is_number = !matches!(self.kind, 'S' | 'V');
        if self.is_big_endian && is_number && n_unit > 1 {
            bytes.chunks_exact_mut(n_unit).for_each(<[u8]>::reverse);
        }
        bytes
    }
}

/// A numpy array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumpyArray {
    pub(super) dtype: NumpyDtype,
    pub(super) shape: Vec<usize>,
    pub(super) column_major: bool,
    pub(super) bytes: Vec<u8>,
}

impl NumpyArray {
    /// Checks the bytes against type and shape and puts them in little-endian order.
    pub(super) fn new(
        dtype: NumpyDtype,
        shape: Vec<usize>,
        column_major: bool,
        bytes: &[u8],
    ) -> Result<Self, PickleProblem> {
        let mut dims = shape.iter();
        let expected = dims.try_fold(dtype.width, |product, &dim| product.checked_mul(dim));
        if expected != Some(bytes.len()) {
            return Err(PickleProblem::NumpySize {
                expected: expected.map_or(u64::MAX, |n| n as u64),
                found: bytes.len() as u64,
            });
        }
        let bytes = dtype.little_endian(bytes.to_vec());
        Ok(Self { dtype, shape, column_major, bytes })
    }

    /// An array that was begun and has no state yet.
    pub(super) fn unset() -> Self {
        let dtype = NumpyDtype { code: "u1".into(), kind: 'u', width: 1, is_big_endian: false };
        Self { dtype, shape: vec![0], column_major: false, bytes: Vec::new() }
    }

    pub(super) fn n_owned_bytes(&self) -> usize {
        self.bytes.len() + self.dtype.code.len() + size_of_val(self.shape.as_slice())
    }
}
