//! How the dialects of adapter files spell the name of a tensor: a prefix for the network, the module's path, and an ending
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
    /// A factor of `LoHa`'s first or second product.
    Hada(u8, Side),
    /// `LoKr`'s first or second factor, or a factor of it.
    Lokr(u8, Side),
    Diff,
    DiffBias,
    /// DoRA's lengths in `LyCORIS`' shape.
    DoraScale,
    /// DoRA's lengths of outputs.
    Magnitude,
    /// (IA)³'s factors minus one.
    Scales,
    OnInput,
    /// (IA)³'s factors.
    Factors,
}

/// A factor of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    A,
    B,
    Core,
    Whole,
}

impl Role {
    /// Its ending in kohya's and `LyCORIS`' files, and its name in messages.
    pub(super) fn kohya(self) -> &'static str {
        let ending = ENDINGS.iter().find(|(_, role)| *role == self);
        ending.map_or("", |(ending, _)| ending.trim_start_matches('.'))
    }
}

/// Endings, with what stands before them in a name. The first of a role is kohya's or `LyCORIS`' own.
const ENDINGS: &[(&str, Role)] = &[
    // kohya, LyCORIS, ComfyUI
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_mid.weight", Role::Mid),
    (".alpha", Role::Alpha),
    (".dora_scale", Role::DoraScale),
    (".diff", Role::Diff),
    (".diff_b", Role::DiffBias),
    (".w_norm", Role::Diff),
    (".b_norm", Role::DiffBias),
    // LyCORIS and PEFT
    (".hada_w1_a", Role::Hada(1, Side::A)),
    (".hada_w1_b", Role::Hada(1, Side::B)),
    (".hada_t1", Role::Hada(1, Side::Core)),
    (".hada_w2_a", Role::Hada(2, Side::A)),
    (".hada_w2_b", Role::Hada(2, Side::B)),
    (".hada_t2", Role::Hada(2, Side::Core)),
    (".lokr_w1", Role::Lokr(1, Side::Whole)),
    (".lokr_w1_a", Role::Lokr(1, Side::A)),
    (".lokr_w1_b", Role::Lokr(1, Side::B)),
    (".lokr_w2", Role::Lokr(2, Side::Whole)),
    (".lokr_w2_a", Role::Lokr(2, Side::A)),
    (".lokr_w2_b", Role::Lokr(2, Side::B)),
    (".lokr_t2", Role::Lokr(2, Side::Core)),
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
    // DoRA and (IA)³ in PEFT
    (".lora_magnitude_vector", Role::Magnitude),
    (".lora_magnitude_vector.weight", Role::Magnitude),
    (".ia3_l", Role::Factors),
    // (IA)³ in LyCORIS; behind all endings that end like it
    (".on_input", Role::OnInput),
    (".weight", Role::Scales),
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

/// Words between the dots of names that belong to ways of adapting a network that are not read; a final `*` stands for any rest.
const REFUSED: &[(&str, &str)] =
    &[("oft_*", "OFT"), ("boft_*", "BOFT"), ("a1", "GLoRA"), ("bundle_emb", "bundled embedding")];

/// The kind of adapter a name gives away that is not read.
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
