//! The modules of a family: what adapters can change, by name, without a checkpoint at hand.
//!
//! Their names are those of the key maps beside this file; only the numbers in them come from elsewhere, from
//! [`PartRow::depth`] and from the structure that all published models share.

use std::collections::{BTreeMap, BTreeSet};

use super::{Naming, PartRow, text, unet};

impl PartRow {
    /// The paths of this network's modules in diffusers' names, `down_blocks.0.resnets.0.conv1`.
    ///
    /// Norms and embeddings are among them, and what some models of the family lack.
    pub(crate) fn modules(&self) -> BTreeSet<String> {
        let patterns = match self.naming {
            Naming::Unet => unet::modules(self.depth),
            Naming::Vae => Vec::new(),
            // transformers names every text encoder alike, and of the key maps only open_clip's spells the names out
            Naming::Clip | Naming::OpenClip => {
                let n_layers = self.depth.first().copied().unwrap_or_default();
                text::OPEN_CLIP.iter().map(|row| (row.1.to_owned(), n_layers)).collect()
            }
        };
        let modules = patterns.iter().filter_map(|(pattern, most)| Some((module(pattern)?, *most)));
        modules.flat_map(|(module, most)| numbered(module, most)).collect()
    }
}

/// The module a pattern of tensors belongs to; `None` for a pattern of biases.
fn module(pattern: &str) -> Option<&str> {
    if pattern.ends_with(".bias") {
        return None;
    }
    let stem = pattern.strip_suffix(".*").or_else(|| pattern.strip_suffix(".weight"));
    Some(stem.unwrap_or(pattern))
}

/// A pattern with every number below `most` in place of its `#`.
fn numbered(pattern: &str, most: usize) -> Vec<String> {
    match pattern.split_once('#') {
        None => vec![pattern.to_owned()],
        Some((before, after)) => (0..most).map(|number| format!("{before}{number}{after}")).collect(),
    }
}

/// What LDM calls the modules of a whole UNet, by their paths in diffusers' names.
pub(crate) fn original_modules(modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let weights: BTreeMap<String, &String> =
        modules.iter().map(|module| (format!("{module}.weight"), module)).collect();
    let rules = unet::rules(&weights.keys().map(String::as_str).collect());
    let originals = weights.iter().filter_map(|(weight, module)| {
        let (original, _) = rules.iter().find_map(|rule| rule.backward(weight))?;
        Some(((*module).clone(), original.strip_suffix(".weight")?.to_owned()))
    });
    originals.collect()
}
