//! The numeric habits of the programs whose pictures are to be made again.
//!
//! One table, and no `match` on a program anywhere else.

use tronie_tensor::noise::{Rng, Streams};

use crate::names::{Named, find};
use crate::{Grid, Rounding, SdeNoise, Spacing, StrengthRule, UnknownName};

/// Scale of the noise a run starts from, at its first level sigma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialNoise {
    /// `sigma`.
    Sigma,
    /// `sqrt(1 + sigma^2)`: a variance-preserving sample is pure noise.
    Unit,
    /// `sqrt(1 + sigma^2)` when the run starts at the highest training level, else `sigma` (ComfyUI).
    UnitAtTop,
    /// `sqrt(1 + sigma^2)` for leading timesteps, else `sigma` (diffusers' `init_noise_sigma`).
    UnitIfLeading,
}

/// Where a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalLevel {
    /// At 0.
    Zero,
    /// At the level of timestep 0 (DDIM's `set_alpha_to_one = false`).
    SigmaMin,
}

/// How one program runs one sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numerics {
    /// Schedule when none is named; `None` is the profile's.
    pub default_schedule: Option<&'static str>,
    /// How timesteps are counted.
    pub grid: Grid,
    /// Whether curves (karras and the like) run between the ends of the timestep grid, not of all training levels.
    pub range_of_grid: bool,
    /// How the levels of certain schedules are named to the network; `between` for all others.
    pub rounding: &'static [(&'static str, Rounding)],
    /// How all other levels are named to the network.
    pub between: Rounding,
    /// Scale of the first noise.
    pub initial_noise: InitialNoise,
    /// Where the run ends.
    pub final_level: FinalLevel,
    /// Whether the program's own samples are variance-preserving, so that a picture that ends above level 0 is divided by
    /// `sqrt(1 + sigma^2)`.
    pub variance_preserving: bool,
    /// Whether a picture is noised to the level above the one its run begins at, which is then the first that is left out:
    /// A1111's `CompVisSampler.sample_img2img`.
    pub noises_one_level_above: bool,
    /// Whether one step more is planned and the next to last level left out.
    pub discard_next_to_last: bool,
    /// Highest order of multistep methods; `None` is the method's own.
    pub max_order: Option<usize>,
    /// Where SDE noise comes from.
    pub sde_noise: SdeNoise,
    /// Whether PNDM averages what the network predicts, noise or velocity; else the noise.
    pub averages_prediction: bool,
}

/// How a mask of pixels becomes one of latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatentMask {
    /// Bicubic, then rounded to 0 or 1 (A1111).
    Rounded,
    /// The mean of the four pixels in the middle of each latent (ComfyUI; PyTorch's bilinear interpolation by an eighth).
    Soft,
    /// The first pixel of each latent (diffusers; PyTorch's nearest).
    Nearest,
}

/// How one program starts from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromPicture {
    /// Which steps a strength means.
    pub strength: StrengthRule,
    /// Whether latents are drawn from what the autoencoder says, by the generator of the noise and before it. A1111 draws
    /// them from a generator that nobody seeds, ComfyUI not at all: for both they are the mean.
    pub draws_latents: bool,
    /// How masks become latents.
    pub mask: LatentMask,
    /// Whether strength 1 with a mask starts from noise alone, as in text to image.
    pub full_strength_forgets: bool,
    /// Whether a Brownian path spans the whole schedule also where only its end is walked.
    pub keeps_brownian_path: bool,
    /// Whether what is outside the mask is held at its place also with networks that are told the mask.
    pub holds_when_told: bool,
}

/// The numeric habits of one program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Permanent name, stored in images.
    pub id: &'static str,
    /// Name for menus.
    pub title: &'static str,
    /// Generator of all noise unless the user names one.
    pub rng: Rng,
    /// How the images of a batch share generators.
    pub streams: Streams,
    /// What the seeds of noise drawn at steps are moved by.
    pub eta_seed_delta: i64,
    /// Id of the way prompt weights act.
    pub emphasis: &'static str,
    /// Whether a prompt ends after 77 tokens, where others go on in further chunks.
    pub truncates_prompts: bool,
    /// Id of the rules by which prompts change between steps.
    pub timelines: &'static str,
    /// Whether cumulative alphas are rounded to half precision before noise levels are computed from them.
    pub halves_alphas: bool,
    /// Whether a refiner takes over after a share of the steps, not of the training timesteps.
    pub counts_refiner_steps: bool,
    /// Whether it cuts pixels down to whole numbers (numpy's `astype(uint8)`) where others round to the nearest.
    pub rounds_pixels_down: bool,
    /// Schedule when none is named; `None` is the sampler's.
    pub default_schedule: Option<&'static str>,
    /// Timestep spacing that curves start from when no spacing is named.
    pub spacing: Spacing,
    /// What is added to leading timesteps.
    pub steps_offset: usize,
    /// Schedules that this program computes in its own way: (asked for, used).
    pub substitutes: &'static [(&'static str, &'static str)],
    /// How it starts from a picture.
    pub from_picture: FromPicture,
    /// (sampler id, its numerics).
    pub samplers: &'static [(&'static str, Numerics)],
    /// All samplers that are not listed.
    pub otherwise: Numerics,
}

impl Profile {
    /// How this program runs a sampler.
    #[must_use]
    pub fn numerics(&self, sampler_id: &str) -> &Numerics {
        let row = self.samplers.iter().find(|row| row.0 == sampler_id);
        row.map_or(&self.otherwise, |row| &row.1)
    }
}

impl Named for Profile {
    fn id(&self) -> &'static str {
        self.id
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.title].into_iter()
    }
}

/// k-diffusion, which A1111 and ComfyUI both started from.
const K_DIFFUSION: Numerics = Numerics {
    default_schedule: None,
    grid: Grid::Fractional,
    range_of_grid: false,
    rounding: &[],
    between: Rounding::Fractional,
    initial_noise: InitialNoise::Sigma,
    final_level: FinalLevel::Zero,
    variance_preserving: false,
    noises_one_level_above: false,
    discard_next_to_last: false,
    max_order: None,
    sde_noise: SdeNoise::Brownian,
    averages_prediction: false,
};
const K_DISCARD: Numerics = Numerics { discard_next_to_last: true, ..K_DIFFUSION };
/// A1111's samplers that walk timesteps.
const A1111_TIMESTEPS: Numerics = Numerics {
    grid: Grid::Rounded,
    initial_noise: InitialNoise::Unit,
    final_level: FinalLevel::SigmaMin,
    variance_preserving: true,
    noises_one_level_above: true,
    ..K_DIFFUSION
};

const COMFY: Numerics =
    Numerics { between: Rounding::Nearest, initial_noise: InitialNoise::UnitAtTop, ..K_DIFFUSION };
const COMFY_DISCARD: Numerics = Numerics { discard_next_to_last: true, ..COMFY };

/// diffusers' schedulers written on `x0 + sigma * noise`: Euler, Heun, LMS, DPMSolverSDE.
const D_SIGMAS: Numerics =
    Numerics { range_of_grid: true, initial_noise: InitialNoise::UnitIfLeading, ..K_DIFFUSION };
/// Timesteps between levels are not rounded. But the middle of a step of DPM2 a at eta 1 is the next level, and diffusers
/// rounds the timestep of one of the two looks there; here both are rounded.
const D_KDPM2: Numerics = Numerics { rounding: &[("karras", Rounding::Nearest)], ..D_SIGMAS };
/// diffusers' multistep schedulers. Integer timesteps cut the fraction off where it is not rounded before.
const D_MULTISTEP: Numerics = Numerics {
    grid: Grid::RoundedOneMore,
    rounding: &[
        ("karras", Rounding::Nearest),
        ("lu", Rounding::Nearest),
        ("exponential", Rounding::Down),
        ("beta", Rounding::Down),
    ],
    initial_noise: InitialNoise::Unit,
    variance_preserving: true,
    sde_noise: SdeNoise::Fresh,
    ..K_DIFFUSION
};
const D_ORDER_2: Numerics = Numerics { max_order: Some(2), ..D_MULTISTEP };
const D_DEIS: Numerics = Numerics { final_level: FinalLevel::SigmaMin, ..D_ORDER_2 };
const D_SINGLESTEP: Numerics = Numerics { default_schedule: Some("linspace"), ..D_MULTISTEP };
const D_DDPM: Numerics = Numerics { grid: Grid::Rounded, ..D_MULTISTEP };
const D_DDIM: Numerics = Numerics { final_level: FinalLevel::SigmaMin, ..D_DDPM };
const D_PNDM: Numerics = Numerics { averages_prediction: true, ..D_DDIM };
const D_LCM: Numerics = Numerics { default_schedule: Some("lcm"), ..D_DDPM };

/// Since 1.8.0. What was before is told by the numbers it left in pictures: `modules/infotext_versions.py`.
const A1111: Profile = Profile {
    id: "a1111",
    title: "Stable Diffusion web UI (A1111, Forge)",
    rng: Rng::Philox,
    streams: Streams::PerImage,
    eta_seed_delta: 0,
    emphasis: "original",
    truncates_prompts: false,
    timelines: "current",
    halves_alphas: false,
    counts_refiner_steps: false,
    rounds_pixels_down: true,
    default_schedule: None,
    spacing: Spacing::Leading,
    steps_offset: 1,
    substitutes: &[("kl_optimal", "kl_optimal_open")],
    from_picture: FromPicture {
        strength: StrengthRule::OneMore,
        draws_latents: false,
        mask: LatentMask::Rounded,
        full_strength_forgets: false,
        keeps_brownian_path: true,
        holds_when_told: true,
    },
    samplers: &[
        ("dpm_2", K_DISCARD),
        ("dpm_2_ancestral", K_DISCARD),
        ("dpmpp_3m_sde", K_DISCARD),
        ("ddim", A1111_TIMESTEPS),
        ("ddpm", A1111_TIMESTEPS),
        ("plms", A1111_TIMESTEPS),
        ("pndm", A1111_TIMESTEPS),
        ("uni_pc", A1111_TIMESTEPS),
        ("uni_pc_bh2", A1111_TIMESTEPS),
    ],
    otherwise: K_DIFFUSION,
};

/// Every program whose numbers can be had. The first is the default.
pub const PROFILES: &[Profile] = &[
    A1111,
    Profile {
        id: "a1111_1_7",
        title: "Stable Diffusion web UI 1.6.0 to 1.7.0",
        halves_alphas: true,
        counts_refiner_steps: true,
        ..A1111
    },
    Profile {
        id: "a1111_1_5",
        title: "Stable Diffusion web UI up to 1.5.2",
        halves_alphas: true,
        timelines: "before16",
        ..A1111
    },
    Profile {
        id: "comfy",
        title: "ComfyUI",
        rng: Rng::TorchCpu,
        streams: Streams::WholeBatch,
        eta_seed_delta: 1,
        emphasis: "comfy",
        truncates_prompts: false,
        timelines: "current",
        halves_alphas: false,
        counts_refiner_steps: false,
        rounds_pixels_down: true,
        default_schedule: Some("normal"),
        spacing: Spacing::Leading,
        steps_offset: 1,
        substitutes: &[("beta", "beta_timesteps")],
        from_picture: FromPicture {
            strength: StrengthRule::PartOfLonger,
            draws_latents: false,
            mask: LatentMask::Soft,
            full_strength_forgets: false,
            keeps_brownian_path: false,
            holds_when_told: true,
        },
        samplers: &[
            ("dpm_2", COMFY_DISCARD),
            ("dpm_2_ancestral", COMFY_DISCARD),
            ("uni_pc", COMFY_DISCARD),
            ("uni_pc_bh2", COMFY_DISCARD),
        ],
        otherwise: COMFY,
    },
    Profile {
        id: "diffusers",
        title: "diffusers",
        rng: Rng::TorchCpu,
        streams: Streams::WholeBatch,
        eta_seed_delta: 0,
        emphasis: "none",
        truncates_prompts: true,
        timelines: "current",
        halves_alphas: false,
        counts_refiner_steps: false,
        rounds_pixels_down: false,
        default_schedule: Some("leading"), // with steps_offset 1: scheduler_config.json of SD 1.x, 2.x and SDXL
        spacing: Spacing::Leading,
        steps_offset: 1,
        substitutes: &[],
        from_picture: FromPicture {
            strength: StrengthRule::Share,
            draws_latents: true,
            mask: LatentMask::Nearest,
            full_strength_forgets: true,
            keeps_brownian_path: false,
            holds_when_told: false,
        },
        samplers: &[
            ("dpm_2", D_KDPM2),
            ("dpm_2_ancestral", D_KDPM2),
            ("dpmpp_2m", D_ORDER_2),
            ("dpmpp_2m_sde", D_ORDER_2),
            ("dpmpp_2m_sde_heun", D_ORDER_2),
            ("dpmpp_3m_sde", D_MULTISTEP),
            ("dpmpp_2s", D_SINGLESTEP),
            ("uni_pc", D_ORDER_2),
            ("uni_pc_bh2", D_ORDER_2),
            ("deis", D_DEIS),
            ("ddpm", D_DDPM),
            ("ddim", D_DDIM),
            ("plms", D_PNDM),
            ("pndm", D_PNDM),
            ("lcm", D_LCM),
        ],
        otherwise: D_SIGMAS,
    },
];

/// A profile by its id or title. Case, spaces and underscores do not count.
///
/// # Errors
/// [`UnknownName`] with the nearest known name.
pub fn find_profile(name: &str) -> Result<&'static Profile, UnknownName> {
    find("profile", PROFILES, name)
}
