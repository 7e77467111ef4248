//! The numbers that training changes: named f32 tensors in main memory.
//!
//! Optimizers, averages and checkpoints work on these. For every step they become the leaves of a graph
//! ([`Leaves`]), and gradients come back under the same names.

use std::collections::BTreeMap;

use tronie_tensor::burn::tensor::Gradients;
use tronie_tensor::{Device, Shape, Tensor, TensorData};
use tronie_weights::{Dtype, RawTensor, TensorMeta};

/// The values of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    /// Its shape; the product is the number of values.
    pub(crate) shape: Vec<usize>,
    /// Row-major.
    pub(crate) values: Vec<f32>,
}

impl Values {
    /// The same as a file has it.
    pub(crate) fn to_raw(&self) -> RawTensor {
        let bytes = self.values.iter().copied().flat_map(f32::to_le_bytes).collect();
        RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape: self.shape.clone() }, bytes }
    }
}

/// What training changes, by name: `unet.conv_in.weight`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parameters(pub(crate) BTreeMap<String, Values>);

/// Gradients by the names of the parameters.
pub(crate) type GradientsByName = BTreeMap<String, Vec<f32>>;

impl Parameters {
    /// Whether both have the same names and shapes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let shapes = |set: &Self| {
            set.0.iter().map(|(name, row)| (name.clone(), row.shape.clone())).collect::<Vec<_>>()
        };
        shapes(self) == shapes(other)
    }

    /// The parameters on a device. Where it records gradients they are the leaves of a new graph.
    pub(crate) fn leaves(&self, device: &Device) -> Leaves {
        let is_recording = device.is_autodiff();
        let leaf = |parameter: &Values| {
            let data = TensorData::new(parameter.values.clone(), [parameter.values.len()]);
            let tensor = Tensor::<1>::from_data(data, device);
            let tensor = if is_recording { tensor.require_grad() } else { tensor };
            Leaf { tensor, shape: parameter.shape.clone() }
        };
        let by_name = self.0.iter().map(|(name, parameter)| (name.clone(), leaf(parameter))).collect();
        Leaves { by_name, is_recording }
    }
}

/// A parameter in a graph. Flat, because a graph's tensors have their rank in their type.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    tensor: Tensor<1>,
    shape: Vec<usize>,
}

impl Leaf {
    /// The parameter in its own shape; `D` must be its rank.
    pub(crate) fn value<const D: usize>(&self) -> Tensor<D> {
        self.tensor.clone().reshape(Shape::from(self.shape.clone()))
    }

    /// The parameter as a matrix: first dimension, all others.
    pub(crate) fn matrix(&self) -> Tensor<2> {
        let rows = self.shape.first().copied().unwrap_or(1);
        let columns = self.shape.iter().skip(1).product();
        self.tensor.clone().reshape([rows, columns])
    }
}

/// All parameters on a device.
#[derive(Debug, Clone)]
pub(crate) struct Leaves {
    by_name: BTreeMap<String, Leaf>,
    is_recording: bool,
}

impl Leaves {
    /// Whether what is computed with them is recorded for gradients.
    pub(crate) fn is_recording(&self) -> bool {
        self.is_recording
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Leaf> {
        self.by_name.get(name)
    }

    /// Collects the gradients of a loss. A parameter that the loss does not depend on has zeros.
    pub(crate) fn gradients(&self, gradients: &mut Gradients) -> GradientsByName {
        let mut by_name = BTreeMap::new();
        for (name, leaf) in &self.by_name {
            let gradient = leaf.tensor.grad_remove(gradients);
            let values = gradient.and_then(|gradient| gradient.into_data().try_to_vec::<f32>().ok());
            let zeros = || vec![0.0; leaf.shape.iter().product()];
            by_name.insert(name.clone(), values.unwrap_or_else(zeros));
        }
        by_name
    }
}
