//! A part of the picture that is held at its place while the rest is painted.

use tronie_sampling::{Denoiser, SampleError};
use tronie_tensor::Tensor;

use crate::pipeline::mixed;

/// What is known of a picture, and where it is not.
///
/// The denoised picture is set to what is known outside the mask at every look, as A1111 and `ComfyUI` do. diffusers instead puts
/// the known picture, noised with the first noise, back after every step: for samplers that draw no noise and started from
/// that picture and that noise the two are one, because the straight line from there to the known picture passes through it at
/// every level. A1111's samplers that walk timesteps (DDIM, PLMS, UniPC) show the network the known picture without noise
/// instead, which its own source calls oversmoothing; here they hold as all others do.
pub(crate) struct Held {
    /// 1 or b c h w: the latents.
    pub(crate) known: Tensor<4>,
    /// 1 1 h w: 1 is painted, 0 is held.
    pub(crate) mask: Tensor<4>,
    /// What the network sees at its first look in place of the noisy picture: diffusers starts from noise alone when the
    /// strength is 1, and knows the picture only from the second step on.
    pub(crate) seen_first: Option<Tensor<4>>,
}

impl Held {
    /// `x` with everything that is held at its place.
    ///
    /// # Shapes
    /// `x`: b c h w. Returns b c h w.
    pub(crate) fn put_back(&self, x: &Tensor<4>) -> Tensor<4> {
        mixed(&self.known, x, &self.mask)
    }
}

/// A denoiser that never sees what is held change.
pub(crate) struct Holding<'a> {
    pub(crate) inner: &'a mut dyn Denoiser,
    pub(crate) held: &'a mut Held,
}

impl Denoiser for Holding<'_> {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        let seen = self.held.seen_first.take();
        let x0 = self.inner.denoise(seen.as_ref().unwrap_or(x), sigma)?;
        Ok(self.held.put_back(&x0))
    }
}
