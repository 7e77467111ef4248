//! What a run leaves in its folder beside checkpoints and results: the recipe it was started with, and a line per step.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tronie_base::{TEMPORARY, WriteError, write_atomic};

use crate::{TrainError, stored};

const RECIPE: &str = "recipe.toml";
pub(crate) const LOG: &str = "log.jsonl";
/// Folder of the pictures made while training.
pub(crate) const SAMPLES: &str = "samples";
/// Settings of a recipe that may differ when a run is continued: they do not change what is learned.
const MAY_CHANGE: [&str; 2] = ["checkpoints", "samples"];

/// One step, as `log.jsonl` has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean loss of its pictures.
    pub loss: f64,
    /// Factor on the optimizer's learning rate.
    pub lr_factor: f64,
    /// Norm of the gradients before they were cut.
    pub grad_norm: f64,
}

/// Leaves the recipe in a new run folder.
pub(crate) fn leave_recipe(folder: &Path, recipe: &impl Serialize) -> Result<(), TrainError> {
    let path = folder.join(RECIPE);
    if path.is_file() {
        return Ok(());
    }
    let text = toml::to_string(recipe)
        .map_err(|error| TrainError::Recipe { path: path.clone(), problem: error.to_string() })?;
    Ok(write_atomic(&path, text.as_bytes())?)
}

/// Compares a recipe with that of a run folder that was begun before.
pub(crate) fn compare_recipe<R: Serialize + DeserializeOwned>(
    folder: &Path,
    recipe: &R,
) -> Result<(), TrainError> {
    let path = folder.join(RECIPE);
    if !path.is_file() {
        return Ok(());
    }
    let problem = |problem: String| TrainError::Recipe { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
    let stored: R = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let table = |recipe: &R| serde_json::to_value(recipe).map_err(|error| problem(error.to_string()));
    let (stored, found) = (table(&stored)?, table(recipe)?);
    let empty = serde_json::Map::new();
    let (stored, found) = (stored.as_object().unwrap_or(&empty), found.as_object().unwrap_or(&empty));
    let show = |value: Option<&Value>| value.map_or_else(|| "left out".to_owned(), Value::to_string);
    for key in stored.keys().chain(found.keys()).filter(|key| !MAY_CHANGE.contains(&key.as_str())) {
        if stored.get(key) != found.get(key) {
            return Err(TrainError::OtherRun {
                path: folder.to_owned(),
                field: key.clone(),
                stored: show(stored.get(key)),
                found: show(found.get(key)),
            });
        }
    }
    Ok(())
}

/// Removes what a killed run was writing. What cannot be removed is in nobody's way.
pub(crate) fn remove_unfinished(run: &Path) {
    for folder in [run.to_owned(), run.join(stored::FOLDER), run.join(SAMPLES)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// One line per step.
pub(crate) struct Log {
    path: PathBuf,
    lines: fs::File,
}

impl Log {
    /// Opens the log of a run and removes lines of steps that will be taken again.
    pub(crate) fn open(folder: &Path, step: u64) -> Result<Self, TrainError> {
        let path = folder.join(LOG);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_taken =
            |line: &&str| serde_json::from_str::<StepReport>(line).is_ok_and(|report| report.step <= step);
        let kept: String = text.lines().filter(is_taken).flat_map(|line| [line, "\n"]).collect();
        write_atomic(&path, kept.as_bytes())?;
        let lines = fs::OpenOptions::new().append(true).open(&path);
        let lines = lines.map_err(|source| WriteError { path: path.clone(), source })?;
        Ok(Self { path, lines })
    }

    pub(crate) fn write(&mut self, report: &StepReport) -> Result<(), TrainError> {
        use std::io::Write as _;
        let mut line = serde_json::to_string(report).unwrap_or_default();
        line.push('\n');
        let written = self.lines.write_all(line.as_bytes());
        Ok(written.map_err(|source| WriteError { path: self.path.clone(), source })?)
    }
}
