//! Files that are taken for checkpoints and are something else.

use super::DetectError;
use crate::{TensorFile, adapter};

/// What sort of model file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A whole text-to-image model, or its UNet.
    Checkpoint,
    /// An autoencoder alone.
    Vae,
    /// A text encoder alone.
    TextEncoder,
    /// Low-rank weights to add to a checkpoint.
    Lora,
    /// Vectors for new words of a prompt.
    Embedding,
    /// A network that steers a UNet by a picture.
    ControlNet,
    /// A network by which a UNet looks at a picture.
    IpAdapter,
    /// A network that tells IP-Adapters what is in a picture.
    ImageEncoder,
    /// A network that enlarges or repairs pictures.
    Upscaler,
    /// Anything else.
    Other,
}

/// How a name gives its file away.
enum Sign {
    Is(&'static str),
    Starts(&'static str),
    Has(&'static str),
}

use Sign::{Has, Is, Starts};

impl Sign {
    fn fits(&self, name: &str) -> bool {
        match self {
            Is(whole) => name == *whole,
            Starts(start) => name.starts_with(start),
            Has(inside) => name.contains(inside),
        }
    }
}

struct Foreign {
    what: &'static str,
    kind: Kind,
    advice: &'static str,
    signs: &'static [Sign],
}

const fn foreign(what: &'static str, kind: Kind, advice: &'static str, signs: &'static [Sign]) -> Foreign {
    Foreign { what, kind, advice, signs }
}

const LORA: &str = "name it in the prompt, <lora:name:1>, or among the request's adapters";
const OTHER_FAMILY: &str = "tronie runs Stable Diffusion 1.x, 2.x and XL; this family is not supported";
const CONTROL: &str = "give it as a ControlNet, together with a checkpoint of its family";

/// One row per thing that is not a checkpoint; any of its signs suffices. The first fitting row counts.
const FOREIGN: &[Foreign] = &[
    foreign(
        "a LoRA",
        Kind::Lora,
        LORA,
        &[
            Starts("lora_unet_"),
            Starts("lora_te"),
            Has(".lora_A."),
            Has(".lora_B."),
            Has(".lora_down."),
            Has(".lora.down."),
            Has("_lora.down."),
            Has(".lora_linear_layer."),
            Has(".hada_w1_a"),
            Has(".lokr_w1"),
            Has(".oft_blocks"),
            Has(".dora_scale"),
            Has(".ia3_l"),
        ],
    ),
    foreign(
        "a textual inversion",
        Kind::Embedding,
        "put it into the embeddings folder and use its name as a word of the prompt",
        &[Is("emb_params"), Starts("string_to_param"), Is("clip_g"), Is("clip_l"), Starts("<")],
    ),
    foreign(
        "a ControlNet",
        Kind::ControlNet,
        CONTROL,
        &[
            Starts("control_model."),
            Starts("controlnet_cond_embedding."),
            Starts("controlnet_down_blocks."),
            Starts("input_hint_block."),
            Starts("zero_convs."),
            Starts("lllite_"),
        ],
    ),
    foreign(
        "a T2I adapter",
        Kind::ControlNet,
        CONTROL,
        &[
            Starts("adapter.body."),
            Starts("adapter.conv_in."),
            Is("body.0.block1.weight"),
            Is("body.0.body.0.block1.weight"),
        ],
    ),
    foreign(
        "an IP-Adapter",
        Kind::IpAdapter,
        "give it as an IP-Adapter, together with a checkpoint of its family",
        &[Starts("ip_adapter."), Starts("image_proj.")],
    ),
    foreign(
        "a motion module of AnimateDiff",
        Kind::Other,
        "give it as a motion module, together with a Stable Diffusion 1.5 checkpoint",
        &[Has("motion_modules.")],
    ),
    foreign(
        "a Stable Video Diffusion model",
        Kind::Other,
        OTHER_FAMILY,
        &[Has(".time_stack."), Has(".temporal_transformer_blocks.")],
    ),
    foreign("a Chroma model", Kind::Other, OTHER_FAMILY, &[Has("distilled_guidance_layer.")]),
    foreign("a HunyuanVideo model", Kind::Other, OTHER_FAMILY, &[Has("txt_in.individual_token_refiner.")]),
    foreign(
        "a Flux model",
        Kind::Other,
        OTHER_FAMILY,
        &[
            Has("double_blocks.0.img_"),
            Has("single_transformer_blocks.0."),
            Has("double_stream_modulation_img"),
        ],
    ),
    foreign(
        "a Stable Diffusion 3 model",
        Kind::Other,
        OTHER_FAMILY,
        &[Has("joint_blocks.0."), Has("transformer_blocks.0.norm1_context.")],
    ),
    foreign("a HiDream model", Kind::Other, OTHER_FAMILY, &[Has("double_stream_blocks.0.")]),
    foreign(
        "an AuraFlow model",
        Kind::Other,
        OTHER_FAMILY,
        &[Has("double_layers.0."), Has("joint_transformer_blocks.0.")],
    ),
    foreign("a Qwen-Image model", Kind::Other, OTHER_FAMILY, &[Has("transformer_blocks.0.img_mod.")]),
    foreign(
        "a Wan video model",
        Kind::Other,
        OTHER_FAMILY,
        &[Has("head.modulation"), Has("blocks.0.modulation")],
    ),
    foreign("an LTX video model", Kind::Other, OTHER_FAMILY, &[Has("patchify_proj.weight")]),
    foreign("a Mochi video model", Kind::Other, OTHER_FAMILY, &[Has("blocks.0.attn.qkv_x.")]),
    foreign("a Cosmos model", Kind::Other, OTHER_FAMILY, &[Starts("net.x_embedder.")]),
    foreign("a Lumina or Z-Image model", Kind::Other, OTHER_FAMILY, &[Has("cap_embedder.")]),
    foreign("a Sana model", Kind::Other, OTHER_FAMILY, &[Has("blocks.0.cross_attn.q_linear.")]),
    foreign(
        "a PixArt model",
        Kind::Other,
        OTHER_FAMILY,
        &[
            Is("y_embedder.y_embedding"),
            Is("caption_projection.y_embedding"),
            Is("adaln_single.linear.weight"),
        ],
    ),
    foreign(
        "a Stable Cascade model",
        Kind::Other,
        OTHER_FAMILY,
        &[Is("clip_txt_mapper.weight"), Has(".channelwise.0.weight")],
    ),
    foreign(
        "a Kandinsky model",
        Kind::Other,
        OTHER_FAMILY,
        &[Starts("encoder_hid_proj."), Has(".add_k_proj.")],
    ),
    foreign("a Playground 2.5 model", Kind::Other, OTHER_FAMILY, &[Is("edm_mean"), Is("edm_std")]),
    foreign(
        "a Stable Diffusion unCLIP model",
        Kind::Other,
        OTHER_FAMILY,
        &[Starts("embedder.model.visual."), Starts("noise_augmentor.")],
    ),
    foreign(
        "a safety checker",
        Kind::Other,
        "it goes with a checkpoint, in the folder safety_checker",
        &[Is("concept_embeds"), Is("special_care_embeds")],
    ),
    foreign(
        "a hypernetwork",
        Kind::Other,
        "hypernetworks are not supported; a LoRA does the same better",
        &[Starts("768.0.linear."), Starts("320.0.linear."), Starts("1024.0.linear.")],
    ),
    foreign(
        "a fast preview decoder",
        Kind::Other,
        "give it as the preview decoder",
        &[Is("3.conv.0.weight"), Is("taesd_decoder.1.weight")],
    ),
    foreign(
        "a face restorer",
        Kind::Upscaler,
        "give it as the face restorer",
        &[Has("stylegan_decoder."), Has("fuse_convs_dict.")],
    ),
    foreign(
        "an image upscaler",
        Kind::Upscaler,
        "give it as the upscaler",
        &[Is("conv_first.weight"), Is("model.0.weight"), Starts("params_ema."), Starts("params.")],
    ),
];

/// Rows that count only where no whole network was found.
const FRAGMENTS: &[Foreign] = &[
    foreign(
        "the averaged copy of a UNet without the UNet itself",
        Kind::Other,
        "use the file that also holds model.diffusion_model, or have the tool that made it save the averaged weights",
        &[Starts("model_ema.")],
    ),
    foreign(
        "a CLIP image encoder",
        Kind::ImageEncoder,
        "it is used by IP-Adapters, not as a checkpoint",
        &[Starts("vision_model."), Starts("visual.")],
    ),
    foreign(
        "a T5 text encoder",
        Kind::TextEncoder,
        OTHER_FAMILY,
        &[Has("encoder.block.0.layer.0.SelfAttention.")],
    ),
];

/// The error for a file that is something else.
pub(super) fn refuse(file: &dyn TensorFile, names: &[String]) -> Result<(), DetectError> {
    check(FOREIGN, file, names)
}

/// The error for a file that is a part of something else.
pub(super) fn refuse_fragments(file: &dyn TensorFile, names: &[String]) -> Result<(), DetectError> {
    check(FRAGMENTS, file, names)
}

/// The error for a file of one list of vectors as wide as a text encoder: an embedding under a word of its own.
pub(super) fn refuse_vectors(file: &dyn TensorFile, names: &[String]) -> Result<(), DetectError> {
    let family = adapter::family_of_embedding(file);
    match (names, family, FOREIGN.iter().find(|row| row.kind == Kind::Embedding)) {
        ([name], Some(_), Some(row)) => Err(row.error(name, family)),
        _ => Ok(()),
    }
}

fn check(rows: &[Foreign], file: &dyn TensorFile, names: &[String]) -> Result<(), DetectError> {
    for row in rows {
        let gives_away = |name: &&String| row.signs.iter().any(|sign| sign.fits(name));
        if let Some(name) = names.iter().find(gives_away) {
            let family = match row.kind {
                Kind::Lora => adapter::family_of_lora(file),
                Kind::Embedding => adapter::family_of_embedding(file),
                _ => None,
            };
            return Err(row.error(name, family));
        }
    }
    Ok(())
}

impl Foreign {
    fn error(&self, name: &str, family: Option<&'static str>) -> DetectError {
        let (what, kind, advice) = (self.what, self.kind, self.advice);
        DetectError::Foreign { what, name: name.to_owned(), kind, family, advice }
    }
}

/// Close relatives of Stable Diffusion 2 that only the UNet's measures give away.
pub(super) fn relative(
    layout: Option<&str>,
    context: usize,
    in_channels: usize,
    label: Option<usize>,
) -> Option<DetectError> {
    let (what, name) = match (layout, context, in_channels, label) {
        (Some("ldm_sd2") | None, 1024, 7, _) => ("the Stable Diffusion x4 upscaler", "conv_in"),
        (Some("ldm_sd2"), _, 5, _) => ("Stable Diffusion 2 depth to image", "conv_in"),
        (None, 1024, _, Some(1536 | 2048)) => ("a Stable Diffusion unCLIP model", "label_emb"),
        _ => return None,
    };
    Some(foreign(what, Kind::Other, OTHER_FAMILY, &[]).error(name, None))
}
