//! Names of the networks that steer a UNet by a picture: ControlNets and T2I-Adapters.
//!
//! A ControlNet is named as the UNet whose way down it has, with a few rows of its own. The names are facts of
//! lllyasviel/ControlNet (`cldm.py`) and TencentARC/T2I-Adapter (`adapter.py`); `reference/layouts.py` has diffusers'
//! own converter confirm those of ControlNets.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Row, Rule, Transform::Rename, table};
use super::{Recipe, unet};

/// What a ControlNet has that a UNet has not.
const CONTROLNET: &[Row] = &[
    ("zero_convs.#.0.*", "controlnet_down_blocks.#.*", Rename),
    ("middle_block_out.0.*", "controlnet_mid_block.*", Rename),
    ("input_hint_block.0.*", "controlnet_cond_embedding.conv_in.*", Rename),
    ("input_hint_block.2.*", "controlnet_cond_embedding.blocks.0.*", Rename),
    ("input_hint_block.4.*", "controlnet_cond_embedding.blocks.1.*", Rename),
    ("input_hint_block.6.*", "controlnet_cond_embedding.blocks.2.*", Rename),
    ("input_hint_block.8.*", "controlnet_cond_embedding.blocks.3.*", Rename),
    ("input_hint_block.10.*", "controlnet_cond_embedding.blocks.4.*", Rename),
    ("input_hint_block.12.*", "controlnet_cond_embedding.blocks.5.*", Rename),
    ("input_hint_block.14.*", "controlnet_cond_embedding.conv_out.*", Rename),
];
/// What a T2I-Adapter has once, or in its light arrangement; the rest depends on the number of blocks.
const ADAPTER: &[Row] = &[
    ("conv_in.*", "adapter.conv_in.*", Rename),
    ("body.#.body.#.*", "adapter.body.#.resnets.#.*", Rename),
    ("body.#.out_conv.*", "adapter.body.#.out_conv.*", Rename),
];
/// Blocks between which a T2I-Adapter changes its channels, in every published one.
const N_LEVELS: usize = 4;
/// What a ControlNet's names start with in a file of the original trainer.
const CONTROLNET_PREFIX: &str = "control_model.";

/// The tensors of a ControlNet in diffusers' names, made of those of a file in original names.
pub(crate) fn controlnet_to_diffusers(names: &[String]) -> BTreeMap<String, Recipe> {
    let inner = |name: &'_ String| name.strip_prefix(CONTROLNET_PREFIX).unwrap_or(name).to_owned();
    let inners: BTreeSet<String> = names.iter().map(inner).collect();
    let mut rules = table(CONTROLNET);
    rules.extend(unet::rules(&inners.iter().map(String::as_str).collect()));
    let recipes = names.iter().filter_map(|name| first(&rules, &inner(name), name));
    recipes.collect()
}

/// The same for a Control-LoRA, whose changes `.up` and `.down` are named as the weight they change.
pub(crate) fn control_lora_to_diffusers(names: &[String]) -> BTreeMap<String, Recipe> {
    const CHANGES: [&str; 2] = [".up", ".down"];
    let stem = |name: &String| CHANGES.iter().find_map(|end| name.strip_suffix(end)).map(str::to_owned);
    let weights =
        names.iter().map(|name| stem(name).map_or_else(|| name.clone(), |stem| format!("{stem}.weight")));
    let weights: BTreeSet<String> = weights.collect();
    let weights: Vec<String> = weights.into_iter().collect();
    let recipes = controlnet_to_diffusers(&weights).into_iter().flat_map(|(to, recipe)| {
        let from = recipe.sources.first().filter(|from| !names.contains(from)).cloned();
        let Some((from, to)) =
            from.as_deref().and_then(|from| from.strip_suffix(".weight")).zip(to.strip_suffix(".weight"))
        else {
            return vec![(to, recipe)];
        };
        CHANGES.iter().map(|end| (format!("{to}{end}"), Recipe::copy(&format!("{from}{end}")))).collect()
    });
    recipes.collect()
}

/// The same for a T2I-Adapter.
pub(crate) fn adapter_to_diffusers(names: &[String]) -> BTreeMap<String, Recipe> {
    let is_light = names.iter().any(|name| name.ends_with(".out_conv.weight"));
    let n_blocks = (0..).take_while(|n| names.contains(&format!("body.{n}.block1.weight"))).count();
    let per_level = (n_blocks / N_LEVELS).max(1);
    let mut rules = table(ADAPTER);
    let renamed = |original: String, diffusers: String| Rule { original, diffusers, transform: Rename };
    for block in 0..n_blocks {
        let (level, resnet) = (block / per_level, block % per_level);
        let (from, to) = (format!("body.{block}"), format!("adapter.body.{level}"));
        rules.push(renamed(format!("{from}.in_conv.*"), format!("{to}.in_conv.*")));
        rules.push(renamed(format!("{from}.block#.*"), format!("{to}.resnets.{resnet}.block#.*")));
    }
    if is_light {
        rules.push(renamed("body.#.in_conv.*".into(), "adapter.body.#.in_conv.*".into()));
    }
    names.iter().filter_map(|name| first(&rules, name, name)).collect()
}

/// What the first rule that fits makes of the tensor `source`, called `name` without its prefix.
fn first(rules: &[Rule], name: &str, source: &str) -> Option<(String, Recipe)> {
    rules.iter().find_map(|rule| rule.forward(name, source))
}
