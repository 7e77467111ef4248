//! From (profile, sampler, schedule, number of steps) to the noise levels of a run.

use crate::profile::{FinalLevel, InitialNoise, Numerics};
use crate::schedules::timestep_grid;
use crate::{
    Discrete, Levels, Parametrization, Profile, SCHEDULES, SamplerOptions, SamplerRow, ScheduleError,
    ScheduleInput, ScheduleRow, Sigmas, Spacing, Stretch, Timesteps,
};

/// Everything about a run that is known before its first look at the model.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The sampler.
    pub sampler: &'static SamplerRow,
    /// The schedule that was used.
    pub schedule: &'static ScheduleRow,
    /// Noise levels to walk down.
    pub sigmas: Sigmas,
    /// Which timestep the network is told at each of them, and between.
    pub timesteps: Timesteps,
    /// What a picture is multiplied by before noise is laid on it: 1 unless its level is not the run's first.
    pub picture_scale: f64,
    /// What unit noise is multiplied by to start at the first level, alone or on top of a picture.
    pub initial_scale: f64,
    /// What the result is multiplied by.
    pub final_scale: f64,
    /// The sampler's options in this profile.
    pub options: SamplerOptions,
    /// Whether PNDM averages what the network predicts ([`Plan::for_network`]).
    averages_prediction: bool,
    /// Whether the model is to be taken for a latent consistency model.
    pub consistency: bool,
}

impl Plan {
    /// The plan for a network of this parametrization.
    ///
    /// diffusers' `PNDMScheduler` averages velocities where a network predicts them; the other samplers do not care.
    #[must_use]
    pub fn for_network(mut self, parametrization: Parametrization) -> Self {
        if self.averages_prediction {
            self.options.averages = parametrization;
        }
        self
    }
}

/// Plans a run. Without a schedule, the profile's or the sampler's own is used.
///
/// `steps` is their number, or a [`Stretch`] of a schedule. A run has that many steps, except where the reference's has not: one more look with PLMS, another number with
/// `ddim_uniform` when it does not divide 1000, and one step less when the last level is the end already.
///
/// # Errors
/// [`ScheduleError`] when there are no steps, more than there are noise levels, or levels that do not fall.
pub fn plan(
    profile: &Profile,
    sampler: &'static SamplerRow,
    schedule: Option<&'static ScheduleRow>,
    steps: impl Into<Stretch>,
    discrete: &Discrete,
) -> Result<Plan, ScheduleError> {
    let stretch = steps.into();
    let n_steps = stretch.n_planned;
    let n_most = discrete.n_timesteps();
    if n_steps == 0 {
        return Err(ScheduleError::NoSteps);
    }
    if n_steps > n_most {
        return Err(ScheduleError::TooManySteps { found: n_steps, at_most: n_most, method: sampler.title });
    }
    let numerics = profile.numerics(sampler.id);
    let schedule = resolve(profile, sampler, schedule);
    let discard = usize::from(numerics.discard_next_to_last);
    let input = input(profile, numerics, schedule, n_steps + discard, discrete);
    let mut levels = (schedule.levels)(&input)?;
    levels.sigmas.iter_mut().for_each(|sigma| *sigma = as_f32(*sigma));
    let ends_early = !levels.complete && !append_end(&mut levels.sigmas, numerics, discrete);
    if discard == 1 && levels.sigmas.len() > 2 {
        levels.sigmas.remove(levels.sigmas.len() - 2);
        levels.timesteps.as_mut().and_then(Vec::pop);
    }
    let top = levels.sigmas.first().copied().unwrap_or_default();
    let above = skip(&mut levels, stretch, numerics);
    let timesteps = name_levels(&mut levels, numerics, sampler, schedule, discrete);
    let sigmas = Sigmas::new(levels.sigmas)?;
    let last = sigmas.last();
    let (picture_scale, initial_scale) = match stretch.n_from_picture {
        None => (1.0, initial_scale(profile, numerics, schedule, sigmas.first(), discrete)),
        Some(_) => scales_on_picture(numerics, above, sigmas.first(), discrete),
    };
    Ok(Plan {
        sampler,
        schedule,
        picture_scale,
        initial_scale,
        final_scale: if numerics.variance_preserving { 1.0 / (1.0 + last * last).sqrt() } else { 1.0 },
        sigmas,
        timesteps,
        options: SamplerOptions {
            max_order: numerics.max_order.unwrap_or(usize::MAX),
            sde_noise: numerics.sde_noise,
            brownian_top: if profile.from_picture.keeps_brownian_path { top } else { 0.0 },
            // diffusers then has a last step of no length, and lowers its order there.
            lower_order_final: !ends_early,
            ..sampler.options()
        },
        averages_prediction: numerics.averages_prediction,
        consistency: sampler.consistency,
    })
}

/// The schedule to use: the one named, else the profile's for the sampler, else its general one, else the sampler's own.
fn resolve(
    profile: &Profile,
    sampler: &SamplerRow,
    schedule: Option<&'static ScheduleRow>,
) -> &'static ScheduleRow {
    let numerics = profile.numerics(sampler.id);
    let own = numerics.default_schedule.or(profile.default_schedule).unwrap_or(sampler.default_schedule);
    let asked = schedule.map_or(own, |schedule| schedule.id);
    let substitute = profile.substitutes.iter().find(|row| row.0 == asked);
    let used = substitute.map_or(asked, |row| row.1);
    let row = SCHEDULES.iter().find(|row| row.id == used);
    row.or(schedule).unwrap_or(AUTOMATIC)
}

/// Stands in for a schedule that is not in the table, which the tests of the tables rule out.
const AUTOMATIC: &ScheduleRow = match SCHEDULES {
    [first, ..] => first,
    [] => panic!("there are schedules"),
};

fn input<'a>(
    profile: &Profile,
    numerics: &Numerics,
    schedule: &ScheduleRow,
    n_steps: usize,
    discrete: &'a Discrete,
) -> ScheduleInput<'a> {
    let whole = ScheduleInput {
        discrete,
        n_steps,
        range: (discrete.sigma_min(), discrete.sigma_max()),
        grid: numerics.grid,
        steps_offset: profile.steps_offset,
    };
    if !numerics.range_of_grid || schedule.spacing.is_some() {
        return whole;
    }
    let timesteps = timestep_grid(&whole, profile.spacing);
    let level = |timestep: Option<&f64>| timestep.map(|&timestep| discrete.sigma_of_linear(timestep));
    match (level(timesteps.last()), level(timesteps.first())) {
        (Some(low), Some(high)) => ScheduleInput { range: (low, high), ..whole },
        _ => whole,
    }
}

/// Every reference has its levels in f32, and Brownian noise shows the difference.
fn as_f32(sigma: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
    let rounded = sigma as f32;
    f64::from(rounded)
}

/// Appends the level the run ends at, unless it is there already; whether it was not.
fn append_end(sigmas: &mut Vec<f64>, numerics: &Numerics, discrete: &Discrete) -> bool {
    let end = match numerics.final_level {
        FinalLevel::Zero => 0.0,
        FinalLevel::SigmaMin => discrete.sigma_min(),
    };
    let is_open = sigmas.last().is_none_or(|&last| last > end);
    if is_open {
        sigmas.push(end);
    }
    is_open
}

/// Leaves out the levels before those that are walked. The last of them, where a picture is noised to that one; a walk of one step
/// begins at its own level, because none would be left.
fn skip(levels: &mut Levels, stretch: Stretch, numerics: &Numerics) -> Option<f64> {
    let one_more = stretch.n_from_picture.is_some_and(|n| n > 1) && numerics.noises_one_level_above;
    let n = stretch.n_skipped() + usize::from(one_more);
    if let Some(timesteps) = &mut levels.timesteps {
        timesteps.drain(..n.min(timesteps.len()));
    }
    let n = n.min(levels.sigmas.len());
    levels.sigmas.drain(..n).next_back().filter(|_| one_more)
}

/// Says which timestep the network is told at each level; splits the steps that the sampler wants split.
fn name_levels(
    levels: &mut Levels,
    numerics: &Numerics,
    sampler: &SamplerRow,
    schedule: &ScheduleRow,
    discrete: &Discrete,
) -> Timesteps {
    let row = numerics.rounding.iter().find(|row| row.0 == schedule.id);
    let rounding = row.map_or(numerics.between, |row| row.1);
    if levels.sigmas.len() > sampler.n_split_steps + 1 {
        for step in 0..sampler.n_split_steps {
            split(levels, 2 * step, discrete);
        }
    }
    match &levels.timesteps {
        Some(timesteps) => Timesteps::with_table(&levels.sigmas, timesteps, numerics.between),
        None => {
            let named: Vec<f64> =
                levels.sigmas.iter().map(|&sigma| discrete.timestep_of(sigma, rounding)).collect();
            Timesteps::with_table(&levels.sigmas, &named, numerics.between)
        }
    }
}

/// Inserts a level after `index`: of the timestep half-way where there are timesteps (the integer below, as diffusers'
/// `PNDMScheduler` has it), else half-way in log sigma.
fn split(levels: &mut Levels, index: usize, discrete: &Discrete) {
    let pair = |values: &[f64]| Some((*values.get(index)?, *values.get(index + 1)?));
    let middle =
        levels.timesteps.as_deref().and_then(pair).map(|(from, to)| to + ((from - to) / 2.0).floor());
    if let (Some(timesteps), Some(middle)) = (&mut levels.timesteps, middle) {
        timesteps.insert(index + 1, middle);
        levels.sigmas.insert(index + 1, discrete.sigma_of_linear(middle));
    } else if let Some((from, to)) = pair(&levels.sigmas) {
        levels.sigmas.insert(index + 1, (from * to).sqrt());
    }
}

fn initial_scale(
    profile: &Profile,
    numerics: &Numerics,
    schedule: &ScheduleRow,
    sigma: f64,
    discrete: &Discrete,
) -> f64 {
    let unit = (1.0 + sigma * sigma).sqrt();
    let is_unit = match numerics.initial_noise {
        InitialNoise::Sigma => false,
        InitialNoise::Unit => true,
        InitialNoise::UnitAtTop => is_top(sigma, discrete),
        InitialNoise::UnitIfLeading => schedule.spacing.unwrap_or(profile.spacing) == Spacing::Leading,
    };
    if is_unit { unit } else { sigma }
}

/// Factors on a picture and on the noise on it.
///
/// It is noised to the run's first level; only ComfyUI does at the top what it does without a picture, and only A1111 takes
/// the level above: as its samples are variance-preserving, both then shrink as the levels' variances do.
fn scales_on_picture(numerics: &Numerics, above: Option<f64>, sigma: f64, discrete: &Discrete) -> (f64, f64) {
    if let Some(above) = above {
        let scale = ((1.0 + sigma * sigma) / (1.0 + above * above)).sqrt();
        return (scale, above * scale);
    }
    let is_unit = numerics.initial_noise == InitialNoise::UnitAtTop && is_top(sigma, discrete);
    (1.0, if is_unit { (1.0 + sigma * sigma).sqrt() } else { sigma })
}

/// Whether a run starts at the highest training level, with ComfyUI's own tolerance.
fn is_top(sigma: f64, discrete: &Discrete) -> bool {
    sigma >= discrete.sigma_max() * (1.0 - 1e-5)
}

#[cfg(test)]
mod tests;
