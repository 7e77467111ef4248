//! What a request means for a checkpoint: which noise levels, which part of them, which size.

use tronie_models::catalog::{ModelSpec, UnetInput};
use tronie_sampling::{
    Discrete, DiscreteOptions, Plan, Profile, StrengthRule, Stretch, find_sampler, find_schedule, plan,
};

use super::source::Opened;
use crate::{GenerateError, GenerateRequest};

/// The checkpoint's training schedule, as a program computes it.
pub(super) fn discrete_of(spec: &ModelSpec, profile: &Profile) -> Result<Discrete, GenerateError> {
    let options = DiscreteOptions {
        downcast_alphas: profile.halves_alphas,
        zero_terminal_snr: spec.training.zero_terminal_snr.then_some(DiscreteOptions::LAST_ALPHA_DIFFUSERS),
    };
    Ok(Discrete::new(&spec.training.betas, options)?)
}

/// Fails where an inpainting network has nothing to be told.
pub(super) fn check_input(
    spec: &ModelSpec,
    request: &GenerateRequest,
    is_painted: bool,
) -> Result<(), GenerateError> {
    if spec.input == UnetInput::Latents || is_painted {
        return Ok(());
    }
    Err(GenerateError::Checkpoint {
        model: request.model.clone(),
        reason: "it is an inpainting model, which needs an image and a mask".to_owned(),
        hint: Some("give both, or choose the checkpoint of the same name without \"inpaint\"".to_owned()),
    })
}

/// The walk of a request.
pub(super) fn planned(
    spec: &ModelSpec,
    request: &GenerateRequest,
    profile: &Profile,
    stretch: Stretch,
    discrete: &Discrete,
) -> Result<Plan, GenerateError> {
    let name = request.sampler.as_deref().unwrap_or(spec.defaults.sampler);
    let (sampler, named_schedule) = find_sampler(name)?;
    let schedule = request.schedule.as_deref().map(find_schedule).transpose()?.or(named_schedule);
    let plan = plan(profile, sampler, schedule, stretch, discrete)?;
    let mut plan = plan.for_network(spec.training.parametrization);
    if let Some(eta) = request.eta {
        plan.options.eta = eta;
    }
    plan.options.check()?;
    Ok(plan)
}

/// Width and height in pixels: those asked for, else the picture's, else the checkpoint's.
pub(super) fn size_px(
    request: &GenerateRequest,
    opened: Option<&Opened>,
    spec: &ModelSpec,
) -> Result<(u32, u32), GenerateError> {
    let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
    let [of_checkpoint_h, of_checkpoint_w] = spec.defaults.size_px.map(side);
    let (width_px, height_px) = match (request.width_px, request.height_px, opened) {
        (Some(width_px), Some(height_px), _) => return Ok((width_px, height_px)),
        (_, _, Some(opened)) => opened.size_px()?.unwrap_or((of_checkpoint_w, of_checkpoint_h)),
        _ => (of_checkpoint_w, of_checkpoint_h),
    };
    Ok((request.width_px.unwrap_or(width_px), request.height_px.unwrap_or(height_px)))
}

/// Which part of its schedule a request walks.
pub(super) fn stretch(
    request: &GenerateRequest,
    is_painted: bool,
    n_steps: usize,
    profile: &Profile,
) -> Result<Stretch, GenerateError> {
    let rules = profile.from_picture;
    match &request.source {
        Some(source) if !forgets(source.strength, is_painted, profile) => {
            let rule = if source.exact_steps { StrengthRule::PartOfLonger } else { rules.strength };
            Ok(Stretch::from_picture(rule, source.strength, n_steps)?)
        }
        _ => Ok(n_steps.into()),
    }
}

/// Whether a run from a picture begins at noise alone.
pub(super) fn forgets(strength: f64, is_painted: bool, profile: &Profile) -> bool {
    profile.from_picture.full_strength_forgets && is_painted && strength >= 1.0
}
