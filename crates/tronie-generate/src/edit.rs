//! Prompt-to-prompt: a picture of another prompt that keeps the composition of the first.
//!
//! Hertz et al. 2022 (arXiv:2208.01626). Both prompts are denoised side by side from the same noise, and where words correspond,
//! the new prompt is given the attention maps of the old one: which pixels look at which words (`cross`), and at which
//! other pixels (`self`), each during a part of the steps. [`Edit`] is what a request says, [`EditPlan`] what it comes to for
//! a model, [`Watch`] sees and changes the attention.
//!
//! The other method, after the program `CrossAttentionControl` (<https://github.com/bloc97/CrossAttentionControl>), looks at the
//! new picture with the old prompt at each step, and so makes no old picture.

mod blend;
mod error;
mod plan;
mod watch;

pub(crate) use blend::blended;
pub use error::EditError;
pub(crate) use plan::{EditPlan, Reader};
pub(crate) use watch::{Role, Watch};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tronie_image::Fit;

use crate::request::{Row, in_range, interval};
use crate::{GenerateError, PictureFile};

/// What is to become of a request's picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The new prompt.
    pub to: String,
    /// A real picture in place of the first prompt's, which then says what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Inversion>,
    /// Which words correspond.
    #[serde(default)]
    pub align: AlignBy,
    /// Whose attention is taken.
    #[serde(default)]
    pub method: EditMethod,
    /// Part of the steps, 0 to 1, in which pixels look at words as in the old picture.
    #[serde(default = "cross")]
    pub cross: [f64; 2],
    /// The same for single words of the new prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross_of_words: Vec<(String, [f64; 2])>,
    /// Part of the steps in which pixels look at pixels as in the old picture.
    #[serde(default = "own", rename = "self")]
    pub own: [f64; 2],
    /// Pixels look at pixels as in the old picture in maps of at most this side (as a square); 16, as the authors have it, or
    /// a quarter of the latents' side where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_side: Option<u32>,
    /// Words of the new prompt and how much more attention they get; negative turns it around.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<(String, f64)>,
    /// Confines the change to where these words are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blend: Option<Blend>,
    /// Whether pictures come with a map for each word of where it is looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maps: bool,
}

/// Which words of two prompts correspond; see the functions of these names in [`tronie_prompt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignBy {
    /// `words` where both prompts have equally many, else `common`.
    #[default]
    Auto,
    /// Word by word: the paper's replacement.
    Words,
    /// Along the words both have: the paper's refinement.
    Common,
    /// By Python's difflib: `CrossAttentionControl`'s.
    Blocks,
}

/// Whose attention the new picture is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditMethod {
    /// That of the old picture, which is made beside it.
    #[default]
    Paired,
    /// What the old prompt sees in the new picture.
    Shared,
}

/// A real picture, and how the noise it comes from is found (null-text inversion, Mokady et al. 2022, arXiv:2211.09794).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inversion {
    /// Its file.
    pub image: PictureFile,
    /// How it is brought to the image's size; another size is an error when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// At most so often the negative prompt's context is trained for each step, 0 to 1,000; 0 leaves the negative prompt as
    /// it is, which makes the picture again only without guidance.
    #[serde(default = "n_inner")]
    pub n_inner: u32,
}

impl Inversion {
    /// Of a file, with the authors' number of steps.
    #[must_use]
    pub fn of(image: PathBuf) -> Self {
        Self { image: image.into(), fit: None, n_inner: n_inner() }
    }
}

/// Confines a change to where certain words are looked at (the paper's local editing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blend {
    /// Words of either prompt.
    pub words: Vec<String>,
    /// Part of the steps before which everything may change, 0 to 1.
    #[serde(default = "blend_start")]
    pub start: f64,
    /// Where a word is looked at with more than this share of the most, 0 to 1.
    #[serde(default = "blend_threshold")]
    pub threshold: f64,
}

// The values of the authors' notebooks (google/prompt-to-prompt, prompt-to-prompt_stable.ipynb).
fn cross() -> [f64; 2] {
    [0.0, 0.8]
}

fn own() -> [f64; 2] {
    [0.0, 0.4]
}

fn n_inner() -> u32 {
    10
}

fn blend_start() -> f64 {
    0.2
}

fn blend_threshold() -> f64 {
    0.3
}

impl Blend {
    /// A change that is confined to where these words are.
    #[must_use]
    pub fn to(words: Vec<String>) -> Self {
        Self { words, start: blend_start(), threshold: blend_threshold() }
    }
}

impl Edit {
    /// An edit that leaves everything but the new prompt to the authors' defaults.
    #[must_use]
    pub fn new(to: &str) -> Self {
        Self {
            to: to.to_owned(),
            of: None,
            align: AlignBy::Auto,
            method: EditMethod::Paired,
            cross: cross(),
            cross_of_words: Vec::new(),
            own: own(),
            self_side: None,
            weights: Vec::new(),
            blend: None,
            maps: false,
        }
    }

    /// The edit with the hash of its real picture.
    ///
    /// # Errors
    /// [`GenerateError`] when the file cannot be read or is not the one the edit was made with.
    pub(crate) fn hashed(&self) -> Result<Self, GenerateError> {
        let of = self.of.as_ref().map(|of| {
            let (_, image) = of.image.read()?;
            Ok::<_, GenerateError>(Inversion { image, ..of.clone() })
        });
        Ok(Self { of: of.transpose()?, ..self.clone() })
    }

    /// What has to lie in a range.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = vec![interval("replace", self.cross), interval("self", self.own)];
        rows.extend(self.cross_of_words.iter().map(|row| interval("replace", row.1)));
        rows.extend(self.weights.iter().map(|(word, weight)| {
            Row::new("equalize", format!("{word}={weight}"), weight.is_finite(), "a finite number")
        }));
        rows.extend(self.of.iter().map(|of| in_range("inner steps", of.n_inner, 0..=1000, "0 to 1000")));
        let shares = self.blend.iter().flat_map(|blend| [blend.start, blend.threshold]);
        rows.extend(shares.map(|share| in_range("blend", share, 0.0..=1.0, "0 to 1")));
        rows
    }
}
