//! Fills a network from a source of named tensors.
//!
//! The walk visits every parameter of the module under its path (`down_blocks.0.resnets.1.conv1.weight`), which is
//! the diffusers key. Names that are missing or of another shape are collected, so one error tells all.

use std::collections::BTreeMap;

use tronie_base::{Fault, Faulty};
use tronie_tensor::burn::module::Param;
use tronie_tensor::{DType, Device, Module, ModuleMapper, ModuleVisitor, Tensor, TensorData};
use tronie_weights::{Dtype, RawTensor, TensorFile, WeightsFault};

/// A network that could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Parameters the file does not have.
    #[error("{n} of the network's tensors are not in the file, first \"{name}\"", n = .names.len(), name = .names.first().map_or("", String::as_str))]
    Missing {
        /// All of them, by diffusers name.
        names: Vec<String>,
        /// The name in the file most like the first.
        nearest: Option<String>,
    },
    /// A parameter of another shape than the network's.
    #[error("tensor \"{name}\" is {found:?} in the file, the network needs {expected:?}")]
    Shape {
        /// Its diffusers name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape in the network.
        expected: Vec<usize>,
    },
    /// A parameter stored as integers.
    #[error("tensor \"{name}\" is stored as {found:?}, expected F64, F32, F16 or BF16")]
    Dtype {
        /// Its diffusers name.
        name: String,
        /// What the file says.
        found: Dtype,
    },
    /// A parameter that is there and could not be read.
    #[error("tensor \"{name}\" cannot be read: {cause}")]
    Read {
        /// Its diffusers name.
        name: String,
        /// What the file said.
        cause: WeightsFault,
    },
}

impl Faulty for LoadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } | Self::Shape { .. } | Self::Dtype { .. } => Fault::Input,
            Self::Read { cause, .. } => cause.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { nearest: Some(nearest), .. } => {
                Some(format!("the nearest name in the file is \"{nearest}\""))
            }
            Self::Missing { nearest: None, .. } => {
                Some("the file holds no tensors of this network at all".into())
            }
            Self::Shape { .. } => {
                Some("the file belongs to another family; tronie models inspect tells which".into())
            }
            Self::Dtype { .. } => {
                Some("quantised checkpoints are not supported; use the f16 or f32 file".into())
            }
            Self::Read { cause, .. } => cause.hint(),
        }
    }
}

/// Fills every parameter of `network` from `source`, keeping the stored dtype.
///
/// # Errors
/// [`LoadError`], naming what is missing or does not fit.
pub fn load<M: Module>(network: M, source: &dyn TensorFile, device: &Device) -> Result<M, LoadError> {
    let (network, missing) = filled(network, source, device)?;
    match missing.first() {
        None => Ok(network),
        Some(name) => {
            let nearest = nearest(name, source.names());
            Err(LoadError::Missing { names: missing, nearest })
        }
    }
}

/// The same, where parameters that `source` does not have keep their values.
pub(crate) fn load_over<M: Module>(
    network: M,
    source: &dyn TensorFile,
    device: &Device,
) -> Result<M, LoadError> {
    filled(network, source, device).map(|(network, _)| network)
}

/// The network with what there is, and the names of what there is not.
fn filled<M: Module>(
    network: M,
    source: &dyn TensorFile,
    device: &Device,
) -> Result<(M, Vec<String>), LoadError> {
    let mut filler = Filler { source, device, path: Vec::new(), missing: Vec::new(), first_error: None };
    let network = network.map(&mut filler);
    filler.first_error.map_or(Ok((network, filler.missing)), Err)
}

struct Filler<'a> {
    source: &'a dyn TensorFile,
    device: &'a Device,
    path: Vec<String>,
    missing: Vec<String>,
    first_error: Option<LoadError>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.first_error.is_some() {
            return param;
        }
        let name = self.path.join(".");
        let expected = param.lazy_shape().to_vec();
        match self.source.read(&name) {
            Err(cause) => self.first_error = Some(LoadError::Read { name, cause }),
            Ok(None) => self.missing.push(name),
            Ok(Some(RawTensor { meta, .. })) if meta.shape != expected => {
                self.first_error = Some(LoadError::Shape { name, found: meta.shape, expected });
            }
            Ok(Some(RawTensor { meta, bytes })) => match float_dtype(meta.dtype) {
                None => self.first_error = Some(LoadError::Dtype { name, found: meta.dtype }),
                Some(dtype) => {
                    let data = TensorData::from_bytes_vec(bytes, meta.shape, dtype);
                    let tensor = Tensor::from_data(data, (self.device, dtype));
                    return Param::initialized(param.id, tensor);
                }
            },
        }
        param
    }
}

/// Names and shapes of all parameters of a network, which need not be filled.
pub fn parameter_shapes<M: Module>(network: &M) -> BTreeMap<String, Vec<usize>> {
    let mut walk = ShapeWalk::default();
    network.visit(&mut walk);
    walk.shapes
}

#[derive(Default)]
struct ShapeWalk {
    path: Vec<String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for ShapeWalk {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.insert(self.path.join("."), param.lazy_shape().to_vec());
    }
}

/// The tensor dtype that holds a file's numbers unchanged; `None` for integers, which no network weight is.
pub(crate) fn float_dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F64 => Some(DType::F64),
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::Bool => None,
    }
}

/// The name that differs least from `wanted`, by edit distance.
pub(crate) fn nearest(wanted: &str, names: Vec<String>) -> Option<String> {
    names.into_iter().min_by_key(|name| edit_distance(wanted, name))
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = *above;
            left = substituted.min(left + 1).min(diagonal + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
