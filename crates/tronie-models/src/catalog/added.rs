//! The numbers about an image that SDXL's networks are told beside the text.

/// Which numbers a UNet takes, each as a sinusoidal embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AddedIds {
    /// None: SD 1.x and 2.x.
    None,
    /// Original height and width, top and left of the crop, target height and width: SDXL base.
    Sizes,
    /// Original height and width, top and left of the crop, and how beautiful it shall be (0 to 10): SDXL refiner.
    Aesthetic {
        /// Score given with the prompt.
        positive: f64,
        /// Score given with the negative prompt.
        negative: f64,
    },
}

/// What an image pretends of its history. Rows before columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSizes {
    /// Height and width before it was cropped, in pixels.
    pub original_px: [usize; 2],
    /// Where the crop begins: top and left, in pixels.
    pub crop_px: [usize; 2],
    /// Height and width asked for, in pixels.
    pub target_px: [usize; 2],
}

impl ImageSizes {
    /// An image that was never cropped or resized.
    #[must_use]
    pub fn whole(height_px: usize, width_px: usize) -> Self {
        Self { original_px: [height_px, width_px], crop_px: [0, 0], target_px: [height_px, width_px] }
    }
}

impl AddedIds {
    /// The refiner's scores in every published pipeline.
    ///
    /// Source: `aesthetic_score`, `negative_aesthetic_score` of
    /// <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py>.
    pub const REFINER: Self = Self::Aesthetic { positive: 6.0, negative: 2.5 };

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sizes => 6,
            Self::Aesthetic { .. } => 5,
        }
    }

    /// The numbers for one image, beside its prompt or its negative prompt.
    #[must_use]
    pub fn values(self, sizes: ImageSizes, is_negative: bool) -> Vec<f64> {
        let numbers = |pairs: &[[usize; 2]]| -> Vec<f64> {
            let sides = pairs.iter().flatten();
            sides.map(|&side| f64::from(u32::try_from(side).unwrap_or(u32::MAX))).collect()
        };
        let ImageSizes { original_px, crop_px, target_px } = sizes;
        match self {
            Self::None => Vec::new(),
            Self::Sizes => numbers(&[original_px, crop_px, target_px]),
            Self::Aesthetic { positive, negative } => {
                let mut values = numbers(&[original_px, crop_px]);
                values.push(if is_negative { negative } else { positive });
                values
            }
        }
    }
}
