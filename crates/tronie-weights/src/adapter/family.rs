//! Which family an adapter was made for, told from names and shapes.

use std::collections::BTreeMap;

use super::assemble::{Pieces, assemble};
use super::keys::Key;
use super::modules::{Modules, Target, flat};
use super::peft::Settings;
use crate::TensorFile;
use crate::detect::{family_of_layout, family_of_width};
use crate::layout::{LAYOUTS, Layout, Part};

/// A family and its modules.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) modules: Modules,
    /// `None` where more than one family fits.
    pub(super) family: Option<&'static str>,
}

/// The family of a LoRA; `None` where more than one fits.
pub(crate) fn family_of_lora(file: &dyn TensorFile) -> Option<&'static str> {
    told(file).or_else(|| choose(file).family)
}

/// The family a LoRA's cross-attention tells, else the one whose modules its names fit best; of several that do equally
/// well the first, for what they share is named alike in all.
pub(super) fn choose(file: &dyn TensorFile) -> Choice {
    let family = told(file);
    let is_told = |layout: &&Layout| family.is_some() && family_of_layout(layout.id) == family;
    if let Some(layout) = LAYOUTS.iter().find(is_told) {
        return Choice { modules: Modules::of_layout(layout), family };
    }
    let keys: Vec<Key> = file.names().iter().filter_map(|name| Key::parse(name)).collect();
    let tried = LAYOUTS.iter().map(|layout| {
        let modules = Modules::of_layout(layout);
        let n_unknown = keys.iter().filter(|key| key.targets(&modules).is_empty()).count();
        (n_unknown, Choice { modules, family: family_of_layout(layout.id) })
    });
    let tried: Vec<(usize, Choice)> = tried.collect();
    let fewest = tried.iter().map(|(n_unknown, _)| *n_unknown).min();
    let mut best = tried.into_iter().filter(|(n_unknown, _)| Some(*n_unknown) == fewest);
    let mut choice = best.next().map(|(_, choice)| choice).unwrap_or_default();
    choice.family = family.or(choice.family.filter(|_| best.next().is_none()));
    choice
}

/// The family by the text its UNet reads; `None` where no cross-attention is changed.
fn told(file: &dyn TensorFile) -> Option<&'static str> {
    Some(family_of_width(context_width(file)?).unwrap_or("custom"))
}

/// Width of the text the UNet reads: what a cross-attention's keys and values are made of.
fn context_width(file: &dyn TensorFile) -> Option<usize> {
    let mut found: BTreeMap<String, Pieces> = BTreeMap::new();
    for name in file.names() {
        let Some(key) = Key::parse(&name) else { continue };
        let module = flat(&key.module);
        let reads_text = module.ends_with("attn2_to_k") || module.ends_with("attn2_to_v");
        if reads_text && key.part.is_none_or(|part| part == Part::Unet) {
            found.entry(module).or_default().insert(key.role, name);
        }
    }
    let mut widths = found.into_iter().filter_map(|(path, pieces)| {
        let target = Target { part: Part::Unet, path };
        let module = assemble(file, &target, &pieces, &Settings::default()).ok()?;
        module.weight?.shape().map(|[_, c_in, ..]| c_in)
    });
    widths.next()
}
