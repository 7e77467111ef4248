//! Key maps: how an original (LDM) single file names its tensors, and what diffusers calls the same ones.
//!
//! A map is data. [`LAYOUTS`] has one row per original layout: which prefix holds which [`Part`], and by which
//! naming. A naming is a list of [`Rule`]s; those of the UNet and the autoencoder's decoder depend on the number of
//! blocks, which is read off the names themselves, so a network of another depth needs no new row.
//! Both directions use the same rules, and the result is a lazy view: no tensor is read before it is asked for.
//!
//! The names are facts of CompVis/latent-diffusion (`openaimodel.py`, `model.py`), open_clip (`transformer.py`) and
//! diffusers; `reference/layouts.py` has diffusers' own converters confirm every one of them at full size.

mod control;
mod modules;
mod rule;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod unet;
mod vae;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use control::{adapter_to_diffusers, control_lora_to_diffusers, controlnet_to_diffusers};
pub(crate) use modules::original_modules;
pub use rule::{Rule, Transform};
pub use view::{Operation, Recipe, Renamed, ShapeError, Union};

use crate::TensorFile;
pub(crate) use rule::matches;

/// A network of a text-to-image model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The denoiser.
    Unet,
    /// The autoencoder.
    Vae,
    /// The first text encoder.
    TextEncoder,
    /// The second text encoder of SDXL; the only one of its refiner.
    TextEncoder2,
}

impl Part {
    /// All of them, in the order in which a person would list them.
    pub const ALL: [Part; 4] = [Part::Unet, Part::Vae, Part::TextEncoder, Part::TextEncoder2];

    /// The folder of a diffusers model that holds it.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Unet => "unet",
            Self::Vae => "vae",
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
        }
    }

    /// The stem of its weight file in a diffusers folder.
    #[must_use]
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::Unet | Self::Vae => "diffusion_pytorch_model",
            Self::TextEncoder | Self::TextEncoder2 => "model",
        }
    }
}

/// How a network's tensors are named within its prefix of an original file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// `openaimodel.UNetModel`.
    Unet,
    /// `model.Encoder` and `model.Decoder`.
    Vae,
    /// transformers' own `CLIPTextModel` inside the file.
    Clip,
    /// open_clip's text tower.
    OpenClip,
}

impl Naming {
    /// The rules of a network that has tensors of these names, given on either side (without prefix).
    #[must_use]
    pub fn rules(self, names: &BTreeSet<&str>) -> Vec<Rule> {
        match self {
            Self::Unet => unet::rules(names),
            Self::Vae => vae::rules(names),
            Self::Clip => rule::table(text::CLIP),
            Self::OpenClip => rule::table(text::OPEN_CLIP),
        }
    }
}

/// Where an original file keeps one network.
#[derive(Debug, Clone, Copy)]
pub struct PartRow {
    /// Which network.
    pub part: Part,
    /// What its names start with. The first is written, all are read.
    pub prefixes: &'static [&'static str],
    /// How they go on.
    pub naming: Naming,
    /// Patterns of tensors the diffusers network has no place for.
    pub unused: &'static [&'static str],
    /// How deep the family's published models are, as diffusers keeps them. Of a UNet: transformer blocks at each level,
    /// outermost first, then in the middle. Of a text encoder: its layers. Empty for an autoencoder.
    pub depth: &'static [usize],
}

/// One way of keeping a whole model in a single file.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Permanent name: `ldm_sd1`, `ldm_sd2`, `ldm_sdxl_base`, `ldm_sdxl_refiner`.
    pub id: &'static str,
    /// Its networks.
    pub parts: &'static [PartRow],
}

const fn unet(depth: &'static [usize]) -> PartRow {
    let prefixes = &["model.diffusion_model."];
    PartRow { part: Part::Unet, prefixes, naming: Naming::Unet, unused: &[], depth }
}

const VAE: PartRow = PartRow {
    part: Part::Vae,
    prefixes: &["first_stage_model.", "vae."],
    naming: Naming::Vae,
    unused: &["loss.*", "model_ema.*"],
    depth: &[],
};

pub(crate) const SD1: Layout = Layout {
    id: "ldm_sd1",
    parts: &[
        unet(&[1, 1, 1, 0, 1]),
        VAE,
        PartRow {
            part: Part::TextEncoder,
            prefixes: &["cond_stage_model.transformer."],
            naming: Naming::Clip,
            unused: text::CLIP_UNUSED,
            depth: &[12],
        },
    ],
};

pub(crate) const SD2: Layout = Layout {
    id: "ldm_sd2",
    parts: &[
        unet(&[1, 1, 1, 0, 1]),
        VAE,
        PartRow {
            part: Part::TextEncoder,
            // the second is how sgm's own trainer saves it
            prefixes: &["cond_stage_model.model.", "conditioner.embedders.0.model."],
            naming: Naming::OpenClip,
            unused: text::PENULTIMATE_UNUSED,
            depth: &[23],
        },
    ],
};

pub(crate) const SDXL_BASE: Layout = Layout {
    id: "ldm_sdxl_base",
    parts: &[
        unet(&[0, 2, 10, 10]),
        VAE,
        PartRow {
            part: Part::TextEncoder,
            prefixes: &["conditioner.embedders.0.transformer."],
            naming: Naming::Clip,
            unused: text::CLIP_UNUSED,
            depth: &[12],
        },
        PartRow {
            part: Part::TextEncoder2,
            prefixes: &["conditioner.embedders.1.model."],
            naming: Naming::OpenClip,
            unused: text::OPEN_CLIP_UNUSED,
            depth: &[32],
        },
    ],
};

pub(crate) const SDXL_REFINER: Layout = Layout {
    id: "ldm_sdxl_refiner",
    parts: &[
        unet(&[0, 4, 4, 0, 4]),
        VAE,
        PartRow {
            part: Part::TextEncoder2,
            prefixes: &["conditioner.embedders.0.model."],
            naming: Naming::OpenClip,
            unused: text::OPEN_CLIP_UNUSED,
            depth: &[32],
        },
    ],
};

/// Every original layout there is.
pub const LAYOUTS: &[Layout] = &[SD1, SD2, SDXL_BASE, SDXL_REFINER];

/// What training leaves in an original file and no network needs: schedules, counters, optimizers, the averaged copy.
const BYSTANDERS: &[&str] = &[
    "model_ema.*",
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_*",
    "log_one_minus_alphas_cumprod",
    "posterior_*",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "global_step",
    "epoch",
    "denoiser.*",
    "v_pred",
    "ztsnr",
    "callbacks.*",
    "optimizer_states.*",
    "lr_schedulers.*",
    "hyper_parameters.*",
    "embedding_manager.*",
    "depth_model.*",
];

/// What a single file becomes in diffusers' names.
#[derive(Debug, Default)]
pub struct Mapping {
    /// For each network found, how each of its tensors is made.
    pub parts: BTreeMap<Part, BTreeMap<String, Recipe>>,
    /// Names that are known and of no use.
    pub ignored: Vec<String>,
    /// Names nobody knows; the networks do without them.
    pub leftover: Vec<String>,
}

impl Layout {
    /// The row of an id.
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Layout> {
        LAYOUTS.iter().find(|layout| layout.id == id)
    }

    /// Sorts the names of a single file into networks, and renames them.
    #[must_use]
    pub fn to_diffusers(&self, names: &[String]) -> Mapping {
        let mut mapping = Mapping::default();
        let mut inner: BTreeMap<Part, Vec<(&PartRow, &str, &str)>> = BTreeMap::new();
        for name in names {
            match self.place(name) {
                Some((row, rest)) => inner.entry(row.part).or_default().push((row, rest, name)),
                None if matches(BYSTANDERS, name) => mapping.ignored.push(name.clone()),
                None => mapping.leftover.push(name.clone()),
            }
        }
        for (part, found) in inner {
            let rests = found.iter().map(|(_, rest, _)| *rest).collect();
            let Some((row, ..)) = found.first() else { continue };
            let rules = row.naming.rules(&rests);
            let mut recipes = BTreeMap::new();
            for (row, rest, name) in found {
                if matches(row.unused, rest) {
                    mapping.ignored.push(name.to_owned());
                    continue;
                }
                let mut fitting = rules.iter().skip_while(|rule| rule.forward(rest, name).is_none());
                let Some(first) = fitting.next() else {
                    mapping.leftover.push(name.to_owned());
                    continue;
                };
                // The first rule that fits counts, with those beside it that split the same tensor.
                let beside = fitting.filter(|rule| rule.original == first.original);
                recipes.extend([first].into_iter().chain(beside).filter_map(|rule| rule.forward(rest, name)));
            }
            mapping.parts.insert(part, recipes);
        }
        mapping
    }

    /// How the tensors of one network, in diffusers' names, are written in a single file of this layout.
    ///
    /// The second list holds the names the layout has no place for, or not all pieces of.
    #[must_use]
    pub fn to_original(&self, part: Part, names: &[String]) -> (BTreeMap<String, Recipe>, Vec<String>) {
        let Some(row) = self.parts.iter().find(|row| row.part == part) else {
            return (BTreeMap::new(), names.to_vec());
        };
        let prefix = row.prefixes.first().copied().unwrap_or_default();
        let known = names.iter().map(String::as_str).collect();
        let rules = row.naming.rules(&known);
        let mut pieces: BTreeMap<String, Vec<(Transform, &str)>> = BTreeMap::new();
        let mut leftover = Vec::new();
        for name in names {
            match rules.iter().find_map(|rule| rule.backward(name)) {
                Some((inner, transform)) => {
                    let entry = pieces.entry(format!("{prefix}{inner}")).or_default();
                    entry.push((transform, name));
                }
                None => leftover.push(name.clone()),
            }
        }
        let mut recipes = BTreeMap::new();
        for (original, mut found) in pieces {
            found.sort();
            match Recipe::joined(&found) {
                Some(recipe) => drop(recipes.insert(original, recipe)),
                None => leftover.extend(found.iter().map(|(_, name)| (*name).to_owned())),
            }
        }
        (recipes, leftover)
    }

    /// The row whose prefix `name` starts with, and the rest of the name.
    fn place<'a>(&self, name: &'a str) -> Option<(&'static PartRow, &'a str)> {
        self.parts.iter().find_map(|row| {
            let mut prefixes = row.prefixes.iter();
            prefixes.find_map(|prefix| Some((row, name.strip_prefix(prefix)?)))
        })
    }
}

/// The tensors of a network from a diffusers folder, whatever version wrote it, in today's names.
///
/// The autoencoder's attention was once `query`, `key`, `value`, `proj_attn`; transformers 5 saves a text encoder
/// without the `text_model.` that all before it wrote; buffers such as `position_ids` are left out.
#[must_use]
pub fn canonical(part: Part, file: Box<dyn TensorFile>) -> Renamed<'static> {
    let (aliases, unused) = match part {
        Part::Unet => (&[][..], &[][..]),
        Part::Vae => (vae::ALIASES, &[][..]),
        Part::TextEncoder | Part::TextEncoder2 => (text::CLIP, text::CLIP_UNUSED),
    };
    let aliases = rule::table(aliases);
    let mut recipes = BTreeMap::new();
    for name in file.names() {
        if matches(unused, &name) {
            continue;
        }
        let renamed = aliases.iter().find_map(|rule| rule.forward(&name, &name));
        let (target, recipe) = renamed.unwrap_or_else(|| (name.clone(), Recipe::copy(&name)));
        recipes.insert(target, recipe);
    }
    Renamed::new(file.into(), recipes)
}

#[cfg(test)]
pub(crate) mod tests;
