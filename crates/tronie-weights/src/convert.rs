//! A tensor's numbers in another floating point format.

use half::{bf16, f16};
use tronie_base::{Fault, Faulty};

use crate::{Dtype, RawTensor, TensorMeta};

/// A conversion that is not offered: integers stay what they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot turn {found:?} numbers into {wanted:?}, only F64, F32, F16 and BF16 into each other")]
pub struct ConvertError {
    /// How the numbers are stored.
    pub found: Dtype,
    /// How they should have been stored.
    pub wanted: Dtype,
}

impl Faulty for ConvertError {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl RawTensor {
    /// The same numbers as `dtype`, rounded to nearest, ties to even; what is too large becomes infinite.
    ///
    /// F64 becomes F16 or BF16 by way of F32, as in PyTorch.
    ///
    /// # Errors
    /// [`ConvertError`] where one of the two types is not floating point and they differ.
    pub fn to_dtype(&self, dtype: Dtype) -> Result<Self, ConvertError> {
        let bytes = match self.meta.dtype {
            from if from == dtype => Some(self.bytes.clone()),
            Dtype::F64 => from_f64(&self.bytes, dtype),
            Dtype::F32 => from_f32(&self.bytes, f32::from_le_bytes, dtype),
            Dtype::F16 => from_f32(&self.bytes, |bytes| f16::from_le_bytes(bytes).to_f32(), dtype),
            Dtype::BF16 => from_f32(&self.bytes, |bytes| bf16::from_le_bytes(bytes).to_f32(), dtype),
            Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::Bool => None,
        };
        let bytes = bytes.ok_or(ConvertError { found: self.meta.dtype, wanted: dtype })?;
        let shape = self.meta.shape.clone();
        Ok(Self { meta: TensorMeta { dtype, shape }, bytes })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what was asked for")]
fn from_f64(bytes: &[u8], to: Dtype) -> Option<Vec<u8>> {
    from_f32(bytes, |bytes| f64::from_le_bytes(bytes) as f32, to)
}

/// Reads every number with `read` and writes it as `to`; `None` where `to` holds integers.
fn from_f32<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32, to: Dtype) -> Option<Vec<u8>> {
    match to {
        Dtype::F64 => Some(map(bytes, |number| f64::from(read(number)).to_le_bytes())),
        Dtype::F32 => Some(map(bytes, |number| read(number).to_le_bytes())),
        Dtype::F16 => Some(map(bytes, |number| f16::from_f32(read(number)).to_le_bytes())),
        Dtype::BF16 => Some(map(bytes, |number| bf16::from_f32(read(number)).to_le_bytes())),
        Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::Bool => None,
    }
}

fn map<const N: usize, const M: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> [u8; M]) -> Vec<u8> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().flat_map(|&number| convert(number)).collect()
}

#[cfg(test)]
mod tests;
