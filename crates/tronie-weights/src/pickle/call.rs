//! What the allowed names stand for: each "call" of one becomes a piece of inert data.

use super::arena::{Dict, Id, Object};
use super::cursor::Stuck;
use super::error::{Limit, PickleProblem};
use super::globals::Global;
use super::machine::Machine;
use super::numpy::{NumpyArray, NumpyDtype};
use super::storage::{StorageRef, StorageSlice, TensorView};
use crate::source::shown;

/// No known name takes more.
const MOST_ARGUMENTS: usize = 7;

impl Machine<'_, '_> {
    /// REDUCE: a function and its arguments.
    pub(super) fn reduce(&mut self) -> Result<(), Stuck> {
        let [function, arguments] = self.pop_array()?;
        let object = match *self.arena.get(function) {
            Object::Global(global) => {
                let arguments = self.arguments(global, arguments)?;
                self.call(global, &arguments)?
            }
            Object::Foreign => Object::Foreign,
            ref other => return Err(kind("a known function", other).into()),
        };
        Ok(self.push(object)?)
    }

    /// NEWOBJ: a class and its arguments.
    pub(super) fn new_object(&mut self) -> Result<(), Stuck> {
        let [class, arguments] = self.pop_array()?;
        let object = match *self.arena.get(class) {
            Object::Global(global @ (Global::OrderedDict | Global::Set)) => {
                let arguments = self.arguments(global, arguments)?;
                self.call(global, &arguments)?
            }
            Object::Global(global) => return Err(PickleProblem::Call { name: global.name() }.into()),
            Object::Foreign => Object::Foreign,
            ref other => return Err(kind("a known class", other).into()),
        };
        Ok(self.push(object)?)
    }

    fn call(&mut self, global: Global, arguments: &[Id]) -> Result<Object, PickleProblem> {
        let wrong_number =
            |expected| PickleProblem::Arguments { name: global.name(), expected, found: arguments.len() };
        match (global, arguments) {
            (Global::OrderedDict, []) => Ok(ordered(Vec::new())),
            (Global::OrderedDict, &[pairs]) => self.pairs(pairs).map(ordered),
            (Global::OrderedDict, _) => Err(wrong_number("0 or 1")),
            (Global::Set, []) => Ok(Object::Set(Vec::new())),
            (Global::Set, &[items]) => Ok(Object::Set(self.items(items)?.to_vec())),
            (Global::Set, _) => Err(wrong_number("0 or 1")),
            // Gradient flag and hooks (and since 2.0 metadata) say nothing about the numbers.
            (
                Global::RebuildTensor,
                &[storage, offset, shape, strides, _, _] | &[storage, offset, shape, strides, _, _, _],
            ) => self.tensor(storage, offset, [shape, strides]),
            (Global::RebuildTensor, _) => Err(wrong_number("6 or 7")),
            (Global::RebuildParameter, &[tensor, _, _]) => match self.arena.get(tensor) {
                tensor @ (Object::Tensor(_) | Object::Foreign) => Ok(tensor.clone()),
                other => Err(kind("a tensor", other)),
            },
            (Global::RebuildParameter, _) => Err(wrong_number("3")),
            (Global::NumpyScalar, &[dtype, bytes]) => self.numpy_dtype(dtype)?.scalar(self.raw(bytes)?),
            (Global::NumpyScalar, _) => Err(wrong_number("2")),
            (Global::NumpyReconstruct, &[class, _, _]) => match self.arena.get(class) {
                Object::Global(Global::NumpyArray) => Ok(Object::NumpyArray(Box::new(NumpyArray::unset()))),
                other => Err(kind("numpy.ndarray", other)),
            },
            (Global::NumpyReconstruct, _) => Err(wrong_number("3")),
            (Global::NumpyDtype, &[code, ..]) => NumpyDtype::parse(self.name(code)?).map(Object::NumpyDtype),
            (Global::NumpyDtype, []) => Err(wrong_number("1 to 3")),
            (Global::Encode, &[text, encoding]) => self.encode(text, encoding),
            (Global::Encode, _) => Err(wrong_number("2")),
            (Global::Storage(_) | Global::NumpyArray | Global::ModelCheckpoint, _) => {
                Err(PickleProblem::Call { name: global.name() })
            }
        }
    }

    /// `_rebuild_tensor_v2`: a window on a storage.
    fn tensor(
        &mut self,
        storage: Id,
        offset: Id,
        [shape, strides]: [Id; 2],
    ) -> Result<Object, PickleProblem> {
        let slice = match *self.arena.get(storage) {
            Object::Storage(slice) => slice,
            Object::Foreign => return Ok(Object::Foreign),
            ref other => return Err(kind("a storage", other)),
        };
        let offset = self.count(offset, "a tensor's offset")?;
        let shape = self.shape(shape)?;
        let strides: Result<Vec<u64>, _> =
            self.items(strides)?.iter().map(|&stride| self.count(stride, "a stride")).collect();
        let declared = self.storages.get(slice.index).ok_or(PickleProblem::Underflow)?;
        let view = TensorView::new((declared, slice), offset, shape, strides?)?;
        self.repeated.add(&view)?;
        Ok(Object::Tensor(Box::new(view)))
    }

    /// `codecs.encode(text, "latin1")`: how bytes are spelled in protocol 2.
    fn encode(&self, text: Id, encoding: Id) -> Result<Object, PickleProblem> {
        let not_bytes = PickleProblem::Kind { expected: "bytes as latin1 text", found: "other text" };
        if !matches!(self.text(encoding)?, "latin1" | "latin-1") {
            return Err(not_bytes);
        }
        let bytes: Option<Vec<u8>> = self.text(text)?.chars().map(|c| u8::try_from(c).ok()).collect();
        bytes.map(Object::Bytes).ok_or(not_bytes)
    }

    /// BUILD: sets the state of the object below.
    pub(super) fn build(&mut self) -> Result<(), Stuck> {
        let state = self.pop()?;
        let target = self.top()?;
        let new = match self.arena.get(target) {
            Object::Foreign => return Ok(()),
            // Attributes of a state dictionary (`_metadata`) say nothing about its tensors.
            Object::Dict(dict) if dict.is_ordered => {
                return match self.arena.get(state) {
                    Object::Dict(_) | Object::Foreign => Ok(()),
                    other => Err(kind("a dictionary of attributes", other).into()),
                };
            }
            Object::NumpyDtype(dtype) => self.numpy_dtype_state(dtype.clone(), state)?,
            Object::NumpyArray(_) => self.numpy_array_state(state)?,
            other => return Err(kind("an OrderedDict, numpy type or numpy array", other).into()),
        };
        self.arena.charge(new.n_owned_bytes())?;
        if let Some(object) = self.arena.get_mut(target) {
            *object = new;
        }
        Ok(())
    }

    /// (version, byte order, base type, field names, fields, width, alignment, flags).
    fn numpy_dtype_state(&self, mut dtype: NumpyDtype, state: Id) -> Result<Object, PickleProblem> {
        let state = self.items(state)?;
        let [_, order, base, names, fields, ..] = *state else {
            return Err(PickleProblem::Arguments {
                name: "dtype",
                expected: "5 or more",
                found: state.len(),
            });
        };
        for part in [base, names, fields] {
            if !matches!(self.arena.get(part), Object::None) {
                return Err(PickleProblem::NumpyType { found: dtype.code });
            }
        }
        dtype.is_big_endian = self.text(order)? == ">";
        Ok(Object::NumpyDtype(dtype))
    }

    /// (version, shape, type, whether the first index runs fastest, bytes).
    fn numpy_array_state(&self, state: Id) -> Result<Object, PickleProblem> {
        let state = self.items(state)?;
        let [_, shape, dtype, order, bytes] = *state else {
            return Err(PickleProblem::Arguments { name: "ndarray", expected: "5", found: state.len() });
        };
        let column_major = match *self.arena.get(order) {
            Object::Bool(column_major) => column_major,
            ref other => return Err(kind("a bool", other)),
        };
        let dtype = self.numpy_dtype(dtype)?.clone();
        let array = NumpyArray::new(dtype, self.shape(shape)?, column_major, self.raw(bytes)?)?;
        Ok(Object::NumpyArray(Box::new(array)))
    }

    /// BINPERSID: a storage, ("storage", class, key, device, number of elements) and in old files a part of it,
    /// None or (key, offset, number of elements).
    pub(super) fn persistent(&mut self) -> Result<(), Stuck> {
        let id = self.pop()?;
        let parts = self.items(id)?;
        let (class, key, n_elements, part) = match *parts {
            [tag, class, key, _, n_elements] if self.is_text(tag, "storage") => {
                (class, key, n_elements, None)
            }
            [tag, class, key, _, n_elements, part] if self.is_text(tag, "storage") => {
                (class, key, n_elements, Some(part))
            }
            _ => return Err(kind("the description of a storage", self.arena.get(id)).into()),
        };
        let dtype = match *self.arena.get(class) {
            Object::Global(Global::Storage(dtype)) => dtype,
            Object::Foreign => return Ok(self.push(Object::Foreign)?),
            ref other => return Err(kind("a storage class", other).into()),
        };
        let storage = StorageRef {
            key: self.name(key)?.to_owned(),
            dtype,
            n_elements: self.count(n_elements, "a storage's number of elements")?,
        };
        let n_elements = storage.n_elements;
        let (start, len) = match part.map(|part| (part, self.arena.get(part))) {
            None | Some((_, Object::None)) => (0, n_elements),
            Some((part, _)) => self.storage_part(part, &storage)?,
        };
        let index = self.declare(storage)?;
        Ok(self.push(Object::Storage(StorageSlice { index, start, len }))?)
    }

    fn storage_part(&self, part: Id, storage: &StorageRef) -> Result<(u64, u64), PickleProblem> {
        let parts = self.items(part)?;
        let [_, start, len] = *parts else {
            return Err(kind("a part of a storage", self.arena.get(part)));
        };
        let start = self.count(start, "the start of a part of a storage")?;
        let len = self.count(len, "the length of a part of a storage")?;
        if start.saturating_add(len) > storage.n_elements {
            return Err(PickleProblem::TensorRange {
                storage: shown(&storage.key),
                n_elements: storage.n_elements,
                reached: u128::from(start) + u128::from(len),
            });
        }
        Ok((start, len))
    }

    /// The row of a storage, the same whenever it is named again.
    fn declare(&mut self, storage: StorageRef) -> Result<usize, PickleProblem> {
        if let Some(&index) = self.storage_by_key.get(&storage.key) {
            // An empty storage has no numbers that two types could disagree about.
            let known = self.storages.get(index);
            let is_same =
                known.is_some_and(|known| *known == storage || known.n_elements + storage.n_elements == 0);
            if is_same {
                return Ok(index);
            }
            return Err(PickleProblem::StorageConflict { storage: shown(&storage.key) });
        }
        self.arena.charge(2 * (size_of::<StorageRef>() + storage.key.len()))?;
        let index = self.storages.len();
        self.storage_by_key.insert(storage.key.clone(), index);
        self.storages.push(storage);
        Ok(index)
    }

    /// The arguments of a call. Copied, so their number is checked first: a long tuple could be passed again and again.
    fn arguments(&self, global: Global, id: Id) -> Result<Vec<Id>, PickleProblem> {
        let items = self.items(id)?;
        if items.len() > MOST_ARGUMENTS {
            return Err(PickleProblem::Arguments {
                name: global.name(),
                expected: "at most 7",
                found: items.len(),
            });
        }
        Ok(items.to_vec())
    }

    /// The members of a list, tuple or set.
    fn items(&self, id: Id) -> Result<&[Id], PickleProblem> {
        match self.arena.get(id) {
            Object::List(items) | Object::Tuple(items) | Object::Set(items) => Ok(items),
            other => Err(kind("a tuple", other)),
        }
    }

    /// The members of a list of pairs.
    fn pairs(&self, id: Id) -> Result<Vec<(Id, Id)>, PickleProblem> {
        let items = self.items(id)?.iter();
        let pairs = items.map(|&pair| match *self.items(pair)? {
            [key, value] => Ok((key, value)),
            _ => Err(kind("a pair", self.arena.get(pair))),
        });
        pairs.collect()
    }

    fn text(&self, id: Id) -> Result<&str, PickleProblem> {
        match self.arena.get(id) {
            Object::Text(text) => Ok(text),
            other => Err(kind("text", other)),
        }
    }

    /// Text short enough to be a name.
    pub(super) fn name(&self, id: Id) -> Result<&str, PickleProblem> {
        let limit = Limit::NameBytes;
        let name = self.text(id)?;
        if name.len() as u64 > limit.most() {
            return Err(PickleProblem::Limit { limit });
        }
        Ok(name)
    }

    fn is_text(&self, id: Id, wanted: &str) -> bool {
        matches!(self.arena.get(id), Object::Text(text) if text == wanted)
    }

    /// Bytes; a Python 2 string that happens to be text is meant as bytes too.
    fn raw(&self, id: Id) -> Result<&[u8], PickleProblem> {
        match self.arena.get(id) {
            Object::Bytes(bytes) => Ok(bytes),
            Object::Text(text) => Ok(text.as_bytes()),
            other => Err(kind("bytes", other)),
        }
    }

    fn numpy_dtype(&self, id: Id) -> Result<&NumpyDtype, PickleProblem> {
        match self.arena.get(id) {
            Object::NumpyDtype(dtype) => Ok(dtype),
            other => Err(kind("a numpy type", other)),
        }
    }

    fn count(&self, id: Id, what: &'static str) -> Result<u64, PickleProblem> {
        match *self.arena.get(id) {
            Object::Int(found) => u64::try_from(found).map_err(|_| PickleProblem::Number { what, found }),
            ref other => Err(kind("a number from 0", other)),
        }
    }

    fn shape(&self, id: Id) -> Result<Vec<usize>, PickleProblem> {
        let dims = self.items(id)?.iter();
        let dims = dims.map(|&dim| {
            let what = "a dimension";
            let dim = self.count(dim, what)?;
            usize::try_from(dim).map_err(|_| PickleProblem::Number { what, found: i64::MAX })
        });
        dims.collect()
    }
}

fn ordered(pairs: Vec<(Id, Id)>) -> Object {
    Object::Dict(Dict { pairs, is_ordered: true })
}

fn kind(expected: &'static str, found: &Object) -> PickleProblem {
    let found = found.kind();
    PickleProblem::Kind { expected, found }
}
