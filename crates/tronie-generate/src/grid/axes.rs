//! What a grid can vary.

use crate::GenerateRequest;

/// One thing that can vary.
pub struct AxisRow {
    /// Its name.
    pub id: &'static str,
    /// Its values, in words.
    pub expected: &'static str,
    /// Puts a value into a request, also knowing the axis's first; `None` when the value makes no sense.
    pub set: fn(&mut GenerateRequest, &str, &str) -> Option<()>,
}

impl std::fmt::Debug for AxisRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AxisRow").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A row for a field that is a number or a name.
macro_rules! row {
    ($id:literal, $expected:literal, |$request:ident, $value:ident| $set:expr) => {
        AxisRow {
            id: $id,
            expected: $expected,
            set: |$request, $value, _| {
                $set;
                Some(())
            },
        }
    };
}

/// Everything a grid can vary.
pub const AXES: &[AxisRow] = &[
    row!("sampler", "a sampler", |request, value| {
        tronie_sampling::find_sampler(value).ok()?;
        request.sampler = Some(value.to_owned());
    }),
    row!("schedule", "a schedule", |request, value| {
        tronie_sampling::find_schedule(value).ok()?;
        request.schedule = Some(value.to_owned());
    }),
    row!("steps", "a whole number", |request, value| request.n_steps = Some(value.parse().ok()?)),
    row!("cfg", "a number", |request, value| request.guidance.scale = Some(value.parse().ok()?)),
    row!("cfg_rescale", "a number", |request, value| request.guidance.rescale = value.parse().ok()?),
    row!("seed", "a whole number", |request, value| request.seed = value.parse().ok()?),
    row!("clip_skip", "a whole number", |request, value| request.clip_skip = Some(value.parse().ok()?)),
    row!("eta", "a number", |request, value| request.eta = Some(value.parse().ok()?)),
    row!("size", "a width and a height such as 512x768", |request, value| {
        let (width, height) = value.split_once(['x', 'X'])?;
        (request.width_px, request.height_px) = (Some(width.parse().ok()?), Some(height.parse().ok()?));
    }),
    row!("model", "a model", |request, value| request.model = value.to_owned()),
    row!("profile", "a profile", |request, value| {
        tronie_sampling::find_profile(value).ok()?;
        request.profile = value.to_owned();
    }),
    row!("strength", "a number, with an image", |request, value| {
        request.source.as_mut()?.strength = value.parse().ok()?;
    }),
    row!("hires_strength", "a number, with hires", |request, value| {
        request.hires.as_mut()?.strength = value.parse().ok()?;
    }),
    row!("refiner_at", "a number, with a refiner", |request, value| {
        request.refiner.as_mut()?.at = value.parse().ok()?;
    }),
    AxisRow {
        id: "prompt",
        expected: "words for the first value, which stands in the prompt,",
        set: |request, value, first| replace(&mut request.prompt, value, first),
    },
    AxisRow {
        id: "negative",
        expected: "words for the first value, which stands in the negative prompt,",
        set: |request, value, first| replace(&mut request.negative_prompt, value, first),
    },
];

/// A1111's "Prompt S/R": the first value is searched for, and every value stands in its place.
fn replace(text: &mut String, value: &str, first: &str) -> Option<()> {
    let replaced = text.contains(first).then(|| text.replace(first, value));
    replaced.map(|replaced| *text = replaced)
}
