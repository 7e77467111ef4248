//! Align Your Steps: levels optimised for each model, interpolated log-linearly to other numbers of steps.
//!
//! Sabour et al. 2024 (arXiv:2404.14507); the 10-step tables of <https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html>.

use super::{Levels, ScheduleInput, linspace};
use crate::ScheduleError;

const SD15: [f64; 11] = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
const SDXL: [f64; 11] = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029];

pub(super) fn sd15(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(interpolated(&SD15, input.n_steps))
}

pub(super) fn sdxl(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(interpolated(&SDXL, input.n_steps))
}

fn interpolated(table: &[f64], n: usize) -> Levels {
    let logs: Vec<f64> = table.iter().map(|sigma| sigma.ln()).collect();
    let last = (logs.len() - 1) as f64;
    let places = linspace(0.0, last, n);
    Levels::above_zero(places.map(|place| crate::discrete::interpolate(&logs, place).exp()).collect())
}
