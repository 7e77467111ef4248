//! Adapters: small files that change a checkpoint, as the field distributes them.
//!
//! Reading brings every dialect into one form, writing gives it out in the dialect a program asks for, and no number is
//! changed on the way: tensors stay as they are stored.
//!
//! - [`lora`]: the form, and reading it; [`keys`]: how the dialects spell a tensor's name
//! - [`module`]: the kinds of change a module can have; [`assemble`]: from its tensors
//! - [`modules`]: the modules of a model under all their spellings; [`family`]: which family's they are
//! - [`kohya`], [`peft`]: writing; `peft` also knows where diffusers and PEFT keep the scale
//! - [`hash`]: what other programs know a LoRA by
//! - [`embedding`]: textual inversion

mod assemble;
mod embedding;
mod error;
mod family;
mod hash;
mod keys;
mod kohya;
mod lora;
mod module;
mod modules;
mod peft;
#[cfg(test)]
mod tests;

pub(crate) use embedding::family_of_embedding;
pub use embedding::{Embedding, EmbeddingError, EmbeddingForm};
pub use error::LoraError;
pub(crate) use family::family_of_lora;
pub use hash::hash_of_lora;
pub use lora::Lora;
pub use module::{Factor, LoraModule, Magnitude, Product, Scales, WeightChange};
pub use modules::{Modules, Target};
