//! What can keep a picture from being edited.

use tronie_base::{Fault, Faulty};
use tronie_prompt::WordCountDiffers;

/// An edit that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A word that is not there.
    #[error("the {prompt} \"{text}\" has no \"{word}\"")]
    NoWord {
        /// "new prompt", or "prompts".
        prompt: &'static str,
        /// What was looked through.
        text: String,
        /// What was looked for.
        word: String,
    },
    /// Prompts that cannot be aligned as asked.
    #[error(transparent)]
    Words(#[from] WordCountDiffers),
    /// A prompt that is several.
    #[error("\"{text}\" is several prompts, by AND or for parts of the steps, which an edit cannot align")]
    Several {
        /// The prompt.
        text: String,
    },
    /// A network in the new prompt.
    #[error("the new prompt has <{kind}:{name}>; networks of the first prompt act on both pictures")]
    Network {
        /// "lora" and its like.
        kind: String,
        /// Which one.
        name: String,
    },
    /// Something that needs the old picture, which this method does not make.
    #[error("method shared makes no old picture, so there is nothing to blend with")]
    NoOldPicture,
    /// A sampler that cannot walk backwards.
    #[error("sampler {sampler} with eta {eta} cannot be inverted, expected euler or ddim with eta 0")]
    Sampler {
        /// Its id.
        sampler: &'static str,
        /// Share of fresh noise.
        eta: f64,
    },
    /// A batch that is drawn as one tensor.
    #[error(
        "profile {profile} draws the noise of a batch at once: an edit is of one image, {found} were asked for"
    )]
    Batch {
        /// The profile's id.
        profile: &'static str,
        /// Images asked for.
        found: u32,
    },
}

impl Faulty for EditError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoWord { .. } => "write the word as the prompt has it, without notation",
            Self::Words(error) => return error.hint(),
            Self::Several { .. } => "give one plain prompt",
            Self::Network { .. } => "put it into the first prompt",
            Self::NoOldPicture => "leave out --blend, or take the method paired",
            Self::Sampler { .. } => "add --sampler ddim",
            Self::Batch { .. } => "edit one seed after the other",
        };
        Some(hint.to_owned())
    }
}
