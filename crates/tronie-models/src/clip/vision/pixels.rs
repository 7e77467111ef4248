//! From a picture to what an image tower was trained on.
//!
//! Reference: `CLIPImageProcessor` in transformers, whose numbers these are to the rounding of one level of 255:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/clip/image_processing_clip.py>.

use tronie_image::{ImageError, Pixels, Rect, crop, resize_bicubic};
use tronie_tensor::{Device, Tensor, TensorData};

use super::ClipVisionConfig;

/// Mean and deviation of red, green and blue over the pictures that OpenAI trained on (`OPENAI_CLIP_MEAN`, `OPENAI_CLIP_STD`).
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

impl ClipVisionConfig {
    /// The picture with its shorter side at the tower's, by a cubic, its middle cut out, each channel at mean 0 and deviation 1
    /// over all pictures.
    ///
    /// # Shapes
    /// Returns 1 3 `image_px` `image_px`.
    ///
    /// # Errors
    /// [`ImageError`] when a side of the tower's pictures is zero.
    pub fn pixel_values(&self, pixels: &Pixels, device: &Device) -> Result<Tensor<4>, ImageError> {
        let side = u32::try_from(self.image_px).unwrap_or(u32::MAX);
        let (w, h) = (pixels.width_px(), pixels.height_px());
        let longer = u64::from(side) * u64::from(w.max(h)) / u64::from(w.min(h));
        let longer = u32::try_from(longer).unwrap_or(u32::MAX);
        let (width, height) = if w <= h { (side, longer) } else { (longer, side) };
        let scaled = resize_bicubic(pixels, width, height)?;
        let (left, top) = ((width - side) / 2, (height - side) / 2);
        let square = crop(&scaled, Rect { left, top, width: side, height: side })?;
        let channels = MEAN.iter().zip(DEVIATION).cycle();
        let values = square.rgb().iter().zip(channels);
        let values = values.map(|(&byte, (mean, deviation))| (f32::from(byte) / 255.0 - mean) / deviation);
        let data = TensorData::new(values.collect::<Vec<f32>>(), [1, self.image_px, self.image_px, 3]);
        Ok(Tensor::<4>::from_data(data, device).permute([0, 3, 1, 2])) // 1 3 h w
    }
}
