//! Pictures as latents: each is encoded once, before training begins, and kept in memory.

use std::path::Path;

use tronie_base::Progress;
use tronie_image::Pixels;
use tronie_tensor::{DType, Tensor, TensorData, lanes};

use crate::TrainError;
use crate::data::{self, Draw, Example};
use crate::trainee::Trainee;

/// What the autoencoder says of a picture: a normal distribution per latent.
#[derive(Debug, Clone, PartialEq)]
struct Posterior {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

/// A picture, ready to be trained on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoded {
    as_is: Posterior,
    /// Of the picture in the mirror, where the recipe asks for it.
    mirrored: Option<Posterior>,
    /// How much each place counts, 0 to 1: rows of latents, and the same in the mirror.
    mask: Option<[Vec<f32>; 2]>,
    /// Channels, rows, columns.
    pub(crate) dims: [usize; 3],
    /// Height and width of the picture before it was cut, in pixels.
    pub(crate) original_px: [usize; 2],
    /// Top and left of the cut, in pixels.
    pub(crate) crop_px: [usize; 2],
}

impl Encoded {
    /// Reads, fits and encodes a picture.
    fn new(example: &Example, size_px: [u32; 2], flip: bool, trainee: &Trainee) -> Result<Self, TrainError> {
        let fitted = data::fitted(&example.path, size_px)?;
        let read = if trainee.is_autoencoder() { itself } else { posterior };
        let mirrored = flip.then(|| read(mirrored_rgb(&fitted.pixels), &fitted.pixels, trainee));
        let (as_is, dims) = read(fitted.pixels.rgb().to_vec(), &fitted.pixels, trainee);
        let [width, height] = example.size_px.map(|px| px as usize);
        let [left, top] = fitted.crop_px.map(|px| px as usize);
        let (original_px, crop_px) = ([height, width], [top, left]);
        let mask = example.mask.as_ref().map(|path| mask(path, size_px, dims)).transpose()?;
        Ok(Self { as_is, mirrored: mirrored.map(|row| row.0), mask, dims, original_px, crop_px })
    }

    /// What one step sees of the distribution: it, or it in the mirror.
    fn side(&self, draw: Draw) -> &Posterior {
        match &self.mirrored {
            Some(mirrored) if is_flipped(draw) => mirrored,
            _ => &self.as_is,
        }
    }

    /// How much each place counts in one step, 0 to 1, rows of latents; `None` where all count the same.
    pub(crate) fn mask(&self, draw: Draw) -> Option<&[f32]> {
        let [as_is, mirrored] = self.mask.as_ref()?;
        Some(if self.mirrored.is_some() && is_flipped(draw) { mirrored } else { as_is })
    }

    /// The picture as it is, not mirrored: -1 to 1, channels before rows and columns, where the autoencoder is trained.
    pub(crate) fn as_is(&self) -> &[f32] {
        &self.as_is.mean
    }

    /// The picture itself, -1 to 1, where the autoencoder is trained.
    pub(crate) fn pixels(&self, draw: Draw) -> Vec<f32> {
        self.side(draw).mean.clone()
    }

    /// Latents of one step: a sample of the distribution, times the model's scale.
    pub(crate) fn sample(&self, draw: Draw, scale: f64) -> Vec<f32> {
        let posterior = self.side(draw);
        let noise = draw.normal("latents", posterior.mean.len());
        let moments = posterior.mean.iter().zip(&posterior.deviation);
        #[expect(clippy::cast_possible_truncation, reason = "latents are f32")]
        let scale = scale as f32;
        moments.zip(noise).map(|((mean, deviation), noise)| (mean + deviation * noise) * scale).collect()
    }
}

fn is_flipped(draw: Draw) -> bool {
    draw.happens("flip", 0.5)
}

/// A mask as latents see it, and in the mirror: the mean of the pixels behind each place.
fn mask(path: &Path, size_px: [u32; 2], [_, h, w]: [usize; 3]) -> Result<[Vec<f32>; 2], TrainError> {
    let pixels = data::fitted(path, size_px)?.pixels;
    let [width, height] = size_px.map(|side| side as usize);
    let (rows_of_one, columns_of_one) = (height / h, width / w);
    let row = |pixel_rows: &[u8]| {
        let mut sums = vec![0.0; w];
        for pixel_row in pixel_rows.chunks_exact(width * 3) {
            for (sum, block) in sums.iter_mut().zip(pixel_row.chunks_exact(columns_of_one * 3)) {
                *sum += block.iter().step_by(3).map(|&gray| f32::from(gray) / 255.0).sum::<f32>();
            }
        }
        sums.into_iter().map(|sum: f32| sum / (rows_of_one * columns_of_one) as f32).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<f32>> = pixels.rgb().chunks_exact(width * 3 * rows_of_one).take(h).map(row).collect();
    Ok([rows.concat(), rows.iter().flat_map(|row| row.iter().rev().copied()).collect()])
}

/// Encodes all pictures. Those that have become unreadable since the scan are an error: the order of a run depends on them.
pub(crate) fn encode_all(
    examples: &[(Example, [u32; 2])],
    flip: bool,
    trainee: &Trainee,
    progress: &mut dyn Progress,
) -> Result<Vec<Encoded>, TrainError> {
    progress.begin("encoding pictures", examples.len() as u64);
    let mut encoded = Vec::with_capacity(examples.len());
    for now in examples.chunks(trainee.n_lanes) {
        progress.check()?;
        let encode =
            |(example, size_px): &(Example, [u32; 2])| Encoded::new(example, *size_px, flip, trainee);
        for picture in lanes::side_by_side(now.iter().collect(), encode) {
            encoded.push(picture?);
            progress.advance(1);
        }
    }
    Ok(encoded)
}

/// A picture as its own latents, for an autoencoder that is yet to be trained.
fn itself(rgb: Vec<u8>, size: &Pixels, _trainee: &Trainee) -> (Posterior, [usize; 3]) {
    let (width, height) = (size.width_px() as usize, size.height_px() as usize);
    let channel = |c: usize| rgb.iter().skip(c).step_by(3).map(|&byte| f32::from(byte) / 127.5 - 1.0);
    let mean = (0..3).flat_map(channel).collect();
    (Posterior { mean, deviation: Vec::new() }, [3, height, width])
}

/// What the model's autoencoder says of a picture.
fn posterior(rgb: Vec<u8>, size: &Pixels, trainee: &Trainee) -> (Posterior, [usize; 3]) {
    let (pixels, [channels, height, width]) = itself(rgb, size, trainee);
    let pixels = TensorData::new(pixels.mean, [1, channels, height, width]);
    let posterior = trainee.encoder.encode(Tensor::from_data(pixels, &trainee.device));
    let [_, c, h, w] = posterior.mean.dims();
    let numbers = |x: Tensor<4>| x.cast(DType::F32).into_data().try_to_vec::<f32>().unwrap_or_default();
    let deviation = numbers((posterior.log_variance * 0.5).exp());
    (Posterior { mean: numbers(posterior.mean), deviation }, [c, h, w])
}

fn mirrored_rgb(pixels: &Pixels) -> Vec<u8> {
    let rows = pixels.rgb().chunks_exact(pixels.width_px() as usize * 3);
    rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect()
}
