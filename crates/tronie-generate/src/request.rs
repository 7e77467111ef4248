//! What can be asked for: plain data, complete enough to make the same image again.

mod source;
mod stages;

pub use source::{Inpaint, MaskedContent, Resize, Source};
pub use stages::{Hires, Refiner, Upscale, Upscaler};

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use tronie_prompt::Emphasis;
use tronie_tensor::noise::Rng;

use crate::{ControlUnit, Edit, GenerateError, ImagePrompt};

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
    /// An autoencoder in place of the model's own: a path, or a name in a models folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<String>,
    /// Seed of the first image; image i uses seed + i.
    #[serde(default)]
    pub seed: u64,
    /// Number of images, 1 to 10,000.
    #[serde(default = "one")]
    pub n_images: u32,
    /// Width in pixels, a multiple of 8; the picture's, rounded down, when there is one to start from.
    #[serde(default)]
    pub width_px: Option<u32>,
    /// Height in pixels, a multiple of 8; see the width.
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
    /// Pictures that are looked at beside the prompt, through IP-Adapters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_prompts: Vec<ImagePrompt>,
    /// A second picture, of another prompt, that keeps the composition of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// Only this image of a batch whose noise is drawn as one tensor; such an image depends on its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_image: Option<u32>,
    /// A picture to start from; without one a run starts from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Which part of the picture is painted anew; all of it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inpaint: Option<Inpaint>,
    /// How often the result is started from anew, each turn with the next seed; 1 to 100. Only with a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_turns: Option<u32>,
    /// A second pass at a larger size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hires: Option<Hires>,
    /// Another model for the last steps; of the second pass where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refiner: Option<Refiner>,
    /// The finished picture enlarged in tiles. A source without a mask is enlarged as it is, not walked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscale: Option<Upscale>,
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
            vae: None,
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
            image_prompts: Vec::new(),
            edit: None,
            only_image: None,
            source: None,
            inpaint: None,
            n_turns: None,
            hires: None,
            refiner: None,
            upscale: None,
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
        if let Some(hires) = &self.hires {
            hires.negative_prompt.iter().try_for_each(|prompt| tronie_prompt::check_length(prompt))?;
        }
        // Both make one image.
        let seconds = self.hires.iter().filter_map(|hires| hires.prompt.as_ref());
        for second in seconds.chain(self.edit.iter().map(|edit| &edit.to)) {
            tronie_prompt::check_length(second)?;
            tronie_prompt::safety::check(second)?;
            tronie_prompt::safety::check(&format!("{}, {second}", self.prompt))?;
        }
        let rows = self.rows().into_iter();
        let rows = rows.chain(self.control.iter().flat_map(ControlUnit::rows));
        let rows = rows.chain(self.image_prompts.iter().flat_map(ImagePrompt::rows));
        let rows = rows.chain(self.edit.iter().flat_map(Edit::rows));
        let rows = rows.chain(self.source.iter().flat_map(Source::rows));
        let rows = rows.chain(self.inpaint.iter().flat_map(Inpaint::rows));
        let rows = rows.chain(self.hires.iter().flat_map(Hires::rows));
        let rows = rows.chain(self.refiner.iter().flat_map(Refiner::rows));
        let mut rows = rows.chain(self.upscale.iter().flat_map(Upscale::rows));
        if let Some(Row { field, found, expected, .. }) = rows.find(|row| !row.is_right) {
            return Err(GenerateError::Value { field, found, expected: expected.into() });
        }
        self.check_source()
    }

    fn rows(&self) -> Vec<Row> {
        let Guidance { scale, rescale, interval: [start, end], skip_below_sigma } = self.guidance;
        vec![
            size("width", self.width_px),
            size("height", self.height_px),
            in_range("steps", self.n_steps, 1..=1000, "1 to 1000"),
            in_range("n", self.n_images, 1..=10_000, "1 to 10000"),
            in_range("clip_skip", self.clip_skip, 1..=12, "1 to 12"),
            in_range("cfg", scale, 0.0..=1000.0, "a number from 0 to 1000"),
            in_range("eta", self.eta, 0.0..=100.0, "a number from 0 to 100"),
            in_range("guidance_rescale", rescale, 0.0..=1.0, "0 to 1"),
            interval("guidance_interval", [start, end]),
            in_range("skip_below_sigma", skip_below_sigma, 0.0..=f64::INFINITY, "0 or more"),
            in_range("loopback", self.n_turns, 1..=100, "1 to 100"),
            in_range("variation strength", self.variation.map(|v| v.strength), 0.0..=1.0, "0 to 1"),
        ]
    }

    /// Whether the source is enlarged as it is.
    pub(crate) fn enlarges_source(&self) -> bool {
        let is_extended =
            self.source.as_ref().is_some_and(|source| source.extend != tronie_image::Margins::default());
        self.source.is_some() && self.upscale.is_some() && self.inpaint.is_none() && !is_extended
    }

    /// Checks that what needs a picture has one, and a mask where one is needed.
    fn check_source(&self) -> Result<(), GenerateError> {
        let wrong = |field, found: &str, expected: &str| {
            Err(GenerateError::Value { field, found: found.to_owned(), expected: expected.to_owned() })
        };
        let more = [
            ("an image", self.source.is_some()),
            ("a second pass", self.hires.is_some()),
            ("a refiner", self.refiner.is_some()),
            ("an enlargement", self.upscale.is_some()),
        ];
        if let (Some(_), Some((what, _))) = (&self.edit, more.iter().find(|row| row.1)) {
            return wrong("edit", &format!("given with {what}"), "it with prompts alone");
        }
        if self.hires.is_some() && self.source.is_some() {
            return wrong("hires", "given with an image", "it with text alone; upscale enlarges a picture");
        }
        if self.n_turns.is_some() && (self.source.is_none() || self.enlarges_source()) {
            return wrong(
                "loopback",
                "given without an image to walk from",
                "it beside an image and no upscale",
            );
        }
        let Some(inpaint) = &self.inpaint else { return Ok(()) };
        match &self.source {
            None => wrong("mask", "given without an image", "an image of the same size to paint in"),
            Some(source) if inpaint.mask.is_none() && source.extend == tronie_image::Margins::default() => {
                wrong("mask", "missing", "one that says which part of the image is painted")
            }
            Some(source) if source.resize == Resize::Latent => {
                wrong("resize", "latent", "stretch, crop or fill where there is a mask")
            }
            Some(_) => Ok(()),
        }
    }
}

/// One value of a request that is looked at.
pub(crate) struct Row {
    field: &'static str,
    found: String,
    is_right: bool,
    expected: &'static str,
}

impl Row {
    pub(crate) fn new(field: &'static str, found: String, is_right: bool, expected: &'static str) -> Self {
        Self { field, found, is_right, expected }
    }
}

/// A value that may be left open, and must lie in a range otherwise.
pub(crate) fn in_range<T: PartialOrd + ToString>(
    field: &'static str,
    value: impl Into<Option<T>>,
    range: RangeInclusive<T>,
    expected: &'static str,
) -> Row {
    let value = value.into();
    let is_right = value.as_ref().is_none_or(|value| range.contains(value));
    Row::new(
        field,
        value.map_or_else(|| "the default".to_owned(), |value| value.to_string()),
        is_right,
        expected,
    )
}

/// Two shares, the first not above the second.
pub(crate) fn interval(field: &'static str, [start, end]: [f64; 2]) -> Row {
    let is_right = 0.0 <= start && start <= end && end <= 1.0;
    Row::new(field, format!("{start} {end}"), is_right, "0 <= start <= end <= 1")
}

fn size(field: &'static str, px: Option<u32>) -> Row {
    let row = in_range(field, px, 8..=16_384, "a multiple of 8 from 8 to 16384");
    Row { is_right: row.is_right && px.is_none_or(|px| px % 8 == 0), ..row }
}
