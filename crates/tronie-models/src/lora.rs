//! LoRA in use: low-rank changes added to weights, and found again in the difference of two models.
//!
//! Hu et al. 2021 (arXiv:2106.09685): the weight becomes `W + strength * alpha / rank * up @ down`. For a convolution the
//! matrices' further dimensions are the kernel; `LyCORIS`' Tucker form has a core between them that holds the kernel
//! (Yeh et al. 2023, arXiv:2309.14859, section 4.2).
//!
//! All changes of a weight are added up in f32 and rounded once, to the dtype the weight is stored in. That keeps an f16
//! model at its size, as A1111 does, and a merged file equal to the network that a prompt's `<lora:...>` runs; rounding
//! after each LoRA, or keeping the changed weights in f32, would give up one of the two.
//!
//! - [`apply`]: a network in memory; [`Merged`]: a file's tensors, changed as they are read
//! - [`extract()`]: the LoRA that makes one model from another

mod error;
mod extract;
mod merged;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tronie_tensor::burn::module::Param;
use tronie_tensor::{DType, Device, Module, ModuleMapper, Tensor, TensorData};
use tronie_weights::{Lora, LoraModule, LoraTarget, Part, RawTensor};

use crate::load::{float_dtype, nearest, parameter_shapes};

pub use error::{ExtractError, LoraFitError};
pub use extract::{Extracted, extract};
pub use merged::Merged;

/// A LoRA and how strongly it acts on one network.
#[derive(Debug, Clone, Copy)]
pub struct Acting<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// Its matrices.
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
    fn new(
        part: Part,
        loras: &[Acting<'_>],
        shapes: &BTreeMap<String, Vec<usize>>,
        device: &Device,
    ) -> Result<Self, LoraFitError> {
        let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for acting in loras {
            for (target, module) in acting.lora.modules.iter().filter(|(target, _)| target.part == part) {
                let name = format!("{}.weight", target.path);
                check(acting.name, target, module, shapes.get(&name), shapes)?;
                let change = Change::new(acting, target, module, device)?;
                // Not even a rounding remains of a LoRA of strength 0.
                if acting.strength != 0.0 {
                    changes.entry(name).or_default().push(change);
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

/// One LoRA's change of one weight, its factors as they are stored.
struct Change {
    down: Tensor<2>,        // rank, everything else
    mid: Option<Tensor<4>>, // rank rank kh kw
    up: Tensor<2>,          // c_out rank
    scale: f32,
}

impl Change {
    fn new(
        acting: &Acting<'_>,
        target: &LoraTarget,
        module: &LoraModule,
        device: &Device,
    ) -> Result<Self, LoraFitError> {
        let wrong = |tensor: &RawTensor| LoraFitError::Dtype {
            lora: acting.name.to_owned(),
            target: target.clone(),
            found: tensor.meta.dtype,
        };
        let flat = |tensor: &RawTensor| -> Result<Tensor<1>, LoraFitError> {
            let dtype = float_dtype(tensor.meta.dtype).ok_or_else(|| wrong(tensor))?;
            let n: usize = tensor.meta.shape.iter().product();
            let data = TensorData::from_bytes_vec(tensor.bytes.clone(), [n], dtype);
            Ok(Tensor::from_data(data, (device, dtype)))
        };
        let matrix = |tensor: &RawTensor| -> Result<Tensor<2>, LoraFitError> {
            let (rows, columns) = matrix_dims(&tensor.meta.shape);
            Ok(flat(tensor)?.reshape([rows, columns]))
        };
        let core = |mid: &RawTensor| -> Result<Tensor<4>, LoraFitError> {
            let rank = module.rank();
            let [kh, kw] = kernel(&mid.meta.shape);
            Ok(flat(mid)?.reshape([rank, rank, kh, kw]))
        };
        Ok(Self {
            down: matrix(&module.down)?,
            mid: module.mid.as_ref().map(core).transpose()?,
            up: matrix(&module.up)?,
            scale: acting.strength * module.alpha / module.rank() as f32,
        })
    }

    /// What is added to the weight, in f32.
    ///
    /// # Shapes
    /// Returns c_out, everything else.
    fn product(&self) -> Tensor<2> {
        let (down, up) = (self.down.clone().cast(DType::F32), self.up.clone().cast(DType::F32));
        let down = match &self.mid {
            None => down,
            Some(mid) => {
                let [to, from, kh, kw] = mid.dims();
                let c_in = down.dims()[1];
                let mid = mid.clone().cast(DType::F32).permute([0, 2, 3, 1]); // to kh kw from
                let product = mid.reshape([to * kh * kw, from]).matmul(down);
                let product = product.reshape([to, kh * kw, c_in]).swap_dims(1, 2); // to c_in kh*kw
                product.reshape([to, c_in * kh * kw])
            }
        };
        up.matmul(down) * self.scale
    }
}

/// The weight with the sum of its changes, in the dtype it has.
fn changed<const D: usize>(weight: Tensor<D>, changes: &[Change]) -> Tensor<D> {
    let (dtype, dims) = (weight.dtype(), weight.dims());
    let sum = weight.cast(DType::F32);
    let sum = changes.iter().fold(sum, |sum, change| sum + change.product().reshape(dims));
    sum.cast(dtype)
}

/// Rows and columns of a weight as a matrix: its first dimension, and the product of all others.
fn matrix_dims(shape: &[usize]) -> (usize, usize) {
    (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product())
}

/// Height and width of a convolution's kernel; those of a matrix are 1.
fn kernel(shape: &[usize]) -> [usize; 2] {
    [2, 3].map(|index| shape.get(index).copied().unwrap_or(1))
}

/// The network must have the weight, as what the factors multiply to.
fn check(
    lora: &str,
    target: &LoraTarget,
    module: &LoraModule,
    expected: Option<&Vec<usize>>,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(), LoraFitError> {
    let Some(expected) = expected else {
        let weights = shapes.keys().filter_map(|name| name.strip_suffix(".weight"));
        let nearest = nearest(&target.path, weights.map(str::to_owned).collect());
        return Err(LoraFitError::Missing { lora: lora.to_owned(), target: target.clone(), nearest });
    };
    let down = &module.down.meta.shape;
    let kernel = kernel(module.mid.as_ref().map_or(down, |mid| &mid.meta.shape));
    let (c_out, _) = matrix_dims(&module.up.meta.shape);
    let c_in = down.get(1).copied().unwrap_or_default();
    let found = vec![c_out, c_in, kernel[0], kernel[1]];
    // Between a matrix and a 1x1 convolution there is no difference but the name.
    let [expected_kh, expected_kw] = self::kernel(expected);
    let fits = match expected.as_slice() {
        [rows, columns, ..] => found == [*rows, *columns, expected_kh, expected_kw],
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(LoraFitError::Shape {
        lora: lora.to_owned(),
        target: target.clone(),
        found,
        expected: expected.clone(),
    })
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
