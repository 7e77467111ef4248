//! Names of the autoencoder. LDM numbers the decoder's levels from the image inwards, diffusers in order of use.

use std::collections::BTreeSet;

use super::rule::{
    Row, Rule,
    Transform::{Rename, Reshape},
    prefixed, table,
};

const FIXED: &[Row] = &[
    ("encoder.conv_in.*", "encoder.conv_in.*", Rename),
    ("encoder.conv_out.*", "encoder.conv_out.*", Rename),
    ("encoder.norm_out.*", "encoder.conv_norm_out.*", Rename),
    ("decoder.conv_in.*", "decoder.conv_in.*", Rename),
    ("decoder.conv_out.*", "decoder.conv_out.*", Rename),
    ("decoder.norm_out.*", "decoder.conv_norm_out.*", Rename),
    ("quant_conv.*", "quant_conv.*", Rename),
    ("post_quant_conv.*", "post_quant_conv.*", Rename),
    ("encoder.down.#.downsample.*", "encoder.down_blocks.#.downsamplers.0.*", Rename),
];

/// The shortcut must come first: the rule after it would keep its old name.
const RESNETS: &[Row] = &[("#.nin_shortcut.*", "#.conv_shortcut.*", Rename), ("#.*", "#.*", Rename)];

const MID: &[Row] = &[
    ("mid.block_1.*", "mid_block.resnets.0.*", Rename),
    ("mid.block_2.*", "mid_block.resnets.1.*", Rename),
    ("mid.attn_1.norm.*", "mid_block.attentions.0.group_norm.*", Rename),
    ("mid.attn_1.q.weight", "mid_block.attentions.0.to_q.weight", Reshape),
    ("mid.attn_1.k.weight", "mid_block.attentions.0.to_k.weight", Reshape),
    ("mid.attn_1.v.weight", "mid_block.attentions.0.to_v.weight", Reshape),
    ("mid.attn_1.proj_out.weight", "mid_block.attentions.0.to_out.0.weight", Reshape),
    ("mid.attn_1.q.bias", "mid_block.attentions.0.to_q.bias", Rename),
    ("mid.attn_1.k.bias", "mid_block.attentions.0.to_k.bias", Rename),
    ("mid.attn_1.v.bias", "mid_block.attentions.0.to_v.bias", Rename),
    ("mid.attn_1.proj_out.bias", "mid_block.attentions.0.to_out.0.bias", Rename),
];

/// What diffusers before 0.15 wrote, and what it means today.
pub(super) const ALIASES: &[Row] = &[
    ("encoder.mid_block.attentions.0.query.*", "encoder.mid_block.attentions.0.to_q.*", Reshape),
    ("encoder.mid_block.attentions.0.key.*", "encoder.mid_block.attentions.0.to_k.*", Reshape),
    ("encoder.mid_block.attentions.0.value.*", "encoder.mid_block.attentions.0.to_v.*", Reshape),
    ("encoder.mid_block.attentions.0.proj_attn.*", "encoder.mid_block.attentions.0.to_out.0.*", Reshape),
    ("decoder.mid_block.attentions.0.query.*", "decoder.mid_block.attentions.0.to_q.*", Reshape),
    ("decoder.mid_block.attentions.0.key.*", "decoder.mid_block.attentions.0.to_k.*", Reshape),
    ("decoder.mid_block.attentions.0.value.*", "decoder.mid_block.attentions.0.to_v.*", Reshape),
    ("decoder.mid_block.attentions.0.proj_attn.*", "decoder.mid_block.attentions.0.to_out.0.*", Reshape),
];

/// The rules of the autoencoder with these names, which may be of either side.
pub(super) fn rules(names: &BTreeSet<&str>) -> Vec<Rule> {
    let mut rules = table(FIXED);
    for side in ["encoder.", "decoder."] {
        rules.extend(MID.iter().map(|row| prefixed(row, side, side)));
    }
    let mut add = |original: String, diffusers: String| {
        rules.extend(RESNETS.iter().map(|row| prefixed(row, &original, &diffusers)));
    };
    let n_levels = n_levels(names);
    for level in 0..n_levels {
        add(format!("encoder.down.{level}.block."), format!("encoder.down_blocks.{level}.resnets."));
        let block = n_levels - 1 - level;
        add(format!("decoder.up.{level}.block."), format!("decoder.up_blocks.{block}.resnets."));
    }
    for level in 0..n_levels {
        rules.push(Rule {
            original: format!("decoder.up.{level}.upsample.*"),
            diffusers: format!("decoder.up_blocks.{}.upsamplers.0.*", n_levels - 1 - level),
            transform: Rename,
        });
    }
    rules
}

fn n_levels(names: &BTreeSet<&str>) -> usize {
    let spellings = [
        ("decoder.up.", ".block.0"),
        ("decoder.up_blocks.", ".resnets.0"),
        ("encoder.down.", ".block.0"),
        ("encoder.down_blocks.", ".resnets.0"),
    ];
    let count = |(before, after): (&str, &str)| {
        let has = |level: &usize| names.contains(format!("{before}{level}{after}.norm1.weight").as_str());
        (0..).take_while(has).count()
    };
    spellings.into_iter().map(count).max().unwrap_or_default()
}
