//! What can keep an image from being made.

use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty};
use tronie_models::LoadError;
use tronie_models::catalog::ClipSkipError;
use tronie_models::lora::{ExtractError, LoraFitError};
use tronie_prompt::{ChunkError, NetworkError, PromptTooLong, safety::Refused};
use tronie_sampling::{SampleError, ScheduleError, UnknownName};
use tronie_tensor::device::DeviceError;
use tronie_tensor::noise::NoiseError;
use tronie_weights::{EmbeddingError, LibraryError, LoraError, WeightsFault};

use crate::{ControlUnitError, EditError, ImagePromptError, PictureError};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A field of the request that is out of range.
    #[error("{field} is {found}, expected {expected}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// Its value.
        found: String,
        /// The values that work, in words.
        expected: String,
    },
    /// A request tronie does not serve.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A prompt too long to be one.
    #[error(transparent)]
    Prompt(#[from] PromptTooLong),
    /// A sampler or schedule that does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// A text encoder with fewer layers than are to be left out.
    #[error(transparent)]
    ClipSkip(#[from] ClipSkipError),
    /// A prompt that cannot be cut into chunks.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Steps and schedule that do not go together.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Noise that cannot be drawn as asked.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// A device that cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A network the prompt names that this version cannot apply.
    #[error("the prompt asks for <{kind}:{name}>, which this version of tronie cannot apply yet")]
    ExtraNetwork {
        /// "lora" and its like.
        kind: String,
        /// Which one.
        name: String,
    },
    /// An embedding that cannot be read.
    #[error("embedding {}: {source}", path.display())]
    Embedding {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: EmbeddingError,
    },
    /// An embedding for text encoders of other widths.
    #[error("embedding {} has vectors of width {}, the model takes {}", path.display(), shown(found), shown(expected))]
    EmbeddingWidth {
        /// Its file.
        path: PathBuf,
        /// Width for each text encoder in the file.
        found: Vec<usize>,
        /// Width of each of the model's text encoders.
        expected: Vec<usize>,
    },
    /// A network in the negative prompt.
    #[error("the negative prompt has <{kind}:{name}>, which acts on the whole image wherever it stands")]
    NegativeNetwork {
        /// "lora" and its like.
        kind: String,
        /// Which one.
        name: String,
    },
    /// A network's tag that makes no sense.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A LoRA that no place has.
    #[error("no LoRA \"{name}\"")]
    UnknownLora {
        /// What the prompt asks for.
        name: String,
        /// The nearest name, or where to put it.
        hint: String,
    },
    /// A name that fits several files.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A LoRA that cannot be read.
    #[error("LoRA \"{name}\": {source}")]
    Lora {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: Box<LoraError>,
    },
    /// A LoRA for other networks.
    #[error(transparent)]
    LoraFit(Box<LoraFitError>),
    /// Two checkpoints that cannot be compared.
    #[error(transparent)]
    Extract(Box<ExtractError>),
    /// A picture that cannot steer.
    #[error(transparent)]
    Control(Box<ControlUnitError>),
    /// A picture that cannot be looked at beside the prompt.
    #[error(transparent)]
    ImagePrompt(Box<ImagePromptError>),
    /// A picture that cannot be used.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// An edit that cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A model that no place has.
    #[error("no model \"{name}\"")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// Where was looked, and the nearest name.
        hint: String,
    },
    /// A checkpoint that lacks a part, or that belongs to a family tronie cannot run.
    #[error("{model} cannot be used: {reason}")]
    Checkpoint {
        /// The model's name.
        model: String,
        /// What is wrong with it.
        reason: String,
        /// The next step.
        hint: Option<String>,
    },
    /// Weights that do not fill their network.
    #[error("the {part} of {model}: {source}")]
    Load {
        /// The model's name.
        model: String,
        /// Which network.
        part: &'static str,
        /// What did not fit.
        source: LoadError,
    },
    /// A checkpoint file that cannot be read.
    #[error("{0}")]
    Weights(WeightsFault),
    /// A sampler that stopped early.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A mask for another picture.
    #[error("mask {} has {}x{} pixels, expected {}x{} as the image has", file.display(), found.0, found.1, expected.0, expected.1)]
    MaskSize {
        /// Which file.
        file: PathBuf,
        /// Its width and height.
        found: (u32, u32),
        /// Those of the image.
        expected: (u32, u32),
    },
    /// A mask without anything to paint.
    #[error("mask {} has nothing to paint: all of it is {}", file.display(), if *is_inverted { "white, and it is inverted" } else { "dark" })]
    EmptyMask {
        /// Which file.
        file: PathBuf,
        /// Whether dark and light are exchanged.
        is_inverted: bool,
    },
    /// An image that cannot be encoded or read.
    #[error(transparent)]
    Image(#[from] tronie_image::ImageError),
    /// An image that does not say how it was made.
    #[error("{file} carries no settings of tronie, A1111, Forge, ComfyUI or InvokeAI")]
    NoRecord {
        /// Which file.
        file: String,
    },
    /// An image whose settings make no sense, or no picture here.
    #[error("the settings that {program} wrote into {file} cannot be used: {reason}")]
    BadHistory {
        /// Which file.
        file: String,
        /// Whose settings.
        program: &'static str,
        /// What is wrong with them.
        reason: String,
    },
    /// A file of weights that cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An image whose request cannot be understood.
    #[error("the request in {file} cannot be read: {source}")]
    BadRecord {
        /// Which file.
        file: String,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

fn shown(widths: &[usize]) -> String {
    widths.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ")
}

impl From<LoraFitError> for GenerateError {
    fn from(error: LoraFitError) -> Self {
        Self::LoraFit(Box::new(error))
    }
}

impl From<ControlUnitError> for GenerateError {
    fn from(error: ControlUnitError) -> Self {
        Self::Control(Box::new(error))
    }
}

impl From<ImagePromptError> for GenerateError {
    fn from(error: ImagePromptError) -> Self {
        Self::ImagePrompt(Box::new(error))
    }
}

impl From<ExtractError> for GenerateError {
    fn from(error: ExtractError) -> Self {
        Self::Extract(Box::new(error))
    }
}

impl Faulty for GenerateError {
    fn fault(&self) -> Fault {
        match self {
            Self::Value { .. } | Self::Prompt(_) | Self::NoRecord { .. } => Fault::Input,
            Self::ExtraNetwork { .. } | Self::NegativeNetwork { .. } => Fault::Input,
            Self::BadRecord { .. } | Self::Refused(_) | Self::Checkpoint { .. } => Fault::Input,
            Self::BadHistory { .. } => Fault::Input,
            Self::Read { .. } => Fault::Environment,
            Self::EmbeddingWidth { .. } => Fault::Input,
            Self::MaskSize { .. } | Self::EmptyMask { .. } => Fault::Input,
            Self::Embedding { source, .. } => source.fault(),
            Self::UnknownModel { .. } | Self::UnknownLora { .. } => Fault::Environment,
            Self::Network(error) => error.fault(),
            Self::Library(error) => error.fault(),
            Self::Lora { source, .. } => source.fault(),
            Self::LoraFit(error) => error.fault(),
            Self::Control(error) => error.fault(),
            Self::ImagePrompt(error) => error.fault(),
            Self::Edit(error) => error.fault(),
            Self::Picture(error) => error.fault(),
            Self::Extract(error) => error.fault(),
            Self::Unknown(error) => error.fault(),
            Self::ClipSkip(error) => error.fault(),
            Self::Chunk(error) => error.fault(),
            Self::Schedule(error) => error.fault(),
            Self::Noise(error) => error.fault(),
            Self::Device(error) => error.fault(),
            Self::Load { source, .. } => source.fault(),
            Self::Weights(error) => error.fault(),
            Self::Sample(error) => error.fault(),
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Image(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Value { .. } | Self::Cancelled(_) => None,
            Self::Refused(error) => error.hint(),
            Self::Prompt(error) => error.hint(),
            Self::ExtraNetwork { kind, name } => {
                Some(format!("remove <{kind}:{name}:...> from the prompt, or merge it into the checkpoint"))
            }
            Self::Embedding { source, .. } => source.hint(),
            Self::MaskSize { .. } => Some("draw the mask on a copy of the image".into()),
            Self::EmptyMask { .. } => Some("white is painted anew, black is kept".into()),
            Self::EmbeddingWidth { .. } => {
                Some("it was trained for another family of models; tronie models list tells which".into())
            }
            Self::NegativeNetwork { .. } => {
                Some("put it into the prompt; a negative strength turns its effect around".into())
            }
            Self::Network(error) => error.hint(),
            Self::Library(error) => error.hint(),
            Self::Lora { source, .. } => source.hint(),
            Self::LoraFit(error) => error.hint(),
            Self::Control(error) => error.hint(),
            Self::ImagePrompt(error) => error.hint(),
            Self::Edit(error) => error.hint(),
            Self::Picture(error) => error.hint(),
            Self::Extract(error) => error.hint(),
            Self::UnknownModel { hint, .. } | Self::UnknownLora { hint, .. } => Some(hint.clone()),
            Self::Checkpoint { hint, .. } => hint.clone(),
            Self::Unknown(error) => error.hint(),
            Self::ClipSkip(error) => error.hint(),
            Self::Chunk(error) => error.hint(),
            Self::Schedule(error) => error.hint(),
            Self::Noise(error) => error.hint(),
            Self::Device(error) => error.hint(),
            Self::Load { source, .. } => source.hint(),
            Self::Weights(error) => error.hint(),
            Self::Sample(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::BadHistory { .. } => {
                Some("tronie info shows the settings; give them to tronie generate".into())
            }
            Self::Read { .. } => None,
            Self::NoRecord { .. } => Some("tronie info shows what the image does carry".into()),
            Self::BadRecord { .. } => Some("it may come from a newer tronie".into()),
        }
    }
}
