//! Files of networks that steer a UNet by a picture: ControlNets and T2I-Adapters, as diffusers or their authors save them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tronie_base::{Fault, Faulty};

use crate::checkpoint::{Weights, config_in, weights_at, weights_in};
use crate::layout::{
    Part, Renamed, adapter_to_diffusers, control_lora_to_diffusers, controlnet_to_diffusers,
};
use crate::{CheckpointError, TensorFile};

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// A ControlNet (Zhang et al. 2023, arXiv:2302.05543).
    ControlNet,
    /// Changes that make a ControlNet of a UNet (Stability's Control-LoRA).
    ControlLora,
    /// A T2I-Adapter (Mou et al. 2023, arXiv:2302.08453).
    T2iAdapter,
}

/// How such a network is recognised: a tensor only it has, its kind, and whether its names are diffusers'.
const SIGNS: [(&str, ControlKind, bool); 6] = [
    ("controlnet_cond_embedding.conv_in.weight", ControlKind::ControlNet, true),
    ("control_model.input_hint_block.0.weight", ControlKind::ControlNet, false),
    ("input_hint_block.0.weight", ControlKind::ControlNet, false),
    ("adapter.body.0.resnets.0.block1.weight", ControlKind::T2iAdapter, true),
    ("body.0.block1.weight", ControlKind::T2iAdapter, false),
    ("body.0.body.0.block1.weight", ControlKind::T2iAdapter, false),
];
/// A tensor that only Control-LoRAs have: changes of a UNet's weights that make a ControlNet of it.
const CONTROL_LORA: &str = "lora_controlnet";
/// The stem of a weight file whose folder may have a configuration for it.
const FOLDER_STEM: &str = "diffusion_pytorch_model";

/// An open control network. No tensor has been read.
pub struct ControlFile {
    /// What it is.
    pub kind: ControlKind,
    /// Its tensors, in diffusers' names; of a Control-LoRA with `.up` and `.down` for the change of a `.weight`.
    pub tensors: Box<dyn TensorFile>,
    /// It says what is in a picture and not where: its `config.json` says so, or, without one, its name has "shuffle" in
    /// it, as the names of all published ones have.
    pub pools: bool,
    /// It takes blue before red.
    pub is_bgr: bool,
}

/// A control network that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A file that cannot be read.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// A file of something else.
    #[error("{} is {found}, not a ControlNet or T2I-Adapter", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
}

impl From<CheckpointError> for ControlError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl Faulty for ControlError {
    fn fault(&self) -> Fault {
        match self {
            Self::Checkpoint(error) => error.fault(),
            Self::Foreign { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(error) => error.hint(),
            Self::Foreign { .. } => {
                Some("name a control network's file, or its folder with config.json in it".into())
            }
        }
    }
}

impl ControlFile {
    /// Opens a file, or a diffusers folder of one network.
    ///
    /// # Errors
    /// [`ControlError`]: it cannot be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, ControlError> {
        let (path, config) = if path.is_dir() {
            (weights_in(path, Part::Unet)?, config_in(path)?)
        } else {
            let is_in_folder = path.file_stem().is_some_and(|stem| stem == FOLDER_STEM);
            let folder = path.parent().filter(|_| is_in_folder);
            (path.to_owned(), folder.map(config_in).transpose()?.flatten())
        };
        let Weights { tensors: file, .. } = weights_at(&path)?;
        let foreign = |found| ControlError::Foreign { path: path.clone(), found };
        let sign = SIGNS.iter().find(|(name, ..)| file.meta(name).is_some());
        let &(_, kind, in_diffusers) = sign.ok_or_else(|| foreign("something else"))?;
        let kind = if file.meta(CONTROL_LORA).is_some() { ControlKind::ControlLora } else { kind };
        let names = file.names();
        let tensors: Box<dyn TensorFile> = match (kind, in_diffusers) {
            (_, true) => file,
            (ControlKind::ControlNet, false) => {
                Box::new(Renamed::new(file.into(), controlnet_to_diffusers(&names)))
            }
            (ControlKind::ControlLora, false) => {
                Box::new(Renamed::new(file.into(), control_lora_to_diffusers(&names)))
            }
            (ControlKind::T2iAdapter, false) => {
                Box::new(Renamed::new(file.into(), adapter_to_diffusers(&names)))
            }
        };
        let says = |key: &str| config.as_ref().and_then(|config| config.get(key));
        let is_shuffle = || path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains("shuffle"));
        Ok(Self {
            kind,
            tensors,
            pools: says("global_pool_conditions").and_then(Value::as_bool).unwrap_or_else(is_shuffle),
            is_bgr: says("controlnet_conditioning_channel_order").is_some_and(|order| order == "bgr"),
        })
    }
}

#[cfg(test)]
mod tests;
