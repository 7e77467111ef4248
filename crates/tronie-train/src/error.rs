//! What can be wrong with the settings or the stored state of a training run.

use tronie_base::{Fault, Faulty};

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
}

impl Faulty for TrainError {
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownName { .. }
            | Self::Options { .. }
            | Self::OutOfRange { .. }
            | Self::State { .. } => Fault::Input,
            Self::Length { .. } | Self::Timestep { .. } => Fault::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownName { known, .. } => Some(format!("there are: {}", known.join(", "))),
            Self::State { .. } => Some(
                "continue with the optimizer, options and parameters of the stored run, or start anew".into(),
            ),
            _ => None,
        }
    }
}
