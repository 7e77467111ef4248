//! Tensors, devices, seeded noise, and the operations networks are made of.
//!
//! The only crate that names the backend. Everything above it says [`Tensor`] and [`Device`].
//!
//! - [`device`]: a device by its name (`cpu`, `vulkan:0`, `cuda:0`, `metal`) and the dtypes used on it.
//! - [`noise`]: normal numbers equal to PyTorch's and CUDA's, one stream per image.
//! - [`ops`]: linear, convolution, normalisation, attention; fused on the CPU, composed elsewhere.
//! - [`lanes`]: independent jobs side by side.
//! - [`burn`]: the framework itself, for `#[derive(Module)]`: write `use tronie_tensor::burn;` in the file.

pub use burn;
pub use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
pub use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};

pub mod device;
pub mod lanes;
pub mod noise;
pub mod ops;
