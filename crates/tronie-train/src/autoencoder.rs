//! What the autoencoder is trained on: pictures, and how far what comes back is from them.
//!
//! Rombach et al. 2022 (arXiv:2112.10752), appendix G, without its discriminator: the mean absolute difference, that of
//! edges (neighbouring pixels' differences), and the Kullback-Leibler divergence of the latents from normal numbers.

use tronie_models::vae::{Posterior, VaeDecoder, VaeEncoder};
use tronie_tensor::{Device, Tensor, TensorData};

use crate::latents::Encoded;
use crate::parameters::Parameters;
use crate::pass::Item;
use crate::recipe::Scratch;
use crate::trainee::Trainee;

/// Pictures that the scale of the latents is taken from, at most.
const MAX_FOR_SCALE: usize = 256;

/// The loss of a batch. `scratch` has the weights of its parts.
pub(crate) fn loss(
    decoder: &VaeDecoder,
    encoder: &VaeEncoder,
    items: &[Item<'_>],
    scratch: &Scratch,
    device: &Device,
) -> Tensor<1> {
    let [c, h, w] = items.first().map(|item| item.picture.dims).unwrap_or_default();
    let values: Vec<f32> = items.iter().flat_map(|item| item.picture.pixels(item.draw)).collect();
    let pictures = Tensor::<4>::from_data(TensorData::new(values, [items.len(), c, h, w]), device);
    let posterior = encoder.encode(pictures.clone());
    let dims = posterior.mean.dims();
    let per_picture = dims.iter().skip(1).product();
    let noise: Vec<f32> = items.iter().flat_map(|item| item.draw.normal("latents", per_picture)).collect();
    let noise = Tensor::from_data(TensorData::new(noise, dims), device);
    let back = decoder.decode(posterior.sample(noise));
    let reconstruction = (back.clone() - pictures.clone()).abs().mean();
    let along = |x: &Tensor<4>, dim: usize| {
        let n = x.dims().get(dim).copied().unwrap_or(1).saturating_sub(1);
        x.clone().narrow(dim, 1, n) - x.clone().narrow(dim, 0, n)
    };
    let edges = |dim: usize| (along(&back, dim) - along(&pictures, dim)).abs().mean();
    // Latent diffusion sums over a picture: divided by its numbers, the weight keeps its meaning.
    let n_values = (items.len() * c * h * w) as f64;
    let divergence = divergence(&posterior) / n_values;
    reconstruction + (edges(2) + edges(3)) * scratch.edge_weight + divergence * scratch.kl_weight
}

/// `1/2 sum(mean^2 + variance - 1 - ln variance)` (Kingma and Welling 2014, arXiv:1312.6114, appendix B).
fn divergence(posterior: &Posterior) -> Tensor<1> {
    let Posterior { mean, log_variance } = posterior.clone();
    ((mean.clone() * mean) + log_variance.clone().exp() - 1.0 - log_variance).sum() * 0.5
}

/// What the latents have to be multiplied by for a variance of 1 (arXiv:2112.10752, appendix G), by the first pictures.
pub(crate) fn latent_scale(trainee: &Trainee, result: &Parameters, pictures: &[Encoded]) -> f64 {
    let encoder = trainee.woven_encoder(&result.leaves(&trainee.device));
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for picture in pictures.iter().take(MAX_FOR_SCALE) {
        let [c, h, w] = picture.dims;
        let data = TensorData::new(picture.as_is().to_vec(), [1, c, h, w]);
        let latents = encoder.encode(Tensor::from_data(data, &trainee.device)).mode();
        for value in latents.into_data().try_to_vec::<f32>().unwrap_or_default() {
            n += 1.0;
            sum += f64::from(value);
            squares += f64::from(value).powi(2);
        }
    }
    let variance: f64 = squares / n - (sum / n).powi(2);
    variance.sqrt().recip()
}
