//! Puts the leaves of a graph where a network keeps its weights.
//!
//! A leaf named like a weight replaces it (full training). Leaves named `<layer>.lora_down` and `<layer>.lora_up` are
//! added to the layer's weight as `scale * up @ down` (Hu et al. 2021, arXiv:2106.09685), for matrices and for
//! convolutions. The network itself knows nothing of training; everything else in it stays a constant.

use tronie_tensor::burn::module::Param;
use tronie_tensor::{DType, Module, ModuleMapper, Tensor};

use crate::parameters::Leaves;

/// Name of the matrix that narrows a layer's input to the rank.
pub(crate) const DOWN: &str = "lora_down";
/// Name of the matrix that widens the rank to a layer's output.
pub(crate) const UP: &str = "lora_up";

/// The network with the leaves in place, recording gradients where they do.
///
/// `component` is the first part of the leaves' names; `scale` is what low-rank changes are multiplied by.
pub(crate) fn weave<M: Module>(network: M, component: &str, leaves: &Leaves, scale: f64) -> M {
    network.map(&mut Weaver { leaves, scale, path: vec![component.to_owned()] })
}

struct Weaver<'a> {
    leaves: &'a Leaves,
    scale: f64,
    path: Vec<String>,
}

impl ModuleMapper for Weaver<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let id = param.id;
        if let Some(leaf) = self.leaves.get(&name) {
            return Param::initialized(id, leaf.value());
        }
        let weight = if self.leaves.is_recording() { param.val().autodiff() } else { param.val() };
        let layer = name.strip_suffix("weight");
        let factor = |which| self.leaves.get(&format!("{}{which}", layer?));
        match (factor(DOWN), factor(UP)) {
            (Some(down), Some(up)) => {
                let dims = weight.dims();
                let change = up.matrix().matmul(down.matrix()) * self.scale; // c_out, everything else
                Param::initialized(id, weight.cast(DType::F32) + change.reshape(dims))
            }
            _ => Param::initialized(id, weight),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
