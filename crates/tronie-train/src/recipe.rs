//! What a person asks for: a recipe, a TOML file.

mod kohya;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tronie_weights::Dtype;

use crate::data::{Buckets, ImageSet, Role};
use crate::steps::Pace;
use crate::{EmaOptions, Inversion, LrSchedule, TrainError, ranges};

/// What of a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// All weights of the UNet, and of the text encoders if wanted (Ruiz et al. 2022, arXiv:2208.12242; without class
    /// pictures it is plain fine-tuning).
    Dreambooth,
    /// Low-rank changes of its matrices (Hu et al. 2021, arXiv:2106.09685).
    Lora,
    /// Networks made anew: the autoencoder, or text encoders and UNet (see [`Scratch`]).
    Scratch,
    /// Vectors for a new word (Gal et al. 2022, arXiv:2208.01618).
    TextualInversion,
}

/// A recipe. Fields left out take the defaults stated here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model to start from: the embedded one, a path, a name in a models folder or a Hugging Face id.
    pub model: String,
    /// Seed of everything random; 0.
    #[serde(default)]
    pub seed: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Pictures in one pass through the network; 1.
    #[serde(default = "one")]
    pub batch: usize,
    /// Passes whose gradients are averaged before a step; 1.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Width and height in pixels; the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_px: Option<[u32; 2]>,
    /// Sizes of other shapes for pictures of other shapes; all pictures have one size when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Buckets>,
    /// Whether half of the time a picture is mirrored; no.
    #[serde(default)]
    pub flip: bool,
    /// Largest norm of a step's gradients; 1.
    #[serde(default = "max_grad_norm")]
    pub max_grad_norm: f64,
    /// The pictures.
    #[serde(default)]
    pub images: Vec<ImageSet>,
    /// A data set file of kohya's sd-scripts, relative to the recipe: its folders are added to the pictures, and what it
    /// says about size, batch, buckets, flips and captions wins.
    #[serde(default, skip_serializing)]
    pub kohya_dataset: Option<PathBuf>,
    /// How much pictures of the class count, where there are any.
    #[serde(default)]
    pub prior: Prior,
    /// Captions.
    #[serde(default)]
    pub text: Text,
    /// Low-rank changes.
    #[serde(default)]
    pub lora: Lora,
    /// Networks made anew.
    #[serde(default)]
    pub scratch: Scratch,
    /// The new word of textual inversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversion: Option<Inversion>,
    /// How parameters follow their gradients.
    #[serde(default)]
    pub optimizer: OptimizerChoice,
    /// How the learning rate changes over the run.
    #[serde(default)]
    pub lr_schedule: LrSchedule,
    /// What the loss is.
    #[serde(default)]
    pub objective: Objective,
    /// The moving average of the parameters that is kept as the result; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaOptions>,
    /// When the state of the run is kept.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// Pictures made while training.
    #[serde(default)]
    pub samples: Samples,
    /// How the numbers of the result are stored.
    #[serde(default)]
    pub save_dtype: SaveDtype,
}

/// How the numbers of a result are stored. A run computes and continues in f32 whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaveDtype {
    /// As they were computed.
    #[default]
    F32,
    /// Half the size, for use.
    F16,
    /// Half the size, with the range of f32.
    Bf16,
}

impl SaveDtype {
    pub(crate) fn stored(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }
}

/// Prior preservation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prior {
    /// Weight of the loss on class pictures, at least 0.
    pub weight: f64,
    /// Prompt that class pictures are made with when their folder has too few; none are made when empty.
    pub prompt: String,
    /// How many class pictures there shall be.
    pub n_images: u32,
}

impl Default for Prior {
    fn default() -> Self {
        Self { weight: 1.0, prompt: String::new(), n_images: 50 }
    }
}

/// What becomes of captions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Text {
    /// Whether the text encoders are trained too.
    pub train: bool,
    /// Layers left out at the text encoders' end plus one; 1 or more.
    pub clip_skip: u32,
    /// Rows of 75 tokens a caption may have, 1 to 3.
    pub n_rows: u8,
    /// Share of captions replaced by nothing, so that guidance has something to guide away from; 0 to 1.
    pub dropout: f64,
    /// Whether the parts of a caption between commas change places.
    pub shuffle: bool,
    /// Parts at the front that keep their places.
    pub keep_parts: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { train: false, clip_skip: 1, n_rows: 1, dropout: 0.0, shuffle: false, keep_parts: 0 }
    }
}

/// Size and place of low-rank changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rank of the changes to matrices of transformers, 1 or more.
    pub rank: usize,
    /// Changes are multiplied by alpha / rank; above 0. The rank when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Rank of the changes to convolutions of residual blocks and resamplers; 0 leaves them alone. They are multiplied by
    /// alpha / rank of the matrices.
    pub conv_rank: usize,
    /// Ranks of their own for parts of the networks, by the beginning of their layers' names: `unet.mid_block`,
    /// `unet.up_blocks.1.attentions`, `text_encoder`. The longest beginning wins, 0 leaves its layers alone, and convolutions
    /// have them only where `conv_rank` is above 0. Changes are multiplied by alpha / `rank` all the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks: BTreeMap<String, usize>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: None, conv_rank: 0, ranks: BTreeMap::new() }
    }
}

impl Lora {
    /// What changes are multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha.map_or(1.0, |alpha| alpha / self.rank as f64)
    }
}

/// The stages in which a latent diffusion model is trained (Rombach et al. 2022, arXiv:2112.10752).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The autoencoder alone.
    Autoencoder,
    /// The autoencoder's decoder alone: its latents stay what they are, and so do UNets trained on them.
    Decoder,
    /// UNet and, with `text.train`, text encoders, on the latents of the model's autoencoder.
    #[default]
    Diffusion,
}

/// Training from nothing. The recipe's model gives everything that is not made anew: scheduler, tokenizer, the other networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scratch {
    /// What is trained.
    pub stage: Stage,
    /// Whether it begins with new random weights; it goes on from the model's otherwise.
    pub renew: bool,
    /// Configurations of these networks (diffusers' `config.json`) by their folders, `unet`, `vae`, `text_encoder`,
    /// `text_encoder_2`; the model's own for those left out.
    pub configs: BTreeMap<String, PathBuf>,
    /// Weight of the distance of the autoencoder's latents from normal numbers, at least 0.
    pub kl_weight: f64,
    /// Weight of the difference of edges, at least 0.
    pub edge_weight: f64,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            stage: Stage::default(),
            renew: true,
            configs: BTreeMap::new(),
            kl_weight: 1e-6,
            edge_weight: 1.0,
        }
    }
}

/// An optimizer and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizerChoice {
    /// A row of [`crate::OPTIMIZERS`].
    pub id: String,
    /// Its options; those left out have its defaults.
    #[serde(flatten)]
    pub options: serde_json::Map<String, Value>,
}

impl OptimizerChoice {
    pub(crate) fn make(&self) -> Result<Box<dyn crate::Optimizer>, TrainError> {
        crate::find_optimizer(&self.id)?.make(Value::Object(self.options.clone()))
    }
}

impl Default for OptimizerChoice {
    fn default() -> Self {
        Self { id: "adamw".into(), options: serde_json::Map::new() }
    }
}

/// What the loss is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// Cap on the weight of nearly noiseless timesteps (arXiv:2303.09556), above 0; 5 is usual. None when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_snr_gamma: Option<f64>,
    /// Strength of a shift of the noise per picture and channel, at least 0; 0.1 is usual.
    pub noise_offset: f64,
    /// Strength of each octave of pyramid noise relative to the one before it, 0 to 1; none when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pyramid_discount: Option<f64>,
    /// Whether the noise levels are stretched so that the last one is noise alone (arXiv:2305.08891).
    pub zero_terminal_snr: bool,
}

/// When the state of the run is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// Steps between two, 1 or more.
    pub every: u64,
    /// How many of the newest stay, 1 or more.
    pub keep: usize,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { every: 100, keep: 2 }
    }
}

/// Pictures made while training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Samples {
    /// Steps between two rounds; 0 for none.
    pub every: u64,
    /// One picture each.
    pub prompts: Vec<String>,
    /// What they must not show.
    pub negative_prompt: String,
    /// Denoising steps.
    pub n_steps: u32,
    /// Guidance scale; the model's own when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Seed of the first picture.
    pub seed: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            every: 0,
            prompts: Vec::new(),
            negative_prompt: String::new(),
            n_steps: 20,
            guidance: None,
            seed: 1,
        }
    }
}

pub(crate) fn one() -> usize {
    1
}

pub(crate) fn max_grad_norm() -> f64 {
    1.0
}

impl Recipe {
    /// Reads a recipe. Folders in it are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where it cannot be read, [`TrainError::OutOfRange`] for values that make no sense.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let problem = |problem: String| TrainError::Recipe { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        let mut recipe: Self = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for set in &mut recipe.images {
            set.folder = folder.join(&set.folder);
            set.masks = set.masks.take().map(|masks| folder.join(masks));
        }
        if let Some(dataset) = recipe.kohya_dataset.take() {
            kohya::read(&mut recipe, &folder.join(dataset))?;
        }
        for config in recipe.scratch.configs.values_mut() {
            *config = folder.join(&config);
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks everything that needs neither model nor pictures.
    ///
    /// # Errors
    /// [`TrainError::OutOfRange`], [`TrainError::UnknownName`] or [`TrainError::Options`].
    pub fn check(&self) -> Result<(), TrainError> {
        let text = &self.text;
        let at_least_1 = |name, value: u64| (name, value as f64, ranges::AT_LEAST_1);
        let mut rows = vec![
            at_least_1("n_steps", self.n_steps),
            at_least_1("batch", self.batch as u64),
            at_least_1("accumulate", self.accumulate as u64),
            ("max_grad_norm", self.max_grad_norm, ranges::ABOVE_0),
            at_least_1("images", self.images.len() as u64),
            ("prior.weight", self.prior.weight, ranges::AT_LEAST_0),
            at_least_1("text.clip_skip", text.clip_skip.into()),
            ("text.n_rows", text.n_rows.into(), ranges::FROM_1_TO_3),
            ("text.dropout", text.dropout, ranges::FROM_0_TO_1),
            at_least_1("lora.rank", self.lora.rank as u64),
            ("lora.alpha", self.lora.alpha.unwrap_or(1.0), ranges::ABOVE_0),
            ("objective.min_snr_gamma", self.objective.min_snr_gamma.unwrap_or(1.0), ranges::ABOVE_0),
            ("objective.noise_offset", self.objective.noise_offset, ranges::AT_LEAST_0),
            (
                "objective.pyramid_discount",
                self.objective.pyramid_discount.unwrap_or(0.0),
                ranges::FROM_0_TO_1,
            ),
            ("scratch.kl_weight", self.scratch.kl_weight, ranges::AT_LEAST_0),
            ("scratch.edge_weight", self.scratch.edge_weight, ranges::AT_LEAST_0),
            at_least_1("checkpoints.every", self.checkpoints.every),
            at_least_1("checkpoints.keep", self.checkpoints.keep as u64),
            at_least_1("samples.n_steps", self.samples.n_steps.into()),
        ];
        if let Some([width, height]) = self.size_px {
            rows.extend([("size_px", width.into(), ranges::SIDE), ("size_px", height.into(), ranges::SIDE)]);
        }
        if let Some(buckets) = self.buckets {
            rows.push(("buckets.step_px", buckets.step_px.into(), ranges::SIDE));
        }
        if let Some(inversion) = &self.inversion {
            rows.push(("inversion.n_vectors", inversion.n_vectors as f64, ranges::FROM_1_TO_75));
        }
        ranges::check("the recipe", &rows)?;
        let init = self.inversion.as_ref().map(|inversion| &inversion.init);
        for prompt in self.samples.prompts.iter().chain([&self.prior.prompt]).chain(init) {
            tronie_prompt::safety::check(prompt)?;
        }
        self.lr_schedule.factor(0, self.n_steps)?;
        self.optimizer().map(|_| ())
    }

    /// The optimizer it asks for.
    ///
    /// # Errors
    /// [`TrainError::UnknownName`], [`TrainError::Options`] or [`TrainError::OutOfRange`].
    pub fn optimizer(&self) -> Result<Box<dyn crate::Optimizer>, TrainError> {
        self.optimizer.make()
    }

    /// How its steps are taken.
    pub(crate) fn pace(&self) -> Result<Pace<'_>, TrainError> {
        Ok(Pace {
            n_steps: self.n_steps,
            max_grad_norm: self.max_grad_norm,
            optimizer: self.optimizer()?,
            lr_schedule: &self.lr_schedule,
            ema: self.ema,
            checkpoints: &self.checkpoints,
        })
    }

    /// The folder of class pictures, where there is one.
    pub(crate) fn class_folder(&self) -> Option<&PathBuf> {
        self.images.iter().find(|set| set.role == Role::Class).map(|set| &set.folder)
    }
}

#[cfg(test)]
mod tests;
