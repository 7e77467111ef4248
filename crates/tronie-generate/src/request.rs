//! What can be asked for: plain data, complete enough to make the same image again.

use serde::{Deserialize, Serialize};
use tronie_prompt::Emphasis;
use tronie_tensor::noise::Rng;

use crate::{ControlUnit, Edit, GenerateError};

/// A request for `n_images` portraits.
///
/// Fields left out take the checkpoint's defaults or the profile's; [`crate::Pipeline::resolve`] fills them in, and the
/// filled-in request is what an image carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// What the image shows, in A1111's prompt grammar.
    pub prompt: String,
    /// What it must not show.
    #[serde(default)]
    pub negative_prompt: String,
    /// The embedded model, a path, a name in a models folder, or a Hugging Face id.
    #[serde(default = "embedded")]
    pub model: String,
    /// Seed of the first image; image i uses seed + i.
    #[serde(default)]
    pub seed: u64,
    /// Number of images, 1 to 10,000.
    #[serde(default = "one")]
    pub n_images: u32,
    /// Width in pixels, a multiple of 8.
    #[serde(default)]
    pub width_px: Option<u32>,
    /// Height in pixels, a multiple of 8.
    #[serde(default)]
    pub height_px: Option<u32>,
    /// Denoising steps, 1 to 1,000.
    #[serde(default)]
    pub n_steps: Option<u32>,
    /// Sampler id or A1111 name.
    #[serde(default)]
    pub sampler: Option<String>,
    /// Schedule id or A1111 name.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Classifier-free guidance.
    #[serde(default)]
    pub guidance: Guidance,
    /// Which program's numbers are followed: a row of [`tronie_sampling::PROFILES`].
    #[serde(default = "a1111")]
    pub profile: String,
    /// Where normal numbers come from; the profile's choice when left out.
    #[serde(default)]
    pub rng: Option<Rng>,
    /// How prompt weights act; the profile's choice when left out.
    #[serde(default)]
    pub emphasis: Option<Emphasis>,
    /// Last layers of the text encoder to leave out plus one, 1 to 12; the checkpoint's choice when left out.
    #[serde(default)]
    pub clip_skip: Option<u32>,
    /// Share of fresh noise of stochastic samplers, 0 or more; the sampler's choice when left out.
    #[serde(default)]
    pub eta: Option<f64>,
    /// A second seed mixed into the first noise.
    #[serde(default)]
    pub variation: Option<Variation>,
    /// Added to the seed of everything but the first noise (A1111's ENSD).
    #[serde(default)]
    pub eta_seed_delta: i64,
    /// Pictures that steer, through ControlNets and T2I-Adapters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control: Vec<ControlUnit>,
    /// A second picture, of another prompt, that keeps the composition of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// Only this image of a batch whose noise is drawn as one tensor; such an image depends on its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_image: Option<u32>,
}

/// How strongly the prompt is followed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guidance {
    /// Factor on the difference between prompt and negative prompt; 1 ignores the negative prompt. The checkpoint's
    /// default when `None`.
    pub scale: Option<f64>,
    /// Share of the rescaled result (Lin et al. 2023, arXiv:2305.08891, section 3.4), 0 to 1.
    pub rescale: f64,
    /// First and last step that are guided, as fractions of all steps (Kynkäänniemi et al. 2024, arXiv:2404.07724).
    pub interval: [f64; 2],
    /// Below this noise level every second step is run without the negative prompt; 0 never (A1111's NGMS).
    pub skip_below_sigma: f64,
}

impl Default for Guidance {
    fn default() -> Self {
        Self { scale: None, rescale: 0.0, interval: [0.0, 1.0], skip_below_sigma: 0.0 }
    }
}

/// A second seed mixed into the first noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// The second seed of the first image; image i uses seed + i.
    pub seed: u64,
    /// 0 is the first noise alone, 1 the second alone.
    pub strength: f32,
}

fn embedded() -> String {
    crate::EMBEDDED_MODEL.to_owned()
}

fn a1111() -> String {
    "a1111".to_owned()
}

fn one() -> u32 {
    1
}

impl GenerateRequest {
    /// A request that leaves everything but the prompt to the defaults.
    #[must_use]
    pub fn new(prompt: &str) -> Self {
        Self {
            prompt: prompt.to_owned(),
            negative_prompt: String::new(),
            model: embedded(),
            seed: 0,
            n_images: 1,
            width_px: None,
            height_px: None,
            n_steps: None,
            sampler: None,
            schedule: None,
            guidance: Guidance::default(),
            profile: a1111(),
            rng: None,
            emphasis: None,
            clip_skip: None,
            eta: None,
            variation: None,
            eta_seed_delta: 0,
            control: Vec::new(),
            edit: None,
            only_image: None,
        }
    }

    /// Checks what needs no checkpoint: ranges, sizes, and that the request is one tronie will serve.
    ///
    /// # Errors
    /// [`GenerateError::Value`] naming the field, [`GenerateError::Refused`] or [`GenerateError::Prompt`].
    pub fn check(&self) -> Result<(), GenerateError> {
        tronie_prompt::check_length(&self.prompt)?;
        tronie_prompt::check_length(&self.negative_prompt)?;
        tronie_prompt::safety::check(&self.prompt)?;
        self.control.iter().try_for_each(ControlUnit::check)?;
        self.edit.as_ref().map_or(Ok(()), Edit::check)?;
        let size = |value: Option<u32>| value.is_none_or(|px| px % 8 == 0 && (8..=16_384).contains(&px));
        let Guidance { scale, rescale, interval: [start, end], skip_below_sigma } = self.guidance;
        let rows = [
            ("width", show(self.width_px), size(self.width_px), "a multiple of 8 from 8 to 16384"),
            ("height", show(self.height_px), size(self.height_px), "a multiple of 8 from 8 to 16384"),
            ("steps", show(self.n_steps), in_range(self.n_steps, 1, 1000), "1 to 1000"),
            ("n", self.n_images.to_string(), (1..=10_000).contains(&self.n_images), "1 to 10000"),
            ("clip_skip", show(self.clip_skip), in_range(self.clip_skip, 1, 12), "1 to 12"),
            (
                "cfg",
                show(scale),
                scale.is_none_or(|x| (0.0..=1000.0).contains(&x)),
                "a number from 0 to 1000",
            ),
            (
                "eta",
                show(self.eta),
                self.eta.is_none_or(|x| (0.0..=100.0).contains(&x)),
                "a number from 0 to 100",
            ),
            ("guidance_rescale", rescale.to_string(), (0.0..=1.0).contains(&rescale), "0 to 1"),
            (
                "guidance_interval",
                format!("{start} {end}"),
                0.0 <= start && start <= end && end <= 1.0,
                "0 <= start <= end <= 1",
            ),
            ("skip_below_sigma", skip_below_sigma.to_string(), skip_below_sigma >= 0.0, "0 or more"),
            (
                "variation strength",
                show(self.variation.map(|v| v.strength)),
                self.variation.is_none_or(|v| (0.0..=1.0).contains(&v.strength)),
                "0 to 1",
            ),
        ];
        match rows.into_iter().find(|row| !row.2) {
            None => Ok(()),
            Some((field, found, _, expected)) => {
                Err(GenerateError::Value { field, found, expected: expected.into() })
            }
        }
    }
}

fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "the default".to_owned(), |value| value.to_string())
}

fn in_range(value: Option<u32>, low: u32, high: u32) -> bool {
    value.is_none_or(|value| (low..=high).contains(&value))
}
