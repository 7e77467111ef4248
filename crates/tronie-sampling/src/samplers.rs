//! Every sampler there is.
//!
//! A sampler is one function of a [`Run`] and the starting noise, in its own file, and one row of [`SAMPLERS`].

use tronie_tensor::Tensor;

use crate::names::{Named, find, normalize};
use crate::{Run, SCHEDULES, SampleError, SamplerOptions, ScheduleRow, UnknownName};

mod deis;
mod dpm_2;
mod dpm_2_ancestral;
mod dpm_adaptive;
mod dpm_fast;
mod dpm_solver;
mod dpmpp_2m;
mod dpmpp_2m_sde;
mod dpmpp_2s;
mod dpmpp_2s_ancestral;
mod dpmpp_3m_sde;
mod dpmpp_sde;
mod euler;
mod euler_ancestral;
mod heun;
mod lcm;
mod lms;
mod pndm;
mod restart;
mod uni_pc;

pub(crate) use pndm::N_WARM_UP;

/// Walks from noise to picture. `x` is b c h w at the run's first noise level; what comes back is at its last.
///
/// # Errors
/// [`SampleError`] of the model or the observer, or an option out of range.
pub type Sampler = fn(Run<'_>, Tensor<4>) -> Result<Tensor<4>, SampleError>;

/// What a sampler takes from the noise levels it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelUse {
    /// It walks them one by one, to the last.
    All,
    /// The highest, the lowest above 0, and how many there are.
    Number,
    /// The highest and the lowest above 0.
    Ends,
}

/// One sampler.
#[derive(Clone, Copy)]
pub struct SamplerRow {
    /// Permanent name, stored in images.
    pub id: &'static str,
    /// Name for menus, A1111's where it has one.
    pub title: &'static str,
    /// Other programs' names for it.
    pub aliases: &'static [&'static str],
    /// Order of convergence at `eta` 0 from a cold start: a multistep method is held back by its first steps.
    pub order: u8,
    /// Looks at the model per step.
    pub looks_per_step: u8,
    /// Whether it draws noise when its options are left alone.
    pub stochastic: bool,
    /// `eta` when nobody says otherwise.
    pub eta: f64,
    /// What it takes from the noise levels it is given.
    pub levels: LevelUse,
    /// Id of the schedule A1111 gives it when none is named.
    pub default_schedule: &'static str,
    /// Leading steps that need a noise level in their middle, which `plan` inserts.
    pub n_split_steps: usize,
    /// Whether it is made for latent consistency models.
    pub consistency: bool,
    /// The sampler. [`SamplerRow::run`] checks the options first.
    walk: Sampler,
}

impl SamplerRow {
    /// The options it uses when nobody says otherwise.
    #[must_use]
    pub fn options(&self) -> SamplerOptions {
        SamplerOptions { eta: self.eta, ..SamplerOptions::default() }
    }

    /// Walks from noise to picture. `x` is b c h w at the run's first noise level; what comes back is at its last.
    ///
    /// # Errors
    /// [`SampleError`] of the model or the observer, or an option out of range.
    pub fn run(&self, run: Run<'_>, x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
        run.options.check()?;
        (self.walk)(run, x)
    }
}

impl std::fmt::Debug for SamplerRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SamplerRow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Named for SamplerRow {
    fn id(&self) -> &'static str {
        self.id
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.title].into_iter().chain(self.aliases.iter().copied())
    }
}

/// A deterministic first-order sampler; the other rows say where they differ.
const EULER: SamplerRow = SamplerRow {
    id: "euler",
    title: "Euler",
    aliases: &["k_euler", "EulerDiscreteScheduler"],
    order: 1,
    looks_per_step: 1,
    stochastic: false,
    eta: 0.0,
    levels: LevelUse::All,
    default_schedule: "automatic",
    n_split_steps: 0,
    consistency: false,
    walk: euler::euler,
};

/// Every sampler there is. `--sampler`, the studio's menu, the docs and the tests are all read from here.
pub const SAMPLERS: &[SamplerRow] = &[
    SamplerRow {
        id: "dpmpp_2m",
        title: "DPM++ 2M",
        aliases: &["k_dpmpp_2m", "DPMSolverMultistepScheduler", "DPM++ 2M v1"],
        order: 2,
        default_schedule: "karras",
        walk: dpmpp_2m::dpmpp_2m,
        ..EULER
    },
    SamplerRow {
        id: "dpmpp_sde",
        title: "DPM++ SDE",
        aliases: &["k_dpmpp_sde", "dpmpp_sde_gpu", "DPMSolverSDEScheduler"],
        order: 2,
        looks_per_step: 2,
        default_schedule: "karras",
        walk: dpmpp_sde::dpmpp_sde,
        ..STOCHASTIC
    },
    SamplerRow {
        id: "dpmpp_2m_sde",
        title: "DPM++ 2M SDE",
        aliases: &["k_dpmpp_2m_sde", "dpmpp_2m_sde_gpu"],
        order: 2,
        default_schedule: "exponential",
        walk: dpmpp_2m_sde::dpmpp_2m_sde,
        ..STOCHASTIC
    },
    SamplerRow {
        id: "dpmpp_2m_sde_heun",
        title: "DPM++ 2M SDE Heun",
        aliases: &["k_dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu"],
        order: 2,
        default_schedule: "exponential",
        walk: dpmpp_2m_sde::dpmpp_2m_sde_heun,
        ..STOCHASTIC
    },
    SamplerRow {
        id: "dpmpp_2s_ancestral",
        title: "DPM++ 2S a",
        aliases: &["k_dpmpp_2s_a", "dpmpp_2s_a"],
        order: 2,
        looks_per_step: 2,
        default_schedule: "karras",
        walk: dpmpp_2s_ancestral::dpmpp_2s_ancestral,
        ..STOCHASTIC
    },
    SamplerRow {
        id: "dpmpp_3m_sde",
        title: "DPM++ 3M SDE",
        aliases: &["k_dpmpp_3m_sde", "dpmpp_3m_sde_gpu"],
        order: 2,
        default_schedule: "exponential",
        walk: dpmpp_3m_sde::dpmpp_3m_sde,
        ..STOCHASTIC
    },
    STOCHASTIC,
    EULER,
    SamplerRow {
        id: "lms",
        title: "LMS",
        aliases: &["k_lms", "LMSDiscreteScheduler"],
        order: 2,
        walk: lms::lms,
        ..EULER
    },
    SamplerRow {
        id: "heun",
        title: "Heun",
        aliases: &["k_heun", "HeunDiscreteScheduler"],
        order: 2,
        looks_per_step: 2,
        walk: heun::heun,
        ..EULER
    },
    SamplerRow {
        id: "dpm_2",
        title: "DPM2",
        aliases: &["k_dpm_2", "KDPM2DiscreteScheduler"],
        order: 2,
        looks_per_step: 2,
        default_schedule: "karras",
        walk: dpm_2::dpm_2,
        ..EULER
    },
    SamplerRow {
        id: "dpm_2_ancestral",
        title: "DPM2 a",
        aliases: &["k_dpm_2_a", "dpm_2_a", "KDPM2AncestralDiscreteScheduler"],
        order: 2,
        looks_per_step: 2,
        default_schedule: "karras",
        walk: dpm_2_ancestral::dpm_2_ancestral,
        ..STOCHASTIC
    },
    SamplerRow {
        id: "dpm_fast",
        title: "DPM fast",
        aliases: &["k_dpm_fast"],
        order: 2,
        levels: LevelUse::Number,
        default_schedule: "exponential",
        walk: dpm_fast::dpm_fast,
        ..EULER
    },
    SamplerRow {
        id: "dpm_adaptive",
        title: "DPM adaptive",
        aliases: &["k_dpm_ad"],
        order: 3,
        looks_per_step: 3,
        levels: LevelUse::Ends,
        default_schedule: "exponential",
        walk: dpm_adaptive::dpm_adaptive,
        ..EULER
    },
    SamplerRow {
        id: "restart",
        title: "Restart",
        order: 2,
        looks_per_step: 2,
        stochastic: true,
        levels: LevelUse::Number,
        default_schedule: "karras",
        aliases: &[],
        walk: restart::restart,
        ..EULER
    },
    SamplerRow {
        id: "ddim",
        title: "DDIM",
        aliases: &["DDIMScheduler"],
        default_schedule: "ddim_uniform",
        walk: euler_ancestral::euler_ancestral,
        ..EULER
    },
    SamplerRow {
        id: "ddpm",
        title: "DDPM",
        aliases: &["DDPMScheduler"],
        default_schedule: "ddim_uniform",
        ..STOCHASTIC
    },
    SamplerRow {
        id: "plms",
        title: "PLMS",
        aliases: &[],
        order: 2,
        default_schedule: "ddim_uniform",
        walk: pndm::plms,
        ..EULER
    },
    SamplerRow {
        id: "pndm",
        title: "PNDM",
        aliases: &["PNDMScheduler"],
        order: 2,
        default_schedule: "ddim_uniform",
        n_split_steps: N_WARM_UP,
        walk: pndm::pndm,
        ..EULER
    },
    SamplerRow {
        id: "uni_pc",
        title: "UniPC",
        aliases: &["UniPCMultistepScheduler"],
        order: 3,
        default_schedule: "ddim_uniform",
        walk: uni_pc::uni_pc,
        ..EULER
    },
    SamplerRow {
        id: "uni_pc_bh2",
        title: "UniPC BH2",
        aliases: &[],
        order: 3,
        default_schedule: "ddim_uniform",
        walk: uni_pc::uni_pc_bh2,
        ..EULER
    },
    SamplerRow {
        id: "deis",
        title: "DEIS",
        aliases: &["DEISMultistepScheduler"],
        order: 2,
        default_schedule: "normal",
        walk: deis::deis,
        ..EULER
    },
    SamplerRow {
        id: "dpmpp_2s",
        title: "DPM++ 2S",
        aliases: &["DPMSolverSinglestepScheduler"],
        order: 2,
        default_schedule: "karras",
        walk: dpmpp_2s::dpmpp_2s,
        ..EULER
    },
    SamplerRow {
        id: "lcm",
        title: "LCM",
        aliases: &["LCMScheduler"],
        eta: 0.0,
        default_schedule: "lcm",
        consistency: true,
        walk: lcm::lcm,
        ..STOCHASTIC
    },
];

/// A first-order sampler that renews its noise; the other rows say where they differ.
const STOCHASTIC: SamplerRow = SamplerRow {
    id: "euler_ancestral",
    title: "Euler a",
    aliases: &["k_euler_a", "EulerAncestralDiscreteScheduler"],
    stochastic: true,
    eta: 1.0,
    walk: euler_ancestral::euler_ancestral,
    ..EULER
};

/// A sampler by any of its names: id, title, another program's, or A1111's older names that end in a schedule
/// ("DPM++ 2M Karras"), which then comes second. Case, spaces and underscores do not count.
///
/// # Errors
/// [`UnknownName`] with the nearest known name.
pub fn find_sampler(name: &str) -> Result<(&'static SamplerRow, Option<&'static ScheduleRow>), UnknownName> {
    let unknown = match find("sampler", SAMPLERS, name) {
        Ok(row) => return Ok((row, None)),
        Err(unknown) => unknown,
    };
    let whole = normalize(name);
    for schedule in SCHEDULES {
        for ending in schedule.names() {
            let sampler = whole.strip_suffix(&normalize(ending)).filter(|sampler| !sampler.is_empty());
            if let Some(Ok(row)) = sampler.map(|sampler| find("sampler", SAMPLERS, sampler)) {
                return Ok((row, Some(schedule)));
            }
        }
    }
    Err(unknown)
}

#[cfg(test)]
mod tests;
