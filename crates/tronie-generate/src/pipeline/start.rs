//! Where a run begins: noise, or a picture's latents with noise on them.

use tronie_image::{Mask, Pixels};
use tronie_models::catalog::UnetInput;
use tronie_models::vae::{Posterior, VaeEncoder};
use tronie_sampling::{FromPicture, LatentMask, Plan};
use tronie_tensor::noise::NoiseStream;
use tronie_tensor::{DType, Device, Tensor, TensorData};

use super::source::{Painted, Prepared};
use super::{TILED_FROM, TILING};
use crate::held::Held;
use crate::interpolate::{Interpolation, resized};
use crate::request::MaskedContent;

/// What a sampler begins with.
pub(super) struct Start {
    /// b c h w at the plan's first level.
    pub(super) x: Tensor<4>,
    /// What is held at its place during the run.
    pub(super) held: Option<Held>,
    /// 1 k h w: what the network is told on further channels.
    pub(super) told: Option<Tensor<4>>,
}

/// Everything that decides how pictures become latents.
pub(super) struct Encoding<'a> {
    pub(super) encoder: &'a VaeEncoder,
    /// `latents = raw_latents * scale`.
    pub(super) scale: f64,
    pub(super) input: UnetInput,
    pub(super) rules: FromPicture,
    pub(super) device: &'a Device,
}

impl Start {
    /// Noise alone.
    pub(super) fn noise(noise: &mut NoiseStream, plan: &Plan) -> Self {
        Self { x: noise.initial() * plan.initial_scale, held: None, told: None }
    }

    /// Latents of each image (1 c h w) with noise (b c h w, of deviation 1) on them.
    pub(super) fn latents(images: Vec<Tensor<4>>, unit: Tensor<4>, plan: &Plan) -> Self {
        let x = Tensor::cat(images, 0) * plan.picture_scale + unit * plan.initial_scale;
        Self { x, held: None, told: None }
    }
}

impl Encoding<'_> {
    /// A picture with noise on it. `forgets` starts from noise alone, at the place of the picture.
    pub(super) fn start(
        &self,
        picture: &Prepared,
        noise: &mut NoiseStream,
        plan: &Plan,
        forgets: bool,
    ) -> Start {
        let [_, _, h, w] = noise.dims();
        let is_told = self.input == UnetInput::LatentsMaskAndImage;
        // A network that is told the picture needs none to begin with; then nothing is drawn for it either.
        let encoded = (!(forgets && is_told)).then(|| self.latents(&picture.pixels, noise));
        let unit = self.unit(noise);
        let scaled = unit.clone() * (plan.initial_scale * picture.noise_multiplier);
        let Some(encoded) = encoded else {
            let told = picture.painted.as_ref().map(|painted| self.told(&picture.pixels, painted, noise));
            return Start { x: scaled, held: None, told };
        };
        let latents = resized(&encoded, [h, w], Interpolation::Bilinear); // of pictures at their own size
        let Some(painted) = &picture.painted else {
            return Start { x: latents * plan.picture_scale + scaled, held: None, told: None };
        };
        let mask = self.mask(&painted.mask, [h, w]);
        let known = match painted.content {
            MaskedContent::Fill | MaskedContent::Original => latents,
            MaskedContent::LatentNoise => mixed(&latents, &unit, &mask),
            MaskedContent::LatentNothing => mixed(&latents, &latents.zeros_like(), &mask),
        };
        let told = is_told.then(|| self.told(&picture.pixels, painted, noise));
        if !is_told && self.rules.draws_latents {
            // diffusers draws for the told picture also where nobody is told: what is drawn at steps comes after.
            let [_, c, h, w] = noise.dims();
            noise.shared([c, h, w]);
        }
        if is_told && !self.rules.holds_when_told {
            return Start { x: known * plan.picture_scale + scaled, held: None, told };
        }
        let noised = known.clone() + unit * (plan.sigmas.first() * picture.noise_multiplier);
        let (x, seen_first) = match forgets {
            true => (mixed(&noised, &scaled, &mask), Some(scaled)),
            false => (known.clone() * plan.picture_scale + scaled, None),
        };
        Start { x, held: Some(Held { known, mask, seen_first }), told }
    }

    /// The first noise, after what was drawn for pictures. b c h w.
    pub(super) fn unit(&self, noise: &mut NoiseStream) -> Tensor<4> {
        if self.rules.draws_latents { noise.initial_here() } else { noise.initial() }
    }

    /// Latents of a picture, 1 c h w.
    pub(super) fn latents(&self, pixels: &Pixels, noise: &mut NoiseStream) -> Tensor<4> {
        self.drawn(self.posterior(self.image(pixels)), noise)
    }

    /// The mean of what the autoencoder says of a picture, as latents, 1 c h w.
    pub(super) fn mean_latents(&self, pixels: &Pixels) -> Tensor<4> {
        self.posterior(self.image(pixels)).mode().cast(DType::F32) * self.scale
    }

    /// A draw of what the autoencoder says, or its mean, as latents.
    fn drawn(&self, posterior: Posterior, noise: &mut NoiseStream) -> Tensor<4> {
        let raw_latents = match self.rules.draws_latents {
            true => {
                let [_, c, h, w] = posterior.mean.dims();
                posterior.sample(noise.shared([c, h, w]))
            }
            false => posterior.mode(),
        };
        raw_latents * self.scale
    }

    /// # Shapes
    /// `image`: 1 3 h w.
    fn posterior(&self, image: Tensor<4>) -> Posterior {
        let [_, _, h, w] = image.dims();
        let factor = self.encoder.config().factor();
        match (h / factor) * (w / factor) > TILED_FROM {
            true => self.encoder.encode_tiled(image, TILING),
            false => self.encoder.encode(image),
        }
    }

    /// Pixels as an image, 1 3 h w within -1..=1.
    fn image(&self, pixels: &Pixels) -> Tensor<4> {
        let (width, height) = (pixels.width_px() as usize, pixels.height_px() as usize);
        let values: Vec<f32> = pixels.rgb().iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, height, width, 3]), self.device)
            .permute([0, 3, 1, 2]) // 1 3 h w
    }

    /// What an inpainting network is told: the mask without its blur, and the latents of the picture with the painted part grey.
    ///
    /// # Shapes
    /// Returns 1 1+c h w.
    fn told(&self, pixels: &Pixels, painted: &Painted, noise: &mut NoiseStream) -> Tensor<4> {
        let factor = self.encoder.config().factor();
        let mask = &painted.mask;
        let (width, height) = (mask.width_px() as usize, mask.height_px() as usize);
        let is_kept = |x: usize, y: usize| if value_at(mask, x, y) < HALF { 1.0 } else { 0.0 };
        let kept = on_grid([height, width], is_kept, self.device);
        let latents = self.drawn(self.posterior(self.image(pixels) * kept), noise);
        let grid = first_pixels(mask, [height / factor, width / factor], factor, self.device);
        Tensor::cat(vec![grid, latents], 1)
    }

    /// The mask of pixels as one of latents, 1 1 h w: 1 is painted.
    fn mask(&self, mask: &Mask, dims: [usize; 2]) -> Tensor<4> {
        let factor = self.encoder.config().factor();
        let share = |x: usize, y: usize| f32::from(value_at(mask, x, y)) / 255.0;
        match self.rules.mask {
            LatentMask::Nearest => first_pixels(mask, dims, factor, self.device),
            LatentMask::Soft => {
                let middle = (factor / 2).saturating_sub(1);
                let mean = |x: usize, y: usize| {
                    let (x, y) = (x * factor + middle, y * factor + middle);
                    (share(x, y) + share(x + 1, y) + share(x, y + 1) + share(x + 1, y + 1)) / 4.0
                };
                on_grid(dims, mean, self.device)
            }
            LatentMask::Rounded => {
                let whole = [mask.height_px() as usize, mask.width_px() as usize];
                let pixels = on_grid(whole, share, self.device);
                resized(&pixels, dims, Interpolation::BicubicAntialiased).round()
            }
        }
    }
}

/// Grey from which a pixel of a mask is inside.
const HALF: u8 = 128;

fn value_at(mask: &Mask, x: usize, y: usize) -> u8 {
    mask.values().get(y * mask.width_px() as usize + x).copied().unwrap_or_default()
}

/// 1 1 h w: whether the first pixel of each latent is inside.
fn first_pixels(mask: &Mask, dims: [usize; 2], factor: usize, device: &Device) -> Tensor<4> {
    let is_inside =
        |x: usize, y: usize| if value_at(mask, x * factor, y * factor) < HALF { 0.0 } else { 1.0 };
    on_grid(dims, is_inside, device)
}

/// 1 1 h w of a value at every place.
fn on_grid([h, w]: [usize; 2], value: impl Fn(usize, usize) -> f32, device: &Device) -> Tensor<4> {
    let values: Vec<f32> =
        (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, h, w]), device)
}

/// `outside` where the mask is 0, `inside` where it is 1.
pub(crate) fn mixed(outside: &Tensor<4>, inside: &Tensor<4>, mask: &Tensor<4>) -> Tensor<4> {
    outside.clone() * (mask.clone() * -1.0 + 1.0) + inside.clone() * mask.clone()
}
