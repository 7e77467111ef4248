//! The modules of a model, under every spelling that adapter files use.
//!
//! kohya's files write `_` for the `.` between names, which also occurs inside names, so a spelling cannot be taken
//! apart: it is looked up in the table of all modules there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::layout::{Layout, Part, original_modules};

/// A module that an adapter changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The network it belongs to.
    pub part: Part,
    /// Its path in diffusers' names: `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub path: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.part.folder(), self.path)
    }
}

/// All modules of a model.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    /// Paths by their spellings, dots replaced.
    paths: BTreeMap<Part, BTreeMap<String, String>>,
    /// What LDM calls the UNet's modules.
    originals: BTreeMap<String, String>,
}

impl Modules {
    /// The modules of a family's published models.
    #[must_use]
    pub fn of_layout(layout: &Layout) -> Self {
        let mut modules = Self::default();
        for row in layout.parts {
            modules.add(row.part, row.modules());
        }
        modules
    }

    /// The modules of these very networks, given by the names of their tensors in diffusers' names. This is the way for
    /// models of other measures than the published ones.
    #[must_use]
    pub fn of_networks<'a>(networks: impl IntoIterator<Item = (Part, &'a [String])>) -> Self {
        let mut modules = Self::default();
        for (part, names) in networks {
            let weights = names.iter().filter_map(|name| name.strip_suffix(".weight"));
            modules.add(part, weights.map(str::to_owned).collect());
        }
        modules
    }

    fn add(&mut self, part: Part, paths: BTreeSet<String>) {
        if part == Part::Unet {
            self.originals = original_modules(&paths);
        }
        let mut spellings = BTreeMap::new();
        for path in paths {
            for spelling in self.spellings(part, &path) {
                spellings.insert(spelling, path.clone());
            }
        }
        self.paths.insert(part, spellings);
    }

    fn spellings(&self, part: Part, path: &str) -> Vec<String> {
        let plain = flat(path);
        let other = match part {
            // Old diffusers files name the attention's last layer without its place in a list.
            Part::Unet => plain.strip_suffix("_to_out_0").map(|attention| format!("{attention}_to_out")),
            // They also use the UNet's names in text encoders.
            Part::TextEncoder | Part::TextEncoder2 => {
                let attention = plain.strip_suffix("_proj").and_then(|rest| rest.rsplit_once("self_attn_"));
                attention.map(|(layer, which)| format!("{layer}self_attn_to_{which}"))
            }
            Part::Vae => None,
        };
        // transformers 5 leaves out the outermost name.
        let short = plain.strip_prefix("text_model_").map(str::to_owned);
        let original = self.originals.get(path).filter(|_| part == Part::Unet);
        let original = original.map(|original| flat(original));
        [Some(plain), other, short, original].into_iter().flatten().collect()
    }

    /// The module of a network that is spelled like this, with dots or with underscores.
    pub(super) fn find(&self, part: Part, spelled: &str) -> Option<Target> {
        let path = self.paths.get(&part)?.get(&flat(spelled))?.clone();
        Some(Target { part, path })
    }

    /// The networks there are.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        self.paths.keys().copied()
    }

    /// Whether there are two text encoders to tell apart, or the second alone, as in SDXL and its refiner.
    pub(super) fn numbers_text_encoders(&self) -> bool {
        self.paths.contains_key(&Part::TextEncoder2)
    }

    /// What LDM calls a module of the UNet.
    pub(super) fn original(&self, path: &str) -> Option<&str> {
        self.originals.get(path).map(String::as_str)
    }
}

/// A path as kohya's files spell it.
pub(super) fn flat(path: &str) -> String {
    path.replace('.', "_")
}
