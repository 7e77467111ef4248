//! Names of the text encoders. open_clip keeps queries, keys and values in one matrix, as `nn.MultiheadAttention` does.

use super::rule::{
    Row,
    Transform::{Rename, SplitRows, Transpose},
};

/// transformers' names, with the `text_model.` that some files leave out.
pub(super) const CLIP: &[Row] = &[
    ("text_model.*", "text_model.*", Rename),
    ("text_projection.*", "text_projection.*", Rename),
    ("embeddings.*", "text_model.embeddings.*", Rename),
    ("encoder.*", "text_model.encoder.*", Rename),
    ("final_layer_norm.*", "text_model.final_layer_norm.*", Rename),
];

/// Counters that were once saved as tensors, and the half of CLIP that sees.
pub(super) const CLIP_UNUSED: &[&str] = &[
    "text_model.embeddings.position_ids",
    "embeddings.position_ids",
    "logit_scale",
    "vision_model.*",
    "visual_projection.*",
];

/// open_clip's names.
pub(super) const OPEN_CLIP: &[Row] = &[
    ("positional_embedding", "text_model.embeddings.position_embedding.weight", Rename),
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight", Rename),
    ("ln_final.*", "text_model.final_layer_norm.*", Rename),
    ("text_projection", "text_projection.weight", Transpose),
    ("transformer.resblocks.#.ln_1.*", "text_model.encoder.layers.#.layer_norm1.*", Rename),
    ("transformer.resblocks.#.ln_2.*", "text_model.encoder.layers.#.layer_norm2.*", Rename),
    ("transformer.resblocks.#.mlp.c_fc.*", "text_model.encoder.layers.#.mlp.fc1.*", Rename),
    ("transformer.resblocks.#.mlp.c_proj.*", "text_model.encoder.layers.#.mlp.fc2.*", Rename),
    ("transformer.resblocks.#.attn.out_proj.*", "text_model.encoder.layers.#.self_attn.out_proj.*", Rename),
    (
        "transformer.resblocks.#.attn.in_proj_weight",
        "text_model.encoder.layers.#.self_attn.q_proj.weight",
        third(0),
    ),
    (
        "transformer.resblocks.#.attn.in_proj_weight",
        "text_model.encoder.layers.#.self_attn.k_proj.weight",
        third(1),
    ),
    (
        "transformer.resblocks.#.attn.in_proj_weight",
        "text_model.encoder.layers.#.self_attn.v_proj.weight",
        third(2),
    ),
    (
        "transformer.resblocks.#.attn.in_proj_bias",
        "text_model.encoder.layers.#.self_attn.q_proj.bias",
        third(0),
    ),
    (
        "transformer.resblocks.#.attn.in_proj_bias",
        "text_model.encoder.layers.#.self_attn.k_proj.bias",
        third(1),
    ),
    (
        "transformer.resblocks.#.attn.in_proj_bias",
        "text_model.encoder.layers.#.self_attn.v_proj.bias",
        third(2),
    ),
];

const fn third(part: usize) -> super::Transform {
    SplitRows { part, of: 3 }
}

/// The temperature of CLIP's contrastive loss, and the mask it is trained with.
pub(super) const OPEN_CLIP_UNUSED: &[&str] = &["logit_scale", "attn_mask"];

/// Stable Diffusion 2 reads the last layer but one, so diffusers' text encoder ends there and has no projection.
pub(super) const PENULTIMATE_UNUSED: &[&str] =
    &["logit_scale", "attn_mask", "text_projection", "transformer.resblocks.23.*"];
