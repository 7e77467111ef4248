//! What can be wrong with the settings or the stored state of a training run.

use std::path::{Path, PathBuf};

use tronie_base::{Cancelled, Fault, Faulty, LockError, WriteError};
use tronie_faces::FacesError;
use tronie_generate::GenerateError;
use tronie_image::ImageError;
use tronie_models::catalog::ClipSkipError;
use tronie_prompt::{ChunkError, safety::Refused};
use tronie_sampling::ScheduleError;
use tronie_weights::{CheckpointError, EmbeddingError, LoraError, WriteTensorsError};

/// A training run that cannot be started or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An optimizer or schedule that there is not.
    #[error("unknown {kind} \"{name}\"")]
    UnknownName {
        /// "optimizer" or "learning-rate schedule".
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// All ids of that kind.
        known: Vec<&'static str>,
    },
    /// Options with a key or type that their owner does not have.
    #[error("options of {owner}: {cause}")]
    Options {
        /// Id of what the options are for.
        owner: &'static str,
        /// What is wrong with them.
        cause: serde_json::Error,
    },
    /// An option outside the range where the method is defined.
    #[error("{name} of {owner} is {found}, expected {expected}")]
    OutOfRange {
        /// Id of what the option is for.
        owner: &'static str,
        /// The option's name.
        name: &'static str,
        /// Its value.
        found: f64,
        /// The values that work, in words.
        expected: &'static str,
    },
    /// A parameter whose parts are not of its shape.
    #[error("parameter \"{parameter}\" of shape {shape:?} has {found} {part}")]
    Length {
        /// The parameter's name.
        parameter: String,
        /// "values" or "gradients".
        part: &'static str,
        /// How many there are.
        found: usize,
        /// The shape that says how many there should be.
        shape: Vec<usize>,
    },
    /// State that is not the optimizer's, or not the parameter's.
    #[error("state \"{tensor}\" of \"{parameter}\" has {found} values, expected {expected}")]
    State {
        /// Name of the parameter, or of the optimizer for what it keeps about all of them.
        parameter: String,
        /// Name of the state.
        tensor: String,
        /// How many values it has; 0 when it is missing.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A timestep that the network was not trained on.
    #[error("timestep {found}, expected one below {n_timesteps}")]
    Timestep {
        /// The timestep.
        found: usize,
        /// Number of training timesteps.
        n_timesteps: usize,
    },
    /// A setting that the method or the model cannot work with.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// Its name in the recipe.
        name: &'static str,
        /// Its value.
        found: String,
        /// The values that work, in words.
        expected: String,
    },
    /// A recipe that cannot be read.
    #[error("recipe {}: {problem}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Pictures or captions that cannot be trained on.
    #[error("{} {problem}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A run folder that holds another run.
    #[error("{} holds a run of another recipe: {field} was {stored}, now it is {found}", path.display())]
    OtherRun {
        /// The run folder.
        path: PathBuf,
        /// What differs.
        field: String,
        /// What the stored run has.
        stored: String,
        /// What was asked for.
        found: String,
    },
    /// A run folder whose checkpoints are of other networks than the recipe names now.
    #[error("the checkpoints in {} have other tensors than what is to be trained", path.display())]
    Networks {
        /// The run folder.
        path: PathBuf,
    },
    /// A stored state that cannot be read.
    #[error("checkpoint {}: {problem}", path.display())]
    Stored {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A loss or gradient that is no number.
    #[error("step {step}: {what} is {found}")]
    NotFinite {
        /// The step, from 1.
        step: u64,
        /// "the loss", or the gradient of which parameter.
        what: String,
        /// What it is.
        found: f64,
    },
    /// A method that this model or recipe leaves nothing to train for.
    #[error("there is nothing to train: {reason}")]
    Nothing {
        /// Why.
        reason: &'static str,
    },
    /// A text tronie does not serve.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A picture that cannot be read or made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Annotators of faces that cannot be opened, or fail.
    #[error(transparent)]
    Faces(#[from] FacesError),
    /// A model that cannot be opened, or a picture that cannot be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A model that cannot be written.
    #[error(transparent)]
    Model(#[from] CheckpointError),
    /// A LoRA that cannot be written.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// An embedding that cannot be written.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Tensors that cannot be written.
    #[error(transparent)]
    Tensors(#[from] WriteTensorsError),
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A run folder that another process is training in.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A caption that cannot be laid out.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A text encoder with fewer layers than are to be left out.
    #[error(transparent)]
    ClipSkip(#[from] ClipSkipError),
    /// Noise levels that make no sense.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The user asked to stop. The last checkpoint is there to continue from.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl TrainError {
    pub(crate) fn data(path: &Path, problem: String, hint: &'static str) -> Self {
        Self::Data { path: path.to_owned(), problem, hint }
    }

    /// The error of a lower layer that this one only passes on.
    fn passed_on(&self) -> Option<&dyn Faulty> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Image(error) => Some(error),
            Self::Faces(error) => Some(error),
            Self::Generate(error) => Some(error),
            Self::Model(error) => Some(error),
            Self::Lora(error) => Some(error),
            Self::Embedding(error) => Some(error),
            Self::Tensors(error) => Some(error),
            Self::Write(error) => Some(error),
            Self::Lock(error) => Some(error),
            Self::Chunk(error) => Some(error),
            Self::ClipSkip(error) => Some(error),
            Self::Schedule(error) => Some(error),
            _ => None,
        }
    }
}

impl Faulty for TrainError {
    fn fault(&self) -> Fault {
        match self {
            Self::Length { .. } | Self::Timestep { .. } => Fault::Bug,
            Self::Cancelled(_) => Fault::Interrupted,
            _ => self.passed_on().map_or(Fault::Input, Faulty::fault),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownName { known, .. } => return Some(format!("there are: {}", known.join(", "))),
            Self::State { .. } => {
                "continue with the optimizer, options and parameters of the stored run, or start anew"
            }
            Self::Data { hint, .. } => hint,
            Self::OtherRun { .. } => {
                "choose another run folder, or bring back the recipe it was started with"
            }
            Self::Networks { .. } => "bring back the model and the configurations it was started with",
            Self::Stored { .. } => {
                "remove it to continue from the one before, or start anew in another folder"
            }
            Self::NotFinite { .. } => {
                "the last checkpoint is from before; start anew in another folder with a smaller learning rate"
            }
            _ => return self.passed_on().and_then(Faulty::hint),
        };
        Some(hint.to_owned())
    }
}
