//! What a run of a network of faces is asked for: a TOML file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::graph::Trunk;
use super::task::find_task;
use crate::recipe::{Checkpoints, OptimizerChoice, max_grad_norm, one};
use crate::steps::Pace;
use crate::{EmaOptions, LrSchedule, TrainError, ranges};

/// A recipe. Fields left out take the defaults stated here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacesRecipe {
    /// Which network: `detector`, `landmarks`, `embedding`, `attributes` or `parsing`.
    pub task: String,
    /// Seed of everything random; 0.
    #[serde(default)]
    pub seed: u64,
    /// The labels: what `tronie faces annotate` has made of the pictures, with an object `labels` in every line.
    pub labels: PathBuf,
    /// The folder of pictures.
    pub folder: PathBuf,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Pictures in one pass through the network.
    pub batch: usize,
    /// Passes whose gradients are averaged before a step; 1.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Largest norm of a step's gradients; 1.
    #[serde(default = "max_grad_norm")]
    pub max_grad_norm: f64,
    /// Widths and depths.
    pub network: Trunk,
    /// The folder of a run of the same network whose result the weights begin with; new ones when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// How parameters follow their gradients.
    #[serde(default)]
    pub optimizer: OptimizerChoice,
    /// How the learning rate changes over the run.
    #[serde(default)]
    pub lr_schedule: LrSchedule,
    /// The moving average of the parameters that is kept as the result; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaOptions>,
    /// When the state of the run is kept.
    #[serde(default)]
    pub checkpoints: Checkpoints,
}

impl FacesRecipe {
    /// Reads a recipe. Paths in it are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where it cannot be read, and what [`FacesRecipe::check`] finds.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let problem = |problem: String| TrainError::Recipe { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        let mut recipe: Self = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        recipe.labels = beside.join(&recipe.labels);
        recipe.folder = beside.join(&recipe.folder);
        recipe.start_from = recipe.start_from.map(|run| beside.join(run));
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks everything that needs no picture.
    ///
    /// # Errors
    /// [`TrainError::OutOfRange`], [`TrainError::Setting`], [`TrainError::UnknownName`] or [`TrainError::Options`].
    pub fn check(&self) -> Result<(), TrainError> {
        let at_least_1 = |name, value: u64| (name, value as f64, ranges::AT_LEAST_1);
        let mut rows = vec![
            at_least_1("n_steps", self.n_steps),
            at_least_1("batch", self.batch as u64),
            at_least_1("accumulate", self.accumulate as u64),
            ("max_grad_norm", self.max_grad_norm, ranges::ABOVE_0),
            at_least_1("network.head", self.network.head as u64),
            at_least_1("checkpoints.every", self.checkpoints.every),
            at_least_1("checkpoints.keep", self.checkpoints.keep as u64),
        ];
        rows.extend(self.network.widths.iter().map(|&width| at_least_1("network.widths", width as u64)));
        ranges::check("the recipe", &rows)?;
        let task = find_task(&self.task)?;
        let Trunk { widths, blocks, .. } = &self.network;
        // Every stage halves the picture, which must come out even.
        let n_stages = task.input.width_px.trailing_zeros() as usize;
        if widths.is_empty() || widths.len() != blocks.len() || widths.len() > n_stages {
            return Err(TrainError::Setting {
                name: "network",
                found: format!("{} widths and {} blocks", widths.len(), blocks.len()),
                expected: format!("as many of one as of the other, 1 to {n_stages} for this network"),
            });
        }
        self.lr_schedule.factor(0, self.n_steps)?;
        self.optimizer.make().map(|_| ())
    }

    /// How its steps are taken.
    pub(crate) fn pace(&self) -> Result<Pace<'_>, TrainError> {
        Ok(Pace {
            n_steps: self.n_steps,
            max_grad_norm: self.max_grad_norm,
            optimizer: self.optimizer.make()?,
            lr_schedule: &self.lr_schedule,
            ema: self.ema,
            checkpoints: &self.checkpoints,
        })
    }
}
