//! Networks that enlarge pictures, run in tiles.

use std::sync::{Arc, Mutex, PoisonError};

use tronie_base::Progress;
use tronie_image::{ImageError, MAX_PIXELS, MAX_SIDE_PX, Pixels, resize};
use tronie_models::{Upscaler as Network, UpscalerConfig};
use tronie_tensor::{DType, Device, Tensor, TensorData, device};
use tronie_weights::open_upscaler;

use crate::{GenerateError, Store};

/// Side of the part of a picture that is enlarged at once, in pixels: what bounds memory.
const TILE_PX: usize = 256;
/// What a tile sees around itself, in pixels; beyond it no network's output depends on anything to speak of.
const MARGIN_PX: usize = 16;
/// As often a network is applied to reach a size, as in A1111 (`modules/upscaler.py`).
const MAX_PASSES: usize = 3;

/// A network that enlarges pictures: ESRGAN, Real-ESRGAN, or its compact one.
#[derive(Debug)]
pub struct Enlarger {
    network: Network,
    config: UpscalerConfig,
    device: Device,
}

impl Enlarger {
    /// Opens one by its path, or its name in a models folder, on a device (`cpu`, `vulkan:0`, ...).
    ///
    /// # Errors
    /// [`GenerateError`] when no place has it, it is something else, or the device cannot be had.
    pub fn open(store: &Store, name: &str, device_name: &str) -> Result<Self, GenerateError> {
        Self::on(store, name, device::open(device_name)?)
    }

    fn on(store: &Store, name: &str, device: Device) -> Result<Self, GenerateError> {
        let path = store.upscaler(name)?;
        let tensors = open_upscaler(&path).map_err(|error| GenerateError::Weights(Box::new(error)))?;
        let config = UpscalerConfig::of(tensors.as_ref()).map_err(|error| GenerateError::Checkpoint {
            model: path.display().to_string(),
            reason: format!("it is no upscaler of ESRGAN's kind: {error}"),
            hint: Some("take ESRGAN's or Real-ESRGAN's .pth or .safetensors".to_owned()),
        })?;
        let network = config.init(&device).load(tensors.as_ref(), &device).map_err(|source| {
            GenerateError::Load { model: path.display().to_string(), part: "upscaler", source }
        })?;
        Ok(Self { network, config, device })
    }

    /// How many pixels one becomes on a side.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.config.scale()
    }

    /// A picture at another size: the network as often as it takes to reach it, three times at most, then Lanczos.
    ///
    /// # Errors
    /// [`GenerateError`]: the size is beyond what pictures may have, or the user cancels.
    pub fn enlarge<P: Progress + ?Sized>(
        &self,
        pixels: &Pixels,
        [width_px, height_px]: [u32; 2],
        progress: &mut P,
    ) -> Result<Pixels, GenerateError> {
        let is_reached = |pixels: &Pixels| pixels.width_px() >= width_px && pixels.height_px() >= height_px;
        // A network that only cleans has done so after one pass.
        let n_passes = if self.scale() > 1 { MAX_PASSES } else { 1 };
        let mut larger = self.pass(pixels, progress)?;
        for _ in 1..n_passes {
            if is_reached(&larger) {
                break;
            }
            larger = self.pass(&larger, progress)?;
        }
        Ok(resize(&larger, width_px, height_px)?)
    }

    /// The network once over a whole picture.
    ///
    /// # Errors
    /// [`GenerateError`]: the result would be too large, or the user cancels.
    pub fn pass<P: Progress + ?Sized>(
        &self,
        pixels: &Pixels,
        progress: &mut P,
    ) -> Result<Pixels, GenerateError> {
        let scale = self.scale();
        let factor = u32::try_from(scale).unwrap_or(u32::MAX);
        let [width_px, height_px] =
            [pixels.width_px(), pixels.height_px()].map(|px| px.saturating_mul(factor));
        if width_px.max(height_px) > MAX_SIDE_PX || u64::from(width_px) * u64::from(height_px) > MAX_PIXELS {
            return Err(ImageError::TooManyPixels { width_px, height_px }.into());
        }
        let [width, height] = [pixels.width_px(), pixels.height_px()].map(|px| px as usize);
        let mut bytes = vec![0; width * scale * height * scale * 3];
        let tiles = (0..height)
            .step_by(TILE_PX)
            .flat_map(|top| (0..width).step_by(TILE_PX).map(move |left| [left, top]));
        let tiles: Vec<[usize; 2]> = tiles.collect();
        progress.begin("enlarging", tiles.len() as u64);
        for [left, top] in tiles {
            progress.check()?;
            let size = [TILE_PX.min(width - left), TILE_PX.min(height - top)];
            let rows = self.tile(pixels, [left, top], size);
            for (row, values) in rows.chunks_exact(size[0] * scale * 3).enumerate() {
                let start = ((top * scale + row) * width * scale + left * scale) * 3;
                if let Some(target) = bytes.get_mut(start..start + values.len()) {
                    target.copy_from_slice(values);
                }
            }
            progress.advance(1);
        }
        Ok(Pixels::new(width_px, height_px, bytes)?)
    }

    /// The bytes of one enlarged tile. The picture ends where it ends, which networks have learnt to see.
    fn tile(&self, pixels: &Pixels, [left, top]: [usize; 2], [width, height]: [usize; 2]) -> Vec<u8> {
        let (n_columns, n_rows) = (pixels.width_px() as usize, pixels.height_px() as usize);
        let [columns, rows] =
            [(left, width, n_columns), (top, height, n_rows)].map(|(start, length, end)| {
                let first = start.saturating_sub(MARGIN_PX);
                first..(start + length + MARGIN_PX).min(end)
            });
        // Where pixels are folded, the last ones go on until there are enough.
        let [w, h] = [&columns, &rows].map(|range| range.len().next_multiple_of(self.config.multiple_px()));
        let mut values = Vec::with_capacity(h * w * 3);
        for y in (0..h).map(|row| (rows.start + row).min(n_rows - 1)) {
            for x in (0..w).map(|column| (columns.start + column).min(n_columns - 1)) {
                let start = (y * n_columns + x) * 3;
                let rgb = pixels.rgb().get(start..start + 3).unwrap_or(&[0; 3]);
                values.extend(rgb.iter().map(|&byte| f32::from(byte) / 255.0));
            }
        }
        let image = Tensor::<4>::from_data(TensorData::new(values, [1, h, w, 3]), &self.device);
        let out = self.network.forward(image.permute([0, 3, 1, 2])).permute([0, 2, 3, 1]); // 1 sh sw 3
        let scale = self.scale();
        let (above, before) = ((top - rows.start) * scale, (left - columns.start) * scale);
        let inner = out.narrow(1, above, height * scale).narrow(2, before, width * scale);
        let values: Vec<f32> = inner.cast(DType::F32).into_data().try_to_vec().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to bytes")]
        values.into_iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
    }
}

/// The last network that was read, so that a batch reads it once.
#[derive(Debug, Default)]
pub(crate) struct Enlargers(Mutex<Option<(String, Arc<Enlarger>)>>);

impl Enlargers {
    /// The network of a name.
    ///
    /// # Errors
    /// Those of [`Enlarger::open`].
    pub(crate) fn get(
        &self,
        store: &Store,
        name: &str,
        device: &Device,
    ) -> Result<Arc<Enlarger>, GenerateError> {
        // A poisoned lock only means that a thread died while reading; the entry is whole or absent.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, enlarger)) = last.as_ref().filter(|row| row.0 == name) {
            return Ok(Arc::clone(enlarger));
        }
        *last = None; // never two of them in memory
        let enlarger = Arc::new(Enlarger::on(store, name, device.clone())?);
        *last = Some((name.to_owned(), Arc::clone(&enlarger)));
        Ok(enlarger)
    }
}

#[cfg(test)]
mod tests;
