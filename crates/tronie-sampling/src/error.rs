//! What can go wrong, from a wrong name to a network that answers with another shape.

use tronie_base::{Cancelled, Fault, Faulty};

/// A run of a sampler that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The observer asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The network could not be run.
    #[error("the network failed: {cause}")]
    Network {
        /// What it said.
        cause: Box<dyn Faulty + Send + Sync>,
    },
    /// The network answered with another shape than it was asked with.
    #[error("the network answered with shape {found:?}, expected {expected:?} (b c h w)")]
    Shape {
        /// b c h w of the answer.
        found: [usize; 4],
        /// b c h w of the question.
        expected: [usize; 4],
    },
    /// An option outside the range where the method is defined.
    #[error("{name} is {found}, expected {expected}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// Its value.
        found: f64,
        /// The values that work, in words.
        expected: &'static str,
    },
    /// An adaptive method whose error estimate never got small enough.
    #[error("no step was small enough after {n_steps} of them, at sigma {sigma}")]
    NoProgress {
        /// Steps tried.
        n_steps: usize,
        /// Noise level where it was stuck.
        sigma: f64,
    },
}

impl Faulty for SampleError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Network { cause } => cause.fault(),
            Self::Shape { .. } => Fault::Bug,
            Self::Option { .. } | Self::NoProgress { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Network { cause } => cause.hint(),
            Self::NoProgress { .. } => Some("choose a sampler with a fixed number of steps".into()),
            Self::Cancelled(_) | Self::Shape { .. } | Self::Option { .. } => None,
        }
    }
}

/// Noise levels that cannot be made, or that no sampler can walk down.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// Nothing to do.
    #[error("0 steps, expected at least 1")]
    NoSteps,
    /// More steps than there are different noise levels.
    #[error("{found} steps, but {method} has at most {at_most}")]
    TooManySteps {
        /// Steps asked for.
        found: usize,
        /// Most steps there can be.
        at_most: usize,
        /// Sampler or schedule that sets the limit.
        method: &'static str,
    },
    /// A strength of image to image that rounds to no step.
    #[error("strength {strength} of {n_steps} steps leaves no step")]
    TooWeak {
        /// The share that may change.
        strength: f64,
        /// Steps asked for.
        n_steps: usize,
    },
    /// A list of noise levels that does not fall.
    #[error("noise level {index} is {found}, expected one of at least 0 and below {previous}")]
    NotFalling {
        /// Place in the list.
        index: usize,
        /// The noise level there.
        found: f64,
        /// The one before it, infinite at the start.
        previous: f64,
    },
    /// A training schedule that is none.
    #[error("{name} of the training schedule is {found}, expected {expected}")]
    Training {
        /// The number's name.
        name: &'static str,
        /// Its value.
        found: f64,
        /// The values that work, in words.
        expected: &'static str,
    },
}

impl Faulty for ScheduleError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSteps => Some("20 to 30 steps suit most samplers, 4 to 8 suit LCM".into()),
            Self::TooManySteps { at_most, .. } => Some(format!("ask for {at_most} steps or fewer")),
            Self::TooWeak { .. } => Some("raise the strength, or ask for more steps".into()),
            Self::NotFalling { .. } => Some("ask for fewer steps, or another schedule".into()),
            Self::Training { .. } => None,
        }
    }
}

/// A sampler, schedule or profile that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} \"{name}\"")]
pub struct UnknownName {
    /// "sampler", "schedule" or "profile".
    pub kind: &'static str,
    /// What was asked for.
    pub name: String,
    /// The known name most like it.
    pub nearest: &'static str,
    /// All ids of that kind.
    pub known: Vec<&'static str>,
}

impl Faulty for UnknownName {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some(format!("did you mean \"{}\"? there are: {}", self.nearest, self.known.join(", ")))
    }
}
