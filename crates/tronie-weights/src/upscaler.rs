//! Files of networks that enlarge pictures.

use std::path::Path;

use crate::checkpoint::{Weights, weights_at};
use crate::layout::{Renamed, upscaler_names};
use crate::{CheckpointError, TensorFile};

/// Opens the file of an upscaler (ESRGAN, Real-ESRGAN; `.pth` or `.safetensors`), its tensors in the names of `layout/upscaler.rs`. No tensor is
/// read.
///
/// # Errors
/// [`CheckpointError`] when it cannot be opened. What is in it is judged by whoever builds the network.
pub fn open_upscaler(path: &Path) -> Result<Box<dyn TensorFile>, CheckpointError> {
    let Weights { tensors, .. } = weights_at(path)?;
    let names = upscaler_names(&tensors.names());
    Ok(Box::new(Renamed::new(tensors.into(), names)))
}
