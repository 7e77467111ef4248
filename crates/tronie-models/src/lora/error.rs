//! What can keep a LoRA from a network, and two models from being compared.

use tronie_base::{Cancelled, Fault, Faulty};
use tronie_weights::{ConvertError, Dtype, LoraTarget, WeightsFault};

/// A LoRA that does not fit the network it is applied to.
#[derive(Debug, thiserror::Error)]
pub enum LoraFitError {
    /// A module the network does not have.
    #[error("LoRA \"{lora}\" changes {target}, which the network does not have")]
    Missing {
        /// Which LoRA.
        lora: String,
        /// The module.
        target: LoraTarget,
        /// The network's module with the most similar path.
        nearest: Option<String>,
    },
    /// A module of another shape.
    #[error("LoRA \"{lora}\" changes {target} as {found:?}, the network has it as {expected:?}")]
    Shape {
        /// Which LoRA.
        lora: String,
        /// The module.
        target: LoraTarget,
        /// What the factors multiply to, c_out c_in kh kw, or a count of scales.
        found: Vec<usize>,
        /// Shape of the network's weight.
        expected: Vec<usize>,
    },
    /// Numbers that are not floating point.
    #[error("LoRA \"{lora}\" has {found:?} numbers for {target}, expected F64, F32, F16 or BF16")]
    Dtype {
        /// Which LoRA.
        lora: String,
        /// The module.
        target: LoraTarget,
        /// How they are stored.
        found: Dtype,
    },
}

impl Faulty for LoraFitError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        let advice = "it is for another family of models; tronie models inspect tells which";
        Some(match self {
            Self::Missing { nearest: Some(nearest), .. } => {
                format!("the nearest module is \"{nearest}\"; if that is not the one, {advice}")
            }
            Self::Missing { nearest: None, .. } | Self::Shape { .. } => advice.to_owned(),
            Self::Dtype { .. } => "the file is damaged or quantised; fetch the f16 or f32 file".to_owned(),
        })
    }
}

/// Two networks without a difference that could be a LoRA.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// A tensor that only one of them has.
    #[error("tensor \"{name}\" is in the {present} model and not in the {absent} one")]
    Missing {
        /// Its diffusers name.
        name: String,
        /// "base" or "tuned".
        present: &'static str,
        /// The other.
        absent: &'static str,
    },
    /// A tensor of different shapes.
    #[error("tensor \"{name}\" is {base:?} in the base model and {tuned:?} in the tuned one")]
    Shape {
        /// Its diffusers name.
        name: String,
        /// Shape in the base model.
        base: Vec<usize>,
        /// Shape in the tuned one.
        tuned: Vec<usize>,
    },
    /// Numbers that cannot be subtracted.
    #[error("tensor \"{name}\": {source}")]
    Convert {
        /// Its diffusers name.
        name: String,
        /// Why.
        source: ConvertError,
    },
    /// A tensor that cannot be read.
    #[error("tensor \"{name}\" cannot be read: {cause}")]
    Read {
        /// Its diffusers name.
        name: String,
        /// What the file said.
        cause: WeightsFault,
    },
    /// A difference that cannot be decomposed.
    #[error("the difference of tensor \"{name}\" has no singular value decomposition")]
    Decompose {
        /// Its diffusers name.
        name: String,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Faulty for ExtractError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { cause, .. } => cause.fault(),
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Missing { .. } | Self::Shape { .. } | Self::Convert { .. } | Self::Decompose { .. } => {
                Fault::Input
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Shape { .. } => {
                Some("name the model that the tuned one was made from".into())
            }
            Self::Convert { source, .. } => source.hint(),
            Self::Read { cause, .. } => cause.hint(),
            Self::Decompose { .. } => Some("one of the models holds infinite or undefined numbers".into()),
            Self::Cancelled(_) => None,
        }
    }
}
