//! LoRA and its relatives in use: changes added to weights, and found again in the difference of two models.
//!
//! Hu et al. 2021 (arXiv:2106.09685): the weight becomes `W + strength * alpha / rank * up @ down`. For a convolution the
//! matrices' further dimensions are the kernel; `LyCORIS`' Tucker form has a core between them that holds the kernel
//! (Yeh et al. 2023, arXiv:2309.14859, section 4.2). What the other kinds add is in `lora/change.rs`.
//!
//! All changes of a weight are added up in f32 and rounded once, to the dtype the weight is stored in. That keeps an f16
//! model at its size, as A1111 does, and a merged file equal to the network that a prompt's `<lora:...>` runs; rounding
//! after each LoRA, or keeping the changed weights in f32, would give up one of the two.
//!
//! - [`apply`]: a network in memory; [`Merged`]: a file's tensors, changed as they are read
//! - [`extract()`]: the LoRA that makes one model from another

mod change;
mod error;
mod extract;
mod fit;
mod merged;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tronie_tensor::burn::module::Param;
use tronie_tensor::{DType, Device, Module, ModuleMapper, Tensor};
use tronie_weights::{Lora, Part};

use crate::load::parameter_shapes;
use change::{Change, Place};
use fit::{Shapes, check};

pub use error::{ExtractError, LoraFitError};
pub use extract::{Extracted, extract};
pub use merged::Merged;

/// A LoRA and how strongly it acts on one network.
#[derive(Debug, Clone, Copy)]
pub struct Acting<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// Its modules.
    pub lora: &'a Lora,
    /// 1 is the strength it was trained for, 0 changes nothing at all, negative values invert it.
    pub strength: f32,
}

/// The network with all of `loras` in its weights. Weights that none of them changes are shared with the network given.
///
/// # Errors
/// [`LoraFitError`]: a LoRA changes a module that the network does not have, or has in another shape.
pub fn apply<M: Module>(
    network: M,
    part: Part,
    loras: &[Acting<'_>],
    device: &Device,
) -> Result<M, LoraFitError> {
    let changes = Changes::new(part, loras, &parameter_shapes(&network), device)?;
    Ok(network.map(&mut Changer { changes: &changes, path: Vec::new() }))
}

/// What happens to the weights of one network, by the weights' names.
struct Changes(BTreeMap<String, Vec<Change>>);

impl Changes {
    /// Checks that every module of the LoRAs is among the weights of these shapes.
    fn new(part: Part, loras: &[Acting<'_>], shapes: &Shapes, device: &Device) -> Result<Self, LoraFitError> {
        let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for acting in loras {
            let modules = acting.lora.modules.iter().filter(|(target, _)| target.part == part);
            let places = modules.flat_map(|row| [Place::Weight, Place::Bias].map(|place| (row, place)));
            for ((target, module), place) in places {
                if !place.is_in(target, module, shapes) {
                    continue;
                }
                check(acting.name, (target, place), module, shapes)?;
                let change = Change::new(acting, (target, place), module, device)?;
                // Not even a rounding remains of a LoRA of strength 0.
                if let Some(change) = change.filter(|_| acting.strength != 0.0) {
                    changes.entry(place.name(target)).or_default().push(change);
                }
            }
        }
        Ok(Self(changes))
    }

    /// The changes of one weight; `None` where there are none.
    fn of(&self, name: &str) -> Option<&[Change]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// The weight with the sum of its changes, in the dtype it has.
fn changed<const D: usize>(weight: Tensor<D>, changes: &[Change]) -> Tensor<D> {
    let (dtype, dims) = (weight.dtype(), weight.dims());
    let (rows, columns) = matrix_dims(&dims);
    let plain = weight.cast(DType::F32).reshape([rows, columns]);
    let sum = changes.iter().fold(plain.clone(), |sum, change| sum + change.difference(&plain));
    sum.reshape(dims).cast(dtype)
}

/// Rows and columns of a weight as a matrix: its first dimension, and the product of all others.
fn matrix_dims(shape: &[usize]) -> (usize, usize) {
    (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product())
}

/// Height and width of a convolution's kernel; those of a matrix are 1.
fn kernel(shape: &[usize]) -> [usize; 2] {
    [2, 3].map(|index| shape.get(index).copied().unwrap_or(1))
}

/// Walks a network and changes its weights.
struct Changer<'a> {
    changes: &'a Changes,
    path: Vec<String>,
}

impl ModuleMapper for Changer<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.changes.of(&self.path.join(".")) {
            Some(changes) => Param::initialized(param.id, changed(param.val(), changes)),
            None => param,
        }
    }
}
