//! What the noise of a batch is, as plain data.

use serde::{Deserialize, Serialize};
use tronie_base::{Fault, Faulty};

/// Which generator the normal numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rng {
    /// Philox4x32-10 as CUDA draws it; A1111 calls it "GPU" or "NV".
    #[default]
    Philox,
    /// MT19937 and PyTorch's CPU normals; A1111 calls it "CPU", ComfyUI and diffusers use it.
    TorchCpu,
}

/// How the images of a batch share generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    /// One generator per image, seeded with that image's seed: an image is the same alone and in any batch.
    #[default]
    PerImage,
    /// One generator draws `b c h w` at once, as ComfyUI does: an image depends on its place in the batch.
    WholeBatch,
}

/// A second seed per image, mixed into the first noise ("variation seed").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subseeds {
    /// One per image.
    pub seeds: Vec<u64>,
    /// 0 is the first seed alone, 1 the second alone.
    pub strength: f32,
}

/// Everything the noise of a batch depends on, apart from its shape. Stored with each image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NoiseSpec {
    /// The generator.
    pub rng: Rng,
    /// One per image; their number is the batch size. All equal when `layout` is [`Streams::WholeBatch`].
    pub seeds: Vec<u64>,
    /// Variation of the first noise; only with [`Streams::PerImage`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subseeds: Option<Subseeds>,
    /// "Eta noise seed delta": when not 0, every draw after the first comes from generators seeded with
    /// seed + delta. Brownian noise is not touched by it.
    pub eta_seed_delta: i64,
    /// How images share generators.
    pub layout: Streams,
    /// Height and width in latents of the noise whose picture is to be kept: that noise is drawn and pasted
    /// centered into the noise of the wanted size. Only with [`Streams::PerImage`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed_resize: Option<(usize, usize)>,
}

impl NoiseSpec {
    /// A batch whose image `i` has seed `seed + i` and its own generator.
    #[must_use]
    pub fn per_image(rng: Rng, seed: u64, n_images: usize) -> Self {
        let seeds = std::iter::successors(Some(seed), |seed| Some(seed.wrapping_add(1)));
        Self { rng, seeds: seeds.take(n_images).collect(), ..Self::default() }
    }

    /// A batch drawn as one tensor by one generator.
    #[must_use]
    pub fn whole_batch(rng: Rng, seed: u64, n_images: usize) -> Self {
        Self { rng, seeds: vec![seed; n_images], layout: Streams::WholeBatch, ..Self::default() }
    }

    /// Fails on what no batch of this shape can be drawn from.
    pub(super) fn check(&self, image_dims: [usize; 3]) -> Result<(), NoiseError> {
        let n_images = self.seeds.len();
        if n_images == 0 || image_dims.contains(&0) {
            return Err(NoiseError::Empty { n_images, image_dims });
        }
        let n_values = image_dims.iter().try_fold(n_images, |product, &dim| product.checked_mul(dim));
        if n_values.is_none_or(|n_values| n_values > MAX_VALUES) {
            return Err(NoiseError::TooLarge { n_images, image_dims });
        }
        if let Some(subseeds) = &self.subseeds {
            let (found, strength) = (subseeds.seeds.len(), subseeds.strength);
            if found != n_images {
                return Err(NoiseError::SubseedCount { found, expected: n_images });
            }
            if !(0.0..=1.0).contains(&strength) {
                return Err(NoiseError::Strength { strength });
            }
        }
        match self.seed_resize {
            Some((0, _) | (_, 0)) => return Err(NoiseError::EmptyResize),
            Some((h, w)) if h > MAX_SIDE || w > MAX_SIDE => return Err(NoiseError::ResizeTooLarge { h, w }),
            _ => {}
        }
        match self.layout {
            Streams::PerImage => Ok(()),
            Streams::WholeBatch => self.check_whole_batch(),
        }
    }

    fn check_whole_batch(&self) -> Result<(), NoiseError> {
        let per_image_only = |feature| Err(NoiseError::PerImageOnly { feature });
        if self.subseeds.is_some() {
            return per_image_only("a variation seed");
        }
        if self.seed_resize.is_some() {
            return per_image_only("seed resize");
        }
        let first = self.seeds.first().copied().unwrap_or_default();
        match self.seeds.iter().find(|&&seed| seed != first) {
            Some(&other) => Err(NoiseError::MixedSeeds { first, other }),
            None => Ok(()),
        }
    }
}

/// 2^31 values (8 GiB of f32); far above any batch, far below what breaks index arithmetic.
const MAX_VALUES: usize = 1 << 31;
/// Latents of a picture of 131072 pixels.
const MAX_SIDE: usize = 1 << 14;

/// A [`NoiseSpec`] that cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// There is nothing to draw.
    #[error("noise for {n_images} images of {image_dims:?} (c h w) is empty")]
    Empty {
        /// Number of seeds.
        n_images: usize,
        /// c h w.
        image_dims: [usize; 3],
    },
    /// More values than one batch can hold.
    #[error("noise for {n_images} images of {image_dims:?} (c h w) has more than {MAX_VALUES} values")]
    TooLarge {
        /// Number of seeds.
        n_images: usize,
        /// c h w.
        image_dims: [usize; 3],
    },
    /// Not one variation seed per image.
    #[error("found {found} variation seeds, expected one for each of {expected} images")]
    SubseedCount {
        /// Number of variation seeds.
        found: usize,
        /// Number of images.
        expected: usize,
    },
    /// The variation strength is outside 0..=1.
    #[error("variation strength {strength} is not between 0 and 1")]
    Strength {
        /// What was asked for.
        strength: f32,
    },
    /// Seed resize from a picture without pixels.
    #[error("seed resize from a size of 0")]
    EmptyResize,
    /// Seed resize from a picture nobody can have made.
    #[error("seed resize from {h}x{w} latents, expected at most {MAX_SIDE}x{MAX_SIDE}")]
    ResizeTooLarge {
        /// Rows asked for.
        h: usize,
        /// Columns asked for.
        w: usize,
    },
    /// The feature is only defined with one generator per image.
    #[error("{feature} needs one generator per image, but this batch is drawn as a whole")]
    PerImageOnly {
        /// The feature, with its article.
        feature: &'static str,
    },
    /// One generator draws the batch, but the seeds differ.
    #[error("a batch drawn as a whole has one seed, found {first} and {other}")]
    MixedSeeds {
        /// The first image's seed.
        first: u64,
        /// The first seed that differs.
        other: u64,
    },
}

impl Faulty for NoiseError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::PerImageOnly { .. } | Self::MixedSeeds { .. } => {
                Some("draw with one generator per image (layout per_image)".into())
            }
            _ => None,
        }
    }
}
