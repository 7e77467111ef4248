//! The Python names a checkpoint may mention, and what each stands for.
//!
//! A name that is not here is refused by name. None of these is ever called: each stands for a piece of inert data.

use crate::Dtype;

/// A known name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// A dictionary.
    OrderedDict,
    /// A set.
    Set,
    /// Storage, offset, shape and strides make a tensor.
    RebuildTensor,
    /// A tensor that is a parameter; here the same thing.
    RebuildParameter,
    /// The kind of numbers a storage has.
    Storage(Dtype),
    /// One number of a numpy type.
    NumpyScalar,
    /// An array, filled in afterwards.
    NumpyReconstruct,
    /// The class an array has.
    NumpyArray,
    /// A numpy type.
    NumpyDtype,
    /// How Python 2 pickles spell bytes.
    Encode,
    /// A class that PyTorch Lightning uses as a dictionary key.
    ModelCheckpoint,
}

/// (module, name, meaning). Names that Python or numpy moved are here once for each place.
const ALLOWED: [(&str, &str, Global); 23] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("__builtin__", "set", Global::Set),
    ("builtins", "set", Global::Set),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch", "DoubleStorage", Global::Storage(Dtype::F64)),
    ("torch", "FloatStorage", Global::Storage(Dtype::F32)),
    ("torch", "HalfStorage", Global::Storage(Dtype::F16)),
    ("torch", "BFloat16Storage", Global::Storage(Dtype::BF16)),
    ("torch", "LongStorage", Global::Storage(Dtype::I64)),
    ("torch", "IntStorage", Global::Storage(Dtype::I32)),
    ("torch", "ShortStorage", Global::Storage(Dtype::I16)),
    ("torch", "CharStorage", Global::Storage(Dtype::I8)),
    ("torch", "ByteStorage", Global::Storage(Dtype::U8)),
    ("torch", "BoolStorage", Global::Storage(Dtype::Bool)),
    ("numpy.core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy._core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy.core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy._core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy", "ndarray", Global::NumpyArray),
    ("numpy", "dtype", Global::NumpyDtype),
    ("_codecs", "encode", Global::Encode),
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", Global::ModelCheckpoint),
];

impl Global {
    /// The meaning of a name, `None` when it is not allowed.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        let mut rows = ALLOWED.iter();
        rows.find(|row| row.0 == module && row.1 == name).map(|row| row.2)
    }

    /// What to call it in messages.
    pub(super) fn name(self) -> &'static str {
        ALLOWED.iter().find(|row| row.2 == self).map_or("", |row| row.1)
    }
}
