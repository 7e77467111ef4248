//! The objects of a pickle while it is read.
//!
//! Objects refer to each other by number, never by pointer: sharing costs nothing, a value that contains itself leaks
//! nothing, and no object is dropped recursively however deep it lies.

use super::error::{Limit, PickleProblem};
use super::globals::Global;
use super::numpy::{NumpyArray, NumpyDtype};
use super::storage::{StorageSlice, TensorView};

/// The number of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// One object.
#[derive(Debug, Clone)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    BigInt(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Dict),
    Global(Global),
    Storage(StorageSlice),
    Tensor(Box<TensorView>),
    NumpyDtype(NumpyDtype),
    NumpyArray(Box<NumpyArray>),
    /// Whatever came of a global that is not allowed; only a scan makes it.
    Foreign,
}

/// A dictionary in the order its entries were set; a key may be there more than once, the last one counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Dict {
    pub(super) pairs: Vec<(Id, Id)>,
    /// Whether it is an OrderedDict, which may carry attributes.
    pub(super) is_ordered: bool,
}

impl Object {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::BigInt(_) => "a long integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::NumpyDtype(_) => "a numpy type",
            Self::NumpyArray(_) => "a numpy array",
            Self::Foreign => "a foreign object",
        }
    }

    /// Bytes it owns outside itself when it is made.
    pub(super) fn n_owned_bytes(&self) -> usize {
        match self {
            Self::BigInt(bytes) | Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::List(ids) | Self::Tuple(ids) | Self::Set(ids) => size_of_val(ids.as_slice()),
            Self::Dict(dict) => size_of_val(dict.pairs.as_slice()),
            Self::Tensor(view) => size_of::<TensorView>() + 16 * view.meta().shape.len(),
            Self::NumpyArray(array) => size_of::<NumpyArray>() + array.n_owned_bytes(),
            Self::NumpyDtype(dtype) => dtype.code.len(),
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Global(_) | Self::Storage(_) | Self::Foreign => 0,
        }
    }
}

/// All objects, within a budget of bytes.
#[derive(Debug, Default)]
pub(super) struct Arena {
    objects: Vec<Object>,
    n_bytes: u64,
}

impl Arena {
    pub(super) fn add(&mut self, object: Object) -> Result<Id, PickleProblem> {
        let too_large = PickleProblem::Limit { limit: Limit::ValueBytes };
        let id = u32::try_from(self.objects.len()).map_err(|_| too_large)?;
        self.charge(size_of::<Object>().saturating_add(object.n_owned_bytes()))?;
        self.objects.push(object);
        Ok(Id(id))
    }

    /// Counts bytes that something else keeps for an object.
    pub(super) fn charge(&mut self, n_bytes: usize) -> Result<(), PickleProblem> {
        let limit = Limit::ValueBytes;
        self.n_bytes = self.n_bytes.saturating_add(n_bytes as u64);
        if self.n_bytes > limit.most() {
            return Err(PickleProblem::Limit { limit });
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn get(&self, id: Id) -> &Object {
        // Every id was given out by `add`, and objects are never removed.
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Object> {
        self.objects.get_mut(id.0 as usize)
    }
}

impl Id {
    /// Its place in the order of making.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}
