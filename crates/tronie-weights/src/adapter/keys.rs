//! How the dialects of LoRA files spell the name of a tensor: a prefix for the network, the module's path, and an ending
//! for what the tensor is.
//!
//! Sources: kohya-ss/sd-scripts `networks/lora.py`, KohakuBlueleaf/LyCORIS `lycoris/modules`, diffusers
//! `loaders/lora_conversion_utils.py` and `utils/state_dict_utils.py` (0.42.1), peft `utils/save_and_load.py` (0.21.2).

use super::modules::{Modules, Target};
use crate::layout::{Part, matches};

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Down,
    Up,
    Mid,
    Alpha,
}

impl Role {
    /// Its ending in kohya's files, and its name in messages.
    pub(super) fn kohya(self) -> &'static str {
        match self {
            Self::Down => "lora_down.weight",
            Self::Up => "lora_up.weight",
            Self::Mid => "lora_mid.weight",
            Self::Alpha => "alpha",
        }
    }
}

/// Endings, with what stands before them in a name.
const ENDINGS: &[(&str, Role)] = &[
    // kohya, LyCORIS, ComfyUI
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_mid.weight", Role::Mid),
    (".alpha", Role::Alpha),
    // PEFT, with and without the adapter's name, and today's diffusers
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    // diffusers before it used PEFT
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    // and when LoRA was an attention processor
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
];

/// Prefixes and the network each stands for; where one begins with another, the longer is first.
const PREFIXES: &[(&str, Part)] = &[
    ("lora_unet_", Part::Unet),
    ("lora_te1_", Part::TextEncoder),
    ("lora_te2_", Part::TextEncoder2),
    ("lora_te_", Part::TextEncoder),
    ("unet.", Part::Unet),
    ("diffusion_model.", Part::Unet),
    ("text_encoder_2.", Part::TextEncoder2),
    ("text_encoder.", Part::TextEncoder),
];

/// What PEFT puts before the path in a model it has wrapped.
pub(super) const WRAPPED: &str = "base_model.model.";

/// Words between the dots of names that belong to other ways of adapting a network; a final `*` stands for any rest.
const REFUSED: &[(&str, &str)] = &[
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("hada_*", "LoHa"),
    ("lokr_*", "LoKr"),
    ("oft_*", "OFT"),
    ("boft_*", "BOFT"),
    ("on_input", "(IA)3"),
    ("a1", "GLoRA"),
    ("diff", "full difference"),
    ("diff_b", "full difference"),
    ("w_norm", "trained norm"),
    ("b_norm", "trained norm"),
    ("bundle_emb", "bundled embedding"),
];

/// The kind of adapter a name gives away that is no plain LoRA.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    let fits = |word: &str| REFUSED.iter().find(|(sign, _)| matches(&[sign], word));
    name.split('.').find_map(fits).map(|(_, kind)| *kind)
}

/// A name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The network, where the name tells.
    pub(super) part: Option<Part>,
    /// The module as it is spelled.
    pub(super) module: String,
    /// What the tensor is.
    pub(super) role: Role,
}

impl Key {
    /// `None` for a name of no dialect.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let fits = |(ending, role): &(&str, Role)| Some((name.strip_suffix(ending)?, *role));
        let (spelled, role) = ENDINGS.iter().find_map(fits)?;
        let prefixed =
            PREFIXES.iter().find_map(|(prefix, part)| Some((spelled.strip_prefix(prefix)?, *part)));
        let (spelled, part) = prefixed.map_or((spelled, None), |(rest, part)| (rest, Some(part)));
        let spelled = spelled.strip_prefix(WRAPPED).unwrap_or(spelled);
        let module = spelled.replace(".processor.", ".");
        Some(Self { part, module, role })
    }

    /// The modules this can be; several only where the name does not tell the network.
    pub(super) fn targets(&self, modules: &Modules) -> Vec<Target> {
        let parts: Vec<Part> = self.part.map_or_else(|| modules.parts().collect(), |part| vec![part]);
        parts.into_iter().filter_map(|part| modules.find(part, &self.module)).collect()
    }
}
