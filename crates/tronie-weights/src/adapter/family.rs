//! Which family an adapter was made for, told from names and shapes.

use std::collections::BTreeMap;

use super::assemble::{Pieces, assemble};
use super::keys::Key;
use super::modules::{Modules, Target, flat};
use super::peft::Settings;
use crate::TensorFile;
use crate::detect::{family_of_layout, family_of_width};
use crate::layout::{LAYOUTS, Layout, Part};

/// Channels of the maps that the families' attention layers look at: `block_out_channels` of SD 1 and 2, SDXL, and its refiner.
const MAP_WIDTHS: [usize; 6] = [320, 640, 1280, 384, 768, 1536];

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

/// The family by the text its UNet reads, or that it is none of them by the width of its maps; `None` where neither tells.
fn told(file: &dyn TensorFile) -> Option<&'static str> {
    match width_into(file, &["attn2_to_k", "attn2_to_v"]) {
        Some(context) => Some(family_of_width(context).unwrap_or("custom")),
        None => {
            let maps = width_into(file, &["attn1_to_q", "attn1_to_k", "attn1_to_v"])?;
            (!MAP_WIDTHS.contains(&maps)).then_some("custom")
        }
    }
}

/// What the first of the UNet's attention layers with one of these endings takes: the width of the text for a cross-attention's
/// keys and values, that of the map for the others.
fn width_into(file: &dyn TensorFile, endings: &[&str]) -> Option<usize> {
    let mut found: BTreeMap<String, Pieces> = BTreeMap::new();
    for name in file.names() {
        let Some(key) = Key::parse(&name) else { continue };
        let module = flat(&key.module);
        let is_wanted = endings.iter().any(|ending| module.ends_with(ending));
        if is_wanted && key.part.is_none_or(|part| part == Part::Unet) {
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
