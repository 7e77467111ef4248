//! The space a UNet works in, and the cheapest look at it.

use crate::vae::VaeConfig;

/// What latents are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentSpace {
    /// Channels.
    pub n_channels: usize,
    /// Pixels per latent, in each direction.
    pub factor: usize,
    /// `latents = raw_latents * scale`.
    pub scale: f64,
    /// Red, green and blue (-1..=1) per unit of each latent channel: a preview without a network. `None` where
    /// nobody has fitted them.
    pub preview: Option<[[f32; 3]; 4]>,
}

impl LatentSpace {
    /// SD 1.x and 2.x.
    ///
    /// Preview: fitted by torridgristle for SD 1.5,
    /// <https://github.com/invoke-ai/InvokeAI/blob/v5.6.0/invokeai/app/util/step_callback.py>.
    pub const SD: Self = Self {
        n_channels: 4,
        factor: 8,
        scale: 0.18215,
        preview: Some([
            [0.3444, 0.1385, 0.0670],
            [0.1247, 0.4027, 0.1494],
            [-0.3192, 0.2513, 0.2103],
            [-0.1307, -0.1874, -0.7445],
        ]),
    };

    /// SDXL, base and refiner.
    ///
    /// Preview: fitted by StAlKeR7779, same file.
    pub const SDXL: Self = Self {
        scale: 0.13025,
        preview: Some([
            [0.3816, 0.4930, 0.5320],
            [-0.3753, 0.1631, 0.1739],
            [0.1770, 0.3588, -0.2048],
            [-0.4350, -0.2644, -0.4289],
        ]),
        ..Self::SD
    };

    /// The space of an autoencoder; one of the two above where all its numbers are theirs.
    #[must_use]
    pub fn of(vae: &VaeConfig) -> Self {
        let space =
            Self { n_channels: vae.c_latent, factor: vae.factor(), scale: vae.latent_scale, preview: None };
        let known = [Self::SD, Self::SDXL];
        let same = |known: &Self| Self { preview: None, ..*known } == space;
        known.into_iter().find(same).unwrap_or(space)
    }
}
