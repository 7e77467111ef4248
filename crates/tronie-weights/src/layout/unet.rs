//! Names of the UNet. LDM numbers all blocks of a side in one row; diffusers groups them by resolution.
//!
//! `input_blocks.0` is the first convolution; then, level by level, one entry per residual block (`.0`, with its
//! attention `.1`) and one per downsampler (`.0.op`). `output_blocks` has one more residual block per level and no entry
//! of its own for the upsampler, which comes last inside the level's last entry: at `.1`, or `.2` behind an attention.

use std::collections::BTreeSet;

use super::rule::{Row, Rule, Transform::Rename, prefixed, table};

const FIXED: &[Row] = &[
    ("time_embed.0.*", "time_embedding.linear_1.*", Rename),
    ("time_embed.2.*", "time_embedding.linear_2.*", Rename),
    ("label_emb.0.0.*", "add_embedding.linear_1.*", Rename),
    ("label_emb.0.2.*", "add_embedding.linear_2.*", Rename),
    ("input_blocks.0.0.*", "conv_in.*", Rename),
    ("out.0.*", "conv_norm_out.*", Rename),
    ("out.2.*", "conv_out.*", Rename),
];

const RESNET: &[Row] = &[
    ("in_layers.0.*", "norm1.*", Rename),
    ("in_layers.2.*", "conv1.*", Rename),
    ("emb_layers.1.*", "time_emb_proj.*", Rename),
    ("out_layers.0.*", "norm2.*", Rename),
    ("out_layers.3.*", "conv2.*", Rename),
    ("skip_connection.*", "conv_shortcut.*", Rename),
];

/// What a transformer consists of: the same on either side, so that one row with a `*` renames it all.
const TRANSFORMER: &[&str] = &[
    "norm",
    "proj_in",
    "transformer_blocks.#.norm1",
    "transformer_blocks.#.attn1.to_q",
    "transformer_blocks.#.attn1.to_k",
    "transformer_blocks.#.attn1.to_v",
    "transformer_blocks.#.attn1.to_out.0",
    "transformer_blocks.#.norm2",
    "transformer_blocks.#.attn2.to_q",
    "transformer_blocks.#.attn2.to_k",
    "transformer_blocks.#.attn2.to_v",
    "transformer_blocks.#.attn2.to_out.0",
    "transformer_blocks.#.norm3",
    "transformer_blocks.#.ff.net.0.proj",
    "transformer_blocks.#.ff.net.2",
    "proj_out",
];

/// Everything in a transformer, and a resampling convolution, keeps its name.
const SAME: &[Row] = &[("*", "*", Rename)];

/// One resolution.
struct Level {
    n_resnets: usize,
    /// Whether the way up attends here; it decides where the upsampler is.
    attends: bool,
}

/// Residual blocks of a level on the way down in every published model; there is one more on the way up.
const N_RESNETS: usize = 2;

/// The patterns, in diffusers' names, of all modules of a UNet of this [`depth`](super::PartRow::depth), each with what
/// its `#` counts to.
///
/// What some models lack (a shortcut, the label embedding) is among them.
pub(super) fn modules(depth: &[usize]) -> Vec<(String, usize)> {
    let mut modules: Vec<(String, usize)> = FIXED.iter().map(|row| (row.1.to_owned(), 0)).collect();
    let Some((&middle, levels)) = depth.split_last() else {
        return modules;
    };
    let mut add = |block: &str, n_resnets: usize, n_attentions: usize, n_blocks: usize| {
        for layer in 0..n_resnets {
            modules.extend(RESNET.iter().map(|row| (format!("{block}.resnets.{layer}.{}", row.1), 0)));
        }
        for layer in 0..n_attentions {
            let inner = TRANSFORMER.iter();
            modules.extend(inner.map(|name| (format!("{block}.attentions.{layer}.{name}"), n_blocks)));
        }
    };
    let attentions = |n: usize, n_blocks: usize| if n_blocks > 0 { n } else { 0 };
    add("mid_block", 2, attentions(1, middle), middle);
    for (down, &n_blocks) in levels.iter().enumerate() {
        let (up, n) = (levels.len() - 1 - down, N_RESNETS);
        add(&format!("down_blocks.{down}"), n, attentions(n, n_blocks), n_blocks);
        add(&format!("up_blocks.{up}"), n + 1, attentions(n + 1, n_blocks), n_blocks);
    }
    for step in 1..levels.len() {
        modules.push((format!("down_blocks.{}.downsamplers.0.conv", step - 1), 0));
        modules.push((format!("up_blocks.{}.upsamplers.0.conv", step - 1), 0));
    }
    modules
}

/// The rules of the network with these names, which may be of either side.
pub(super) fn rules(names: &BTreeSet<&str>) -> Vec<Rule> {
    let mut levels = original_levels(names);
    if levels.is_empty() {
        levels = diffusers_levels(names);
    }
    let mut rules = table(FIXED);
    add(&mut rules, RESNET, "middle_block.0.", "mid_block.resnets.0.");
    add(&mut rules, SAME, "middle_block.1.", "mid_block.attentions.0.");
    add(&mut rules, RESNET, "middle_block.2.", "mid_block.resnets.1.");
    add_down(&mut rules, &levels);
    add_up(&mut rules, &levels);
    rules
}

fn add(rules: &mut Vec<Rule>, rows: &[Row], original: &str, diffusers: &str) {
    rules.extend(rows.iter().map(|row| prefixed(row, original, diffusers)));
}

fn add_down(rules: &mut Vec<Rule>, levels: &[Level]) {
    let mut entry = 1;
    for (block, level) in levels.iter().enumerate() {
        for layer in 0..level.n_resnets {
            let (from, to) = (format!("input_blocks.{entry}"), format!("down_blocks.{block}"));
            add(rules, RESNET, &format!("{from}.0."), &format!("{to}.resnets.{layer}."));
            add(rules, SAME, &format!("{from}.1."), &format!("{to}.attentions.{layer}."));
            entry += 1;
        }
        if block + 1 < levels.len() {
            let (from, to) = (format!("input_blocks.{entry}.0.op."), format!("down_blocks.{block}"));
            add(rules, SAME, &from, &format!("{to}.downsamplers.0.conv."));
            entry += 1;
        }
    }
}

fn add_up(rules: &mut Vec<Rule>, levels: &[Level]) {
    let mut entry = 0;
    for (block, level) in levels.iter().rev().enumerate() {
        for layer in 0..=level.n_resnets {
            let (from, to) = (format!("output_blocks.{entry}"), format!("up_blocks.{block}"));
            add(rules, RESNET, &format!("{from}.0."), &format!("{to}.resnets.{layer}."));
            if level.attends {
                add(rules, SAME, &format!("{from}.1."), &format!("{to}.attentions.{layer}."));
            }
            if layer == level.n_resnets && block + 1 < levels.len() {
                let at = if level.attends { 2 } else { 1 };
                add(rules, SAME, &format!("{from}.{at}.conv."), &format!("{to}.upsamplers.0.conv."));
            }
            entry += 1;
        }
    }
}

fn original_levels(names: &BTreeSet<&str>) -> Vec<Level> {
    let has = |name: String| names.contains(name.as_str());
    let mut counts = Vec::new();
    let mut n_resnets = 0;
    for entry in 1.. {
        if has(format!("input_blocks.{entry}.0.op.weight")) {
            counts.push(n_resnets);
            n_resnets = 0;
        } else if has(format!("input_blocks.{entry}.0.in_layers.0.weight")) {
            n_resnets += 1;
        } else {
            break;
        }
    }
    if n_resnets > 0 {
        counts.push(n_resnets);
    }
    let mut entry = 0;
    let mut levels: Vec<Level> = Vec::new();
    for n_resnets in counts.into_iter().rev() {
        let attends = has(format!("output_blocks.{entry}.1.norm.weight"));
        levels.push(Level { n_resnets, attends });
        entry += n_resnets + 1;
    }
    levels.reverse();
    levels
}

fn diffusers_levels(names: &BTreeSet<&str>) -> Vec<Level> {
    let has = |name: String| names.contains(name.as_str());
    let count = |of: &dyn Fn(usize) -> String| (0..).take_while(|&index| has(of(index))).count();
    let n_levels = count(&|block| format!("down_blocks.{block}.resnets.0.norm1.weight"));
    let level = |block: usize| Level {
        n_resnets: count(&|layer| format!("down_blocks.{block}.resnets.{layer}.norm1.weight")),
        attends: has(format!("up_blocks.{}.attentions.0.norm.weight", n_levels - 1 - block)),
    };
    (0..n_levels).map(level).collect()
}
