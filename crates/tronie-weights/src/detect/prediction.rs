//! Noise or velocity: what the names cannot tell.

use std::fmt;

use super::{DetectError, Hints};
use crate::{Dtype, RawTensor, TensorFile};

/// What a UNet was trained to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// The velocity of Salimans and Ho 2022 (arXiv:2202.00512).
    Velocity,
}

impl Prediction {
    /// diffusers' `prediction_type`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Velocity => "v_prediction",
        }
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Epsilon => "noise",
            Self::Velocity => "velocity",
        })
    }
}

use Prediction::{Epsilon, Velocity};

/// The bias whose spread tells Stable Diffusion 2's two kinds apart, in both namings.
const TELLTALE: [&str; 3] = [
    "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias",
];

/// Velocity if its standard deviation is above this. An observation of ComfyUI's author (`supported_models.py`, `SD20`).
const TELLTALE_SPREAD: f64 = 0.09;

/// What people write in file names.
const NAMED: &[(&str, Prediction)] = &[
    ("768-v", Velocity),
    ("768v", Velocity),
    ("v-pred", Velocity),
    ("v_pred", Velocity),
    ("vpred", Velocity),
    ("2-1_768", Velocity),
    ("512-base", Epsilon),
    ("2-1_512", Epsilon),
    ("eps-pred", Epsilon),
    ("epsilon", Epsilon),
];

/// What the UNet of `file` predicts, and why. `tells` is whether the telltale bias means anything (Stable Diffusion 2).
pub(super) fn decide(
    file: &dyn TensorFile,
    hints: Hints<'_>,
    in_channels: usize,
    tells: bool,
) -> Result<(Prediction, String), DetectError> {
    let because =
        |prediction: Prediction, why: &str| Ok((prediction, format!("predicts {prediction}: {why}")));
    if let Some(prediction) = by_scheduler(hints) {
        return because(prediction, "the scheduler's configuration says so");
    }
    if let Some(prediction) = by_yaml(hints) {
        return because(prediction, "the original configuration beside it says so");
    }
    if let Some(prediction) = by_metadata(hints) {
        return because(prediction, "the file's metadata say so");
    }
    if file.meta("v_pred").is_some() {
        return because(Velocity, "the file has a v_pred tensor");
    }
    if in_channels != 4 {
        return because(Epsilon, "models with extra input channels do");
    }
    if let Some(spread) = if tells { spread(file)? } else { None } {
        let prediction = if spread > TELLTALE_SPREAD { Velocity } else { Epsilon };
        return because(prediction, &format!("its last attention's bias has spread {spread:.3}"));
    }
    let name = hints.file_name.unwrap_or_default().to_lowercase();
    if let Some((hint, prediction)) = NAMED.iter().find(|(hint, _)| name.contains(hint)) {
        return because(*prediction, &format!("the file's name has \"{hint}\""));
    }
    let habit = if tells { Velocity } else { Epsilon };
    because(habit, "the family usually does")
}

fn by_scheduler(hints: Hints<'_>) -> Option<Prediction> {
    match hints.scheduler?.get("prediction_type")?.as_str()? {
        "epsilon" => Some(Epsilon),
        "v_prediction" => Some(Velocity),
        _ => None,
    }
}

/// `parameterization: "v"` of an original configuration, which says nothing where the network predicts noise.
fn by_yaml(hints: Hints<'_>) -> Option<Prediction> {
    let yaml = hints.yaml.filter(|text| text.contains("unet_config") || text.contains("network_config"))?;
    let value = yaml.lines().find_map(|line| line.trim().strip_prefix("parameterization:"));
    let value = value.map(|value| value.trim().trim_matches(['"', '\'']));
    Some(if value == Some("v") { Velocity } else { Epsilon })
}

fn by_metadata(hints: Hints<'_>) -> Option<Prediction> {
    match hints.metadata?.get("modelspec.prediction_type")?.as_str() {
        "epsilon" => Some(Epsilon),
        "v" | "v_prediction" => Some(Velocity),
        _ => None,
    }
}

/// The telltale bias's standard deviation; `None` where it is missing.
fn spread(file: &dyn TensorFile) -> Result<Option<f64>, DetectError> {
    let Some(name) = TELLTALE.into_iter().find(|name| file.meta(name).is_some()) else {
        return Ok(None);
    };
    let tensor = file.read(name).map_err(|cause| DetectError::Read { cause })?;
    Ok(tensor.as_ref().and_then(standard_deviation))
}

#[expect(clippy::cast_precision_loss, reason = "a bias has a few hundred entries")]
fn standard_deviation(tensor: &RawTensor) -> Option<f64> {
    let tensor = tensor.to_dtype(Dtype::F32).ok().filter(|tensor| !tensor.bytes.is_empty())?;
    let (numbers, _) = tensor.bytes.as_chunks();
    let values = numbers.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
    let (sum, squares) = values.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    let n = numbers.len() as f64;
    Some((squares / n - (sum / n).powi(2)).max(0.0).sqrt())
}
