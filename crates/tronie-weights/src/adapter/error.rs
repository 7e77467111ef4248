//! What can be wrong with a LoRA.

use std::io;
use std::path::PathBuf;

use tronie_base::{Fault, Faulty};

use super::modules::Target;
use crate::{Dtype, OpenError, WeightsFault, WriteTensorsError};

/// A LoRA that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// Its file could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// A tensor could not be read.
    #[error("tensor \"{name}\" cannot be read: {cause}")]
    Read {
        /// Its name.
        name: String,
        /// What the file said.
        cause: WeightsFault,
    },
    /// An adapter of another kind.
    #[error(
        "this adapter is of the kind {kind} (tensor \"{name}\" tells), read are LoRA, LoCon, LoHa, LoKr, DoRA, (IA)3 and full differences"
    )]
    Kind {
        /// Which kind.
        kind: &'static str,
        /// The name that gave it away.
        name: String,
    },
    /// No tensors.
    #[error("the file holds no tensors, expected those of a LoRA")]
    Empty,
    /// Names of no dialect, or of modules the model does not have.
    #[error("{n} of {n_all} tensors belong to no module of the model, first {first:?}")]
    Unmatched {
        /// How many.
        n: usize,
        /// Of how many tensors.
        n_all: usize,
        /// The first few names.
        first: Vec<String>,
    },
    /// A name that fits modules of two networks.
    #[error("tensor \"{name}\" could belong to {first} or to {second}")]
    Ambiguous {
        /// The name.
        name: String,
        /// One module.
        first: Target,
        /// Another.
        second: Target,
    },
    /// Two tensors in one role.
    #[error("\"{first}\" and \"{second}\" are both for {target}")]
    Twice {
        /// The module.
        target: Target,
        /// One tensor's name.
        first: String,
        /// The other's.
        second: String,
    },
    /// A module without all it needs.
    #[error("{target} has {found:?} and no {missing}")]
    Incomplete {
        /// The module.
        target: Target,
        /// What is not there, in kohya's or `LyCORIS`' words.
        missing: &'static str,
        /// Names of the tensors that are.
        found: Vec<String>,
    },
    /// Tensors of two kinds for one module.
    #[error("{target} has tensors of a {} and of a {}: {found:?}", kinds[0], kinds[1])]
    Mixed {
        /// The module.
        target: Target,
        /// The kinds.
        kinds: [&'static str; 2],
        /// Names of its tensors.
        found: Vec<String>,
    },
    /// Factors without a product.
    #[error(
        "the {kind} of {target} has factors {found:?}, which do not multiply: they must share a rank of at least 1"
    )]
    Shapes {
        /// The module.
        target: Target,
        /// What it is.
        kind: &'static str,
        /// Shapes of its tensors: down, mid, up, and of kinds with two products those of both.
        found: Vec<Vec<usize>>,
    },
    /// Weights that are not floating point.
    #[error("{target} has {found:?} numbers, expected F64, F32, F16 or BF16")]
    Dtype {
        /// The module.
        target: Target,
        /// How its numbers are stored.
        found: Dtype,
    },
    /// An alpha that is no number.
    #[error("alpha of {target} is {dtype:?} {shape:?} or not finite, expected one finite number")]
    Alpha {
        /// The module.
        target: Target,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// PEFT's configuration could not be read.
    #[error("cannot read {}: {source}", path.display())]
    ConfigFile {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A configuration that is not JSON.
    #[error("{what} is not valid JSON: {source}")]
    Json {
        /// Which file or metadata entry.
        what: String,
        /// Where it fails.
        source: serde_json::Error,
    },
    /// A value in PEFT's configuration that is not what it should be.
    #[error("\"{key}\" of the adapter's configuration is {found}, expected {expected}")]
    Config {
        /// Which entry.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A dialect cannot say this.
    #[error("{target} cannot be written for {dialect}: {why}")]
    NoPlace {
        /// The module.
        target: Target,
        /// Whose dialect.
        dialect: &'static str,
        /// What is missing in it.
        why: &'static str,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(Box<WriteTensorsError>),
}

impl LoraError {
    /// How many unmatched names a message lists.
    pub(super) const MOST_NAMES: usize = 3;
}

impl From<OpenError> for LoraError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<WriteTensorsError> for LoraError {
    fn from(error: WriteTensorsError) -> Self {
        Self::Write(Box::new(error))
    }
}

impl Faulty for LoraError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open(error) => error.fault(),
            Self::Read { cause, .. } => cause.fault(),
            Self::ConfigFile { .. } => Fault::Environment,
            Self::Write(error) => error.fault(),
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open(error) => return error.hint(),
            Self::Read { cause, .. } => return cause.hint(),
            Self::Write(error) => return error.hint(),
            Self::Kind { .. } => "convert it to one of these with the tool that made it",
            Self::Empty | Self::Unmatched { .. } => {
                "it may be for another family of models: tronie reads LoRAs for Stable Diffusion 1.x, 2.x and XL"
            }
            Self::Ambiguous { .. } => "put the network before the name, as in text_encoder_2.",
            Self::ConfigFile { .. } => {
                "PEFT keeps the scale in adapter_config.json; put it into the folder of the weights"
            }
            Self::Config { .. } => "save the adapter again with settings that are read",
            Self::NoPlace { .. } => "merge it into a model with merge-lora, or take the other dialect",
            Self::Twice { .. }
            | Self::Incomplete { .. }
            | Self::Mixed { .. }
            | Self::Shapes { .. }
            | Self::Dtype { .. }
            | Self::Alpha { .. }
            | Self::Json { .. } => "the file is damaged or was made by a faulty program; fetch it again",
        };
        Some(hint.to_owned())
    }
}
