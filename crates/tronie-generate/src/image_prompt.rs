//! Pictures that are looked at beside the prompt, through IP-Adapters.
//!
//! [`ImagePrompt`] is what a request says. [`ImagePromptLoader`] makes of it a [`Seen`], which holds all that a UNet needs of
//! the picture, and [`image_tokens`] puts that into a UNet's conditioning.

mod error;
mod loader;

pub use error::ImagePromptError;
pub(crate) use loader::ImagePromptLoader;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tronie_models::ImageTokens;
use tronie_tensor::DType;

use crate::PictureFile;
use crate::control::{Pass, lies_within};
use crate::request::{Row, in_range, interval};

/// One picture that is looked at, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePrompt {
    /// File of the picture, of any size: its middle square is looked at.
    pub image: PictureFile,
    /// The IP-Adapter: a path, or a name in a models folder.
    pub model: String,
    /// The image encoder it is made for: a path, or a name in a models folder; when left out, the folder `image_encoder`
    /// beside the adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// How much it counts, 0 to 2.
    #[serde(default = "one")]
    pub weight: f64,
    /// It begins after this share of the steps.
    #[serde(default)]
    pub start: f64,
    /// It ends after this share of the steps.
    #[serde(default = "one")]
    pub end: f64,
}

fn one() -> f64 {
    1.0
}

impl ImagePrompt {
    /// One that leaves everything but picture and adapter to the defaults.
    #[must_use]
    pub fn new(image: PathBuf, model: &str) -> Self {
        Self {
            image: image.into(),
            model: model.to_owned(),
            encoder: None,
            weight: 1.0,
            start: 0.0,
            end: 1.0,
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        vec![
            in_range("ip-adapter weight", self.weight, 0.0..=2.0, "0 to 2"),
            interval("ip-adapter start and end", [self.start, self.end]),
        ]
    }
}

/// A picture that has been looked at.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    prompt: ImagePrompt,
    /// For rows that are asked with the prompt, and for those that are asked without.
    tokens: [ImageTokens; 2],
}

impl Seen {
    /// What the request says of it, with its picture's hash.
    pub(crate) fn prompt(&self) -> &ImagePrompt {
        &self.prompt
    }
}

/// What a UNet looks at in a pass. What has no weight, or does not act at the step, leaves no trace.
pub(crate) fn image_tokens(seen: &[Seen], pass: &Pass<'_>, dtype: DType) -> Vec<ImageTokens> {
    let n_rows = pass.x.dims()[0];
    let acting = seen.iter().filter(|Seen { prompt, .. }| {
        prompt.weight != 0.0 && lies_within(pass.step, [prompt.start, prompt.end])
    });
    let tokens = acting.map(|Seen { prompt, tokens: [asked, unasked] }| {
        let groups = [(asked, pass.n_asked), (unasked, n_rows - pass.n_asked)];
        ImageTokens::rows(&groups, dtype).weighted(prompt.weight)
    });
    tokens.collect()
}
