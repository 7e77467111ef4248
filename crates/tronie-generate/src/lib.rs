//! Pipelines: one request in, portraits with their full history out.
//!
//! - [`GenerateRequest`] is what every front end builds, and what every image carries.
//! - [`Store`] turns a model's name into an open checkpoint, wherever it lies.
//! - [`save_as_folder`] writes one in diffusers' layout.
//! - [`Networks`] are a checkpoint's networks in memory, for whoever runs or trains them.
//! - [`Pipeline`] owns the networks of one checkpoint and runs requests.
//! - [`ControlUnit`] is a picture that steers through a ControlNet or a T2I-Adapter.
//! - [`ImagePrompt`] is a picture that is looked at beside the prompt, through an IP-Adapter.
//! - [`Edit`] makes a second picture of another prompt that keeps the first one's composition: prompt-to-prompt.
//! - [`EmbeddingSet`] has the vectors of words that prompts may use: textual inversion.
//! - [`merge_loras`] and [`extract_lora`]: LoRAs into checkpoints and out of them.
//! - [`grid`]: a request in many variants.
//! - [`record`] writes a request into an image and reads it back, in our words and in A1111's ([`Infotext`]).

mod control;
mod edit;
mod embeddings;
mod encode;
mod error;
mod folder;
pub mod grid;
mod guided;
mod held;
mod image_prompt;
mod infotext;
mod interpolate;
mod loras;
mod merge;
mod networks;
mod picture;
mod pipeline;
pub mod record;
mod request;
mod store;

pub use control::{ControlMode, ControlPicture, ControlUnit, ControlUnitError, Preprocessor};
pub use edit::{AlignBy, Blend, Edit, EditError, EditMethod, Inversion};
pub use embeddings::EmbeddingSet;
pub use error::GenerateError;
pub use folder::save_as_folder;
pub use image_prompt::{ImagePrompt, ImagePromptError};
pub use infotext::Infotext;
pub use loras::UsedLora;
pub use merge::{extract_lora, merge_loras, modules_of};
pub use networks::Networks;
pub use picture::{PictureError, PictureFile};
pub use pipeline::{GeneratedImage, Pipeline, Resolved, WordMap};
pub use request::{
    GenerateRequest, Guidance, Hires, Inpaint, MaskedContent, Refiner, Resize, Source, Upscale, Upscaler,
    Variation,
};
pub use store::{EMBEDDED_MODEL, Store, StoreConfig, is_wanted};
