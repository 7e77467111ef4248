//! The networks of Stable Diffusion and the catalog of its families.
//!
//! Networks are plain functions of tensors: they open no file and draw no number. Their fields are named as
//! the diffusers checkpoint's keys, so the struct is the key map and [`load()`] fills it by walking it.

mod attention_editor;
mod blocks;
pub mod catalog;
pub mod clip;
mod config;
mod controlnet;
mod ip_adapter;
mod layers;
mod load;
pub mod lora;
#[cfg(test)]
mod mini;
#[cfg(test)]
mod synthetic;
mod t2i_adapter;
pub mod taesd;
mod unet;
pub mod vae;

pub use attention_editor::{AttentionEditor, AttentionKind, AttentionSite, Place};
pub use config::ConfigError;
pub use controlnet::{ControlFitError, ControlNet, ControlNetConfig, ControlUnion, Hint, UnionConfig};
pub use ip_adapter::{ImageInput, IpAdapter, IpAdapterConfig};
pub use layers::{Conv2d, Embedding, GroupNorm, LayerNorm, Linear};
pub use load::{LoadError, load, parameter_shapes};
pub use t2i_adapter::{T2iAdapter, T2iAdapterConfig};
pub use unet::{
    AdapterFeatures, Added, AdditionEmbedType, Conditioning, ControlResiduals, DownBlockType, ImageTokens,
    MidBlockType, PerBlock, Unet, UnetConfig, UnetConfigError, UpBlockType,
};
