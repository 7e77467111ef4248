//! From objects that share each other to a tree of values.
//!
//! Forty lists, each holding the one before twice, are forty objects and a tree of 2^40: depth and size of the tree
//! are therefore measured before any of it is made.

use std::collections::HashMap;

use super::arena::{Arena, Dict, Id, Object};
use super::error::{Limit, PickleProblem};
use super::globals::Global;
use super::storage::StorageRef;
use super::value::Value;

/// The value that `root` stands for.
pub(super) fn grow(arena: &Arena, storages: &[StorageRef], root: Id) -> Result<Value, PickleProblem> {
    let mut measured = vec![None; arena.len()];
    let size = measure(arena, root, Limit::Depth.most(), &mut measured)?;
    if size.n_bytes > Limit::ValueBytes.most() {
        return Err(PickleProblem::Limit { limit: Limit::ValueBytes });
    }
    Ok(value(arena, storages, root))
}

/// Size of the tree below an object.
#[derive(Debug, Clone, Copy)]
struct Size {
    n_bytes: u64,
    /// Levels, 1 for a value without members.
    height: u64,
}

/// Recursion ends at `depth_left`, which also is how a value that contains itself is found.
fn measure(
    arena: &Arena,
    id: Id,
    depth_left: u64,
    measured: &mut [Option<Size>],
) -> Result<Size, PickleProblem> {
    let too_deep = PickleProblem::Limit { limit: Limit::Depth };
    let known = measured.get(id.index()).copied().flatten();
    if let Some(size) = known {
        return if size.height > depth_left { Err(too_deep) } else { Ok(size) };
    }
    let depth_below = depth_left.checked_sub(1).ok_or(too_deep)?;
    let object = arena.get(id);
    let mut size = Size { n_bytes: (size_of::<Value>() + object.n_owned_bytes()) as u64, height: 1 };
    let mut add = |child: Id| -> Result<(), PickleProblem> {
        let below = measure(arena, child, depth_below, measured)?;
        size.n_bytes = size.n_bytes.saturating_add(below.n_bytes);
        size.height = size.height.max(below.height + 1);
        Ok(())
    };
    match object {
        Object::List(items) | Object::Tuple(items) | Object::Set(items) => {
            items.iter().try_for_each(|&item| add(item))?;
        }
        Object::Dict(dict) => {
            for &(key, value) in &dict.pairs {
                add(key)?;
                add(value)?;
            }
        }
        _ => {}
    }
    if let Some(slot) = measured.get_mut(id.index()) {
        *slot = Some(size);
    }
    Ok(size)
}

fn value(arena: &Arena, storages: &[StorageRef], id: Id) -> Value {
    let members = |ids: &[Id]| ids.iter().map(|&id| value(arena, storages, id)).collect();
    match arena.get(id) {
        Object::None => Value::None,
        Object::Bool(truth) => Value::Bool(*truth),
        Object::Int(number) => Value::Int(*number),
        Object::BigInt(bytes) => Value::BigInt(bytes.clone()),
        Object::Float(number) => Value::Float(*number),
        Object::Text(text) => Value::Text(text.clone()),
        Object::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Object::List(ids) => Value::List(members(ids)),
        Object::Tuple(ids) => Value::Tuple(members(ids)),
        Object::Set(ids) => Value::Set(members(ids)),
        Object::Dict(dict) => Value::Dict(entries(arena, storages, dict)),
        Object::Global(global) => Value::Name(global.name()),
        Object::Storage(slice) => {
            let dtype = storages.get(slice.index).map(|storage| storage.dtype);
            Value::Name(dtype.map_or("", |dtype| Global::Storage(dtype).name()))
        }
        Object::Tensor(view) => Value::Tensor((**view).clone()),
        Object::NumpyDtype(dtype) => Value::Text(dtype.code.clone()),
        Object::NumpyArray(array) => Value::Array {
            dtype: array.dtype.code.clone(),
            shape: array.shape.clone(),
            column_major: array.column_major,
            bytes: array.bytes.clone(),
        },
        Object::Foreign => Value::Name("foreign"),
    }
}

/// As in Python, a key that is set again keeps its place and gets the new value.
fn entries(arena: &Arena, storages: &[StorageRef], dict: &Dict) -> Vec<(Value, Value)> {
    #[derive(PartialEq, Eq, Hash)]
    enum Key<'a> {
        Text(&'a str),
        Int(i64),
    }
    let mut rows: Vec<(Id, Id)> = Vec::with_capacity(dict.pairs.len());
    let mut row_of_key = HashMap::new();
    for &(key, value) in &dict.pairs {
        let plain = match arena.get(key) {
            Object::Text(text) => Some(Key::Text(text)),
            Object::Int(number) => Some(Key::Int(*number)),
            _ => None,
        };
        let row = plain.map(|plain| *row_of_key.entry(plain).or_insert(rows.len()));
        match row.and_then(|row| rows.get_mut(row)) {
            Some(row) => row.1 = value,
            None => rows.push((key, value)),
        }
    }
    let rows = rows.into_iter();
    rows.map(|(key, found)| (value(arena, storages, key), value(arena, storages, found))).collect()
}
