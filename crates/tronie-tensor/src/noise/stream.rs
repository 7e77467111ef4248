//! All the randomness a sampler sees.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::variation::{paste_centered, slerp};
use super::{BrownianNoise, Mt19937, NoiseError, NoiseSpec, Philox4x32, Rng, Streams};

/// One of the generators, at some place of its sequence.
#[derive(Debug, Clone)]
pub(super) enum Generator {
    Philox(Philox4x32),
    TorchCpu(Mt19937),
}

impl Generator {
    pub(super) fn new(rng: Rng, seed: u64) -> Self {
        match rng {
            Rng::Philox => Self::Philox(Philox4x32::new(seed)),
            Rng::TorchCpu => Self::TorchCpu(Mt19937::new(seed)),
        }
    }

    pub(super) fn randn(&mut self, n: usize) -> Vec<f32> {
        match self {
            Self::Philox(philox) => philox.randn(n),
            Self::TorchCpu(mt19937) => mt19937.torch_randn(n),
        }
    }
}

/// All randomness a sampler sees. All its tensors are f32, `b c h w`.
///
/// ```
/// # use tronie_tensor::{Device, noise::{NoiseSpec, NoiseStream, Rng}};
/// let spec = NoiseSpec::per_image(Rng::Philox, 42, 2); // seeds 42 and 43
/// let mut noise = NoiseStream::new(&spec, [4, 64, 64], &Device::flex())?;
/// let first = noise.initial();
/// let of_a_step = noise.next();
/// # Ok::<(), tronie_tensor::noise::NoiseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NoiseStream {
    spec: NoiseSpec,
    /// One per image, or one for the batch; none in a silent stream.
    generators: Vec<Generator>,
    dims: [usize; 4],
    device: Device,
}

impl NoiseStream {
    /// The noise of a batch of `spec.seeds.len()` images of `image_dims` (c h w), made on `device`.
    ///
    /// # Errors
    /// [`NoiseError`] when there is nothing to draw, the subseeds do not fit the seeds, or a feature that is defined
    /// per image meets a batch drawn as a whole.
    pub fn new(spec: &NoiseSpec, image_dims: [usize; 3], device: &Device) -> Result<Self, NoiseError> {
        spec.check(image_dims)?;
        let [c, h, w] = image_dims;
        Ok(Self {
            spec: spec.clone(),
            generators: spec.generators(0),
            dims: [spec.seeds.len(), c, h, w],
            device: device.clone(),
        })
    }

    /// A stream of zeros, to look at what a sampler does without noise. `dims` is b c h w.
    #[must_use]
    pub fn silent(dims: [usize; 4], device: &Device) -> Self {
        Self { spec: NoiseSpec::default(), generators: Vec::new(), dims, device: device.clone() }
    }

    /// b c h w of every tensor this stream makes.
    #[must_use]
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// The noise a picture starts from, with variation seed and seed resize. Rewinds the stream: what
    /// [`NoiseStream::next`] gives afterwards does not depend on what was drawn before.
    ///
    /// # Shapes
    /// Returns b c h w.
    pub fn initial(&mut self) -> Tensor<4> {
        if !self.generators.is_empty() {
            self.generators = self.spec.generators(0);
        }
        self.initial_here()
    }

    /// As [`NoiseStream::initial`], but from where the stream is: after a picture that was drawn before the noise.
    ///
    /// # Shapes
    /// Returns b c h w.
    pub fn initial_here(&mut self) -> Tensor<4> {
        if self.generators.is_empty() {
            return self.tensor(Vec::new());
        }
        let values = match self.spec.layout {
            Streams::WholeBatch => self.draw(),
            Streams::PerImage => self.first_of_each(),
        };
        if self.spec.eta_seed_delta != 0 {
            self.generators = self.spec.generators(self.spec.eta_seed_delta);
        }
        self.tensor(values)
    }

    /// The next draw of the same generators, for the noise a sampler adds at a step.
    ///
    /// # Shapes
    /// Returns b c h w.
    #[expect(
        clippy::should_implement_trait,
        reason = "a stream has no end, and this is what its users call it"
    )]
    pub fn next(&mut self) -> Tensor<4> {
        let values = self.draw();
        self.tensor(values)
    }

    /// One draw that all images of the batch share, by the first generator: for the one picture they start from.
    ///
    /// # Shapes
    /// `dims`: c h w. Returns 1 c h w.
    pub fn shared(&mut self, dims: [usize; 3]) -> Tensor<4> {
        let [c, h, w] = dims;
        let values = self.generators.first_mut().map(|generator| generator.randn(c * h * w));
        let values = values.unwrap_or_else(|| vec![0.0; c * h * w]);
        Tensor::from_data(TensorData::new(values, [1, c, h, w]), (&self.device, DType::F32))
    }

    /// Brownian noise for an SDE sampler over these noise levels, seeded with the images' seeds. It leaves the
    /// stream where it is.
    pub fn brownian(&mut self, sigma_min: f64, sigma_max: f64) -> BrownianNoise {
        if self.generators.is_empty() {
            return BrownianNoise::silent(self.dims, &self.device);
        }
        BrownianNoise::new(&self.spec, self.dims, (sigma_min, sigma_max), &self.device)
    }

    /// Plain draws of all generators, one after the other.
    fn draw(&mut self) -> Vec<f32> {
        let n_values = self.dims.iter().product::<usize>() / self.generators.len().max(1);
        let draws: Vec<_> =
            self.generators.par_iter_mut().map(|generator| generator.randn(n_values)).collect();
        draws.concat()
    }

    fn first_of_each(&mut self) -> Vec<f32> {
        let [_, c, h, w] = self.dims;
        let spec = &self.spec;
        let images = self.generators.par_iter_mut().enumerate();
        let images = images.map(|(index, generator)| spec.first_of_image(index, generator, [c, h, w]));
        let images: Vec<_> = images.collect();
        images.concat()
    }

    /// Zeros where there are too few values: silent streams have none.
    fn tensor(&self, mut values: Vec<f32>) -> Tensor<4> {
        values.resize(self.dims.iter().product(), 0.0);
        Tensor::from_data(TensorData::new(values, self.dims), (&self.device, DType::F32))
    }
}

impl NoiseSpec {
    /// One seed per generator, moved by `delta`.
    pub(super) fn generator_seeds(&self, delta: i64) -> Vec<u64> {
        let n_generators = match self.layout {
            Streams::PerImage => self.seeds.len(),
            Streams::WholeBatch => 1,
        };
        let seeds = self.seeds.iter().take(n_generators);
        seeds.map(|seed| seed.wrapping_add_signed(delta)).collect()
    }

    fn generators(&self, delta: i64) -> Vec<Generator> {
        let seeds = self.generator_seeds(delta).into_iter();
        seeds.map(|seed| Generator::new(self.rng, seed)).collect()
    }

    /// The first draw of one image, as A1111 mixes and moves it.
    ///
    /// With seed resize, the noise of the other size is the seed's own first draw, and what surrounds it in the new
    /// size is the image generator's: its steps go on from there.
    fn first_of_image(&self, index: usize, generator: &mut Generator, dims: [usize; 3]) -> Vec<f32> {
        let [c, h, w] = dims;
        let n_values = c * h * w;
        let from = self.seed_resize.filter(|&from| from != (h, w));
        let (noise_h, noise_w) = from.unwrap_or((h, w));
        let n_noise = c * noise_h * noise_w;
        let seed = self.seeds.get(index).copied().unwrap_or_default();
        let mut noise = match from {
            Some(_) => Generator::new(self.rng, seed).randn(n_noise),
            None => generator.randn(n_values),
        };
        if let Some(subseeds) = self.subseeds.as_ref().filter(|subseeds| subseeds.strength != 0.0) {
            let subseed = subseeds.seeds.get(index).copied().unwrap_or_default();
            let other = Generator::new(self.rng, subseed).randn(n_noise);
            noise = slerp(subseeds.strength, &noise, &other, [c, noise_h, noise_w]);
        }
        let Some(from) = from else { return noise };
        let mut canvas = generator.randn(n_values);
        paste_centered(&mut canvas, dims, &noise, from);
        canvas
    }
}
