//! A network's tensors with LoRAs in them, for writing a merged model.

use tronie_tensor::{Device, Tensor, TensorData};
use tronie_weights::{Part, RawTensor, TensorFile, TensorMeta, WeightsFault};

use super::{Acting, Changes, LoraFitError, changed, matrix_dims};
use crate::LoadError;
use crate::load::float_dtype;

/// A file seen with LoRAs in its weights. A weight is changed when it is read, so that no model is in memory whole.
pub struct Merged {
    base: Box<dyn TensorFile>,
    changes: Changes,
    device: Device,
}

impl Merged {
    /// The tensors of one network, in diffusers' names, with `loras` in them; numbers are what [`super::apply`] gives on the
    /// same device.
    ///
    /// # Errors
    /// [`LoraFitError`], as for [`super::apply`].
    pub fn new(
        base: Box<dyn TensorFile>,
        part: Part,
        loras: &[Acting<'_>],
        device: &Device,
    ) -> Result<Self, LoraFitError> {
        let shapes = base.names().into_iter().filter_map(|name| {
            let shape = base.meta(&name)?.shape;
            Some((name, shape))
        });
        let changes = Changes::new(part, loras, &shapes.collect(), device)?;
        Ok(Self { base, changes, device: device.clone() })
    }
}

impl TensorFile for Merged {
    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.base.meta(name)
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let Some(RawTensor { meta, bytes }) = self.base.read(name)? else {
            return Ok(None);
        };
        let Some(changes) = self.changes.of(name) else {
            return Ok(Some(RawTensor { meta, bytes }));
        };
        let Some(dtype) = float_dtype(meta.dtype) else {
            return Err(Box::new(LoadError::Dtype { name: name.to_owned(), found: meta.dtype }));
        };
        let (rows, columns) = matrix_dims(&meta.shape);
        let data = TensorData::from_bytes_vec(bytes, [rows, columns], dtype);
        let weight = Tensor::<2>::from_data(data, (&self.device, dtype));
        let bytes = changed(weight, changes).into_data().as_bytes().to_vec();
        Ok(Some(RawTensor { meta, bytes }))
    }
}
