//! The one shape every checkpoint file takes once it is open: named tensors, read when asked for.

use tronie_base::Faulty;

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of an IEEE single.
    BF16,
    /// Signed 64 bit.
    I64,
    /// Signed 32 bit.
    I32,
    /// Signed 16 bit.
    I16,
    /// Signed 8 bit.
    I8,
    /// Unsigned 8 bit.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// Bytes of one number.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

/// What is known of a tensor without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMeta {
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Its dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorMeta {
    /// Bytes of the whole tensor; `None` when the product does not fit the machine.
    #[must_use]
    pub fn size_bytes(&self) -> Option<usize> {
        let mut dims = self.shape.iter();
        dims.try_fold(self.dtype.size_bytes(), |product, &dim| product.checked_mul(dim))
    }
}

/// A tensor in memory: contiguous, row-major, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTensor {
    /// Type and shape; `bytes.len() == meta.size_bytes()`.
    pub meta: TensorMeta,
    /// The numbers.
    pub bytes: Vec<u8>,
}

/// What can go wrong with a file, whatever its format.
pub type WeightsFault = Box<dyn Faulty + Send + Sync>;

/// An open checkpoint file, or a renamed view of one. Nothing is read before [`TensorFile::read`].
pub trait TensorFile: Send + Sync {
    /// All names, sorted.
    fn names(&self) -> Vec<String>;

    /// Type and shape of a tensor, `None` when there is none of that name.
    fn meta(&self, name: &str) -> Option<TensorMeta>;

    /// The tensor's numbers; `None` when there is none of that name.
    ///
    /// # Errors
    /// Whatever kept a tensor that is there from being read: the file was cut or changed, or reading failed.
    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault>;
}
