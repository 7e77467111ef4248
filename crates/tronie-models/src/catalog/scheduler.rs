//! How a network was trained, as `scheduler/scheduler_config.json` says it.

use serde::Deserialize;
use serde_json::{Value, json};
use tronie_sampling::{BetaCurve, BetaSchedule, Parametrization, Spacing};

use super::{TimestepGrid, Training};
use crate::config::{ConfigError, choose, parse, require};

/// Where it is in the folder.
pub(super) const FILE: &str = "scheduler/scheduler_config.json";
/// The class written into it; diffusers makes any other scheduler from its configuration.
pub(super) const CLASS_NAME: &str = "DDIMScheduler";

const PREDICTIONS: [(&str, Parametrization); 2] =
    [("epsilon", Parametrization::Epsilon), ("v_prediction", Parametrization::V)];
const CURVES: [(&str, BetaCurve); 3] = [
    ("linear", BetaCurve::Linear),
    ("scaled_linear", BetaCurve::ScaledLinear),
    ("squaredcos_cap_v2", BetaCurve::SquaredCosine),
];
const SPACINGS: [(&str, Spacing); 3] =
    [("linspace", Spacing::Linspace), ("leading", Spacing::Leading), ("trailing", Spacing::Trailing)];

/// The file from which [`training`] reads the same.
pub(super) fn to_value(training: &Training) -> Value {
    let Training { parametrization, betas, zero_terminal_snr, grid } = training;
    json!({
        "_class_name": CLASS_NAME,
        "num_train_timesteps": betas.n,
        "beta_start": betas.start,
        "beta_end": betas.end,
        "beta_schedule": name(&CURVES, betas.curve),
        "trained_betas": null,
        "prediction_type": name(&PREDICTIONS, *parametrization),
        "rescale_betas_zero_snr": zero_terminal_snr,
        "timestep_spacing": name(&SPACINGS, grid.spacing),
        "steps_offset": grid.steps_offset,
        "set_alpha_to_one": grid.final_alpha_is_one,
        "clip_sample": false, // the class's default clips, which is for networks that work on pixels
    })
}

/// The word for `value`; every value has its row.
fn name<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> Option<&'static str> {
    table.iter().find(|row| row.1 == value).map(|row| row.0)
}

/// The keys that matter, with the defaults all of diffusers' schedulers share.
#[derive(Deserialize)]
#[serde(default)]
struct Scheduler {
    #[serde(rename = "_class_name")]
    class_name: String,
    num_train_timesteps: usize,
    beta_start: f64,
    beta_end: f64,
    beta_schedule: String,
    trained_betas: Value,
    prediction_type: String,
    rescale_betas_zero_snr: bool,
    timestep_spacing: Option<String>,
    steps_offset: usize,
    set_alpha_to_one: Option<bool>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self {
            class_name: String::new(),
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: "linear".into(),
            trained_betas: Value::Null,
            prediction_type: "epsilon".into(),
            rescale_betas_zero_snr: false,
            timestep_spacing: None,
            steps_offset: 0,
            set_alpha_to_one: None,
        }
    }
}

/// How a network was trained, from the text of its scheduler's configuration.
pub(super) fn training(text: &str) -> Result<Training, ConfigError> {
    let file: Scheduler = parse(FILE, text)?;
    let trained = ("trained_betas", &file.trained_betas);
    require(file.trained_betas.is_null(), FILE, trained, "null")?;
    let prediction = ("prediction_type", file.prediction_type.as_str());
    let curve = ("beta_schedule", file.beta_schedule.as_str());
    let grid = grid(&file)?;
    Ok(Training {
        parametrization: choose(FILE, prediction, &PREDICTIONS, "epsilon or v_prediction")?,
        betas: BetaSchedule {
            curve: choose(FILE, curve, &CURVES, "linear, scaled_linear or squaredcos_cap_v2")?,
            start: file.beta_start,
            end: file.beta_end,
            n: file.num_train_timesteps,
        },
        zero_terminal_snr: file.rescale_betas_zero_snr,
        grid,
    })
}

fn grid(file: &Scheduler) -> Result<TimestepGrid, ConfigError> {
    // Defaults of the scheduler classes: DDIM, DDPM and PNDM lead, all others space evenly; PNDM alone ends on
    // the first timestep.
    let class = file.class_name.as_str();
    let leads = ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler"].contains(&class);
    let spacing = file.timestep_spacing.as_deref();
    let found = ("timestep_spacing", spacing.unwrap_or(if leads { "leading" } else { "linspace" }));
    Ok(TimestepGrid {
        spacing: choose(FILE, found, &SPACINGS, "linspace, leading or trailing")?,
        steps_offset: file.steps_offset,
        final_alpha_is_one: file.set_alpha_to_one.unwrap_or(class != "PNDMScheduler"),
    })
}
