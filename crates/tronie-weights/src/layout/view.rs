//! Files seen under other names: nothing is copied, and a tensor is changed when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tronie_base::{Fault, Faulty};

use super::Transform;
use crate::{RawTensor, TensorFile, TensorMeta, WeightsFault};

/// What is done to the source tensors of a [`Recipe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The tensor as it is.
    Copy,
    /// Dimensions of 1 behind the second are dropped.
    Squeeze,
    /// Two dimensions of 1 are added behind.
    Unsqueeze,
    /// One of several equal bands of rows.
    Rows {
        /// Which, from 0.
        part: usize,
        /// Of how many.
        of: usize,
    },
    /// The tensors below one another.
    Stack,
    /// Rows and columns exchanged.
    Transpose,
}

/// How one tensor is made from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Names of the tensors it is made of; one, except for [`Operation::Stack`].
    pub sources: Vec<String>,
    /// What is done to them.
    pub operation: Operation,
}

impl Recipe {
    /// The tensor `name`, unchanged.
    #[must_use]
    pub fn copy(name: &str) -> Self {
        Self { sources: vec![name.to_owned()], operation: Operation::Copy }
    }

    /// Undoes the transforms that made `pieces` from one tensor; `pieces` are sorted. `None` when one is missing or double.
    pub(super) fn joined(pieces: &[(Transform, &str)]) -> Option<Self> {
        let sources: Vec<String> = pieces.iter().map(|(_, name)| (*name).to_owned()).collect();
        let operation = match pieces {
            [(Transform::Rename, _)] => Operation::Copy,
            [(Transform::Reshape, _)] => Operation::Unsqueeze,
            [(Transform::Transpose, _)] => Operation::Transpose,
            bands => {
                let n = bands.len();
                let complete = bands
                    .iter()
                    .enumerate()
                    .all(|(index, (transform, _))| *transform == Transform::SplitRows { part: index, of: n });
                (complete && n > 1).then_some(Operation::Stack)?
            }
        };
        Some(Self { sources, operation })
    }
}

/// A tensor that does not have the shape its place in the layout asks for.
#[derive(Debug, thiserror::Error)]
#[error("tensor \"{name}\" has shape {found:?}, which {operation:?} cannot take")]
pub struct ShapeError {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// What was to be done to it.
    pub operation: Operation,
}

impl Faulty for ShapeError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("the file is damaged or was written by a tool with its own idea of the layout".into())
    }
}

/// A file, or a part of it, under other names.
pub struct Renamed<'a> {
    source: Arc<dyn TensorFile + 'a>,
    recipes: BTreeMap<String, Recipe>,
}

impl<'a> Renamed<'a> {
    /// A view of `source` with exactly the tensors of `recipes`.
    #[must_use]
    pub fn new(source: Arc<dyn TensorFile + 'a>, recipes: BTreeMap<String, Recipe>) -> Self {
        Self { source, recipes }
    }
}

impl TensorFile for Renamed<'_> {
    fn names(&self) -> Vec<String> {
        self.recipes.keys().cloned().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        let recipe = self.recipes.get(name)?;
        let mut metas = recipe.sources.iter().map(|source| self.source.meta(source));
        let first = metas.next()??;
        let rest = metas.collect::<Option<Vec<_>>>()?;
        // What cannot be reshaped is shown as it is; reading it says what is wrong.
        let shape = reshaped(recipe.operation, &first.shape, &rest).unwrap_or(first.shape);
        Some(TensorMeta { dtype: first.dtype, shape })
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(recipe) = self.recipes.get(name) else {
            return Ok(None);
        };
        let mut tensors = Vec::with_capacity(recipe.sources.len());
        for source in &recipe.sources {
            match self.source.read(source)? {
                Some(tensor) => tensors.push(tensor),
                None => return Ok(None),
            }
        }
        let Some((first, rest)) = tensors.split_first() else {
            return Ok(None);
        };
        let metas: Vec<TensorMeta> = rest.iter().map(|tensor| tensor.meta.clone()).collect();
        let shape = reshaped(recipe.operation, &first.meta.shape, &metas);
        let dtype = first.meta.dtype;
        let (Some(shape), true) = (shape, metas.iter().all(|meta| meta.dtype == dtype)) else {
            return Err(Box::new(ShapeError {
                name: recipe.sources.first().cloned().unwrap_or_default(),
                found: first.meta.shape.clone(),
                operation: recipe.operation,
            }));
        };
        let meta = TensorMeta { dtype, shape };
        let bytes = match recipe.operation {
            Operation::Copy | Operation::Squeeze | Operation::Unsqueeze => {
                tensors.into_iter().next().map(|tensor| tensor.bytes).unwrap_or_default()
            }
            Operation::Rows { part, .. } => {
                let size = meta.size_bytes().unwrap_or_default();
                first.bytes.chunks_exact(size.max(1)).nth(part).unwrap_or_default().to_vec()
            }
            Operation::Stack => tensors.into_iter().flat_map(|tensor| tensor.bytes).collect(),
            Operation::Transpose => transposed(first),
        };
        Ok(Some(RawTensor { meta, bytes }))
    }
}

/// The shape after an operation; `None` when the operation does not apply.
fn reshaped(operation: Operation, shape: &[usize], rest: &[TensorMeta]) -> Option<Vec<usize>> {
    match (operation, shape) {
        (Operation::Copy, _) => Some(shape.to_vec()),
        (Operation::Squeeze, [rows, columns, ones @ ..]) if ones.iter().all(|&dim| dim == 1) => {
            Some(vec![*rows, *columns])
        }
        // A bias of the same layer has nothing to drop.
        (Operation::Squeeze, [_]) => Some(shape.to_vec()),
        (Operation::Unsqueeze, [rows, columns]) => Some(vec![*rows, *columns, 1, 1]),
        (Operation::Rows { part, of }, [rows, columns @ ..]) if part < of && rows % of == 0 => {
            Some([&[rows / of], columns].concat())
        }
        (Operation::Stack, [rows, columns @ ..]) => {
            let mut total = *rows;
            for meta in rest {
                let (more, same) = meta.shape.split_first()?;
                if same != columns {
                    return None;
                }
                total = total.checked_add(*more)?;
            }
            Some([&[total], columns].concat())
        }
        (Operation::Transpose, [rows, columns]) => Some(vec![*columns, *rows]),
        _ => None,
    }
}

fn transposed(tensor: &RawTensor) -> Vec<u8> {
    let size = tensor.meta.dtype.size_bytes();
    let n_columns = tensor.meta.shape.get(1).copied().unwrap_or_default();
    let row_size = (size * n_columns).max(1);
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for column in 0..n_columns {
        let rows = tensor.bytes.chunks_exact(row_size);
        bytes.extend(rows.filter_map(|row| row.get(column * size..(column + 1) * size)).flatten());
    }
    bytes
}

/// Several files as one; where two have a name, the first is asked.
pub struct Union<'a>(pub Vec<Box<dyn TensorFile + 'a>>);

impl TensorFile for Union<'_> {
    fn names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.0.iter().flat_map(|file| file.names()).collect();
        names.into_iter().collect()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.0.iter().find_map(|file| file.meta(name))
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let file = self.0.iter().find(|file| file.meta(name).is_some());
        file.map_or(Ok(None), |file| file.read(name))
    }
}

/// A borrowed file is a file.
impl TensorFile for &dyn TensorFile {
    fn names(&self) -> Vec<String> {
        (**self).names()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        (**self).meta(name)
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        (**self).read(name)
    }
}
