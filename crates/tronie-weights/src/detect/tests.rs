use serde_json::json;

use super::*;
use crate::layout::testing::{Table, numbered};
use crate::layout::tests::{FAMILIES, lines};
use crate::{Dtype, Layout};

fn table(rows: &[(&str, &[usize])]) -> Table {
    let rows = rows.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec()));
    Table::without_numbers(Dtype::F16, rows)
}

fn named(file_name: &str) -> Hints<'_> {
    Hints { file_name: Some(file_name), ..Hints::default() }
}

#[test]
fn each_family_is_known_by_its_single_file_and_by_its_diffusers_unet() {
    for (family, layout) in FAMILIES {
        let lines = lines(family);
        let rows = lines.iter().map(|line| (line.original.clone(), line.original_shape.clone()));
        let found = detect(&Table::without_numbers(Dtype::F16, rows), Hints::default()).unwrap();
        let expected: Vec<Part> = Layout::find(layout).unwrap().parts.iter().map(|row| row.part).collect();
        assert_eq!((found.family, found.layout, found.in_channels), (family, layout, Some(4)), "{found:?}");
        assert_eq!(found.parts, expected, "{family}");

        let unet = lines.iter().filter_map(|line| {
            let name = line.diffusers.strip_prefix("unet/")?;
            Some((name.to_owned(), line.diffusers_shape.clone()))
        });
        let found = detect(&Table::without_numbers(Dtype::F16, unet), Hints::default()).unwrap();
        assert_eq!((found.family, found.layout), (family, "diffusers"));
        assert_eq!(found.parts, [Part::Unet]);
    }
}

#[test]
fn an_inpainting_model_is_its_family_with_nine_channels() {
    for (family, layout) in FAMILIES {
        let rows = lines(family).into_iter().map(|mut line| {
            if line.original.ends_with("input_blocks.0.0.weight") {
                line.original_shape[1] = 9;
            }
            (line.original, line.original_shape)
        });
        let found = detect(&Table::without_numbers(Dtype::F16, rows), Hints::default()).unwrap();
        // no inpainting model predicts velocity
        let family = if family == "sd21" { "sd20_base" } else { family };
        assert_eq!((found.family, found.layout, found.in_channels), (family, layout, Some(9)));
    }
}

/// Names and shapes of a file.
type Rows = &'static [(&'static str, &'static [usize])];

/// A file, its family, its layout and its parts.
const STRIPPED: [(Rows, &str, &str, &[Part]); 7] = [
    // a UNet alone, with and without prefix
    (
        &[
            ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]),
            ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[320, 768]),
        ],
        "sd15",
        "ldm_sd1",
        &[Part::Unet],
    ),
    (
        &[
            ("input_blocks.0.0.weight", &[384, 4, 3, 3]),
            ("input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &[768, 1280]),
            ("label_emb.0.0.weight", &[1536, 2560]),
        ],
        "sdxl_refiner",
        "ldm_sdxl_refiner",
        &[Part::Unet],
    ),
    // an autoencoder alone, as LDM and as diffusers name it
    (&[("encoder.down.0.block.0.norm1.weight", &[128])], "any", "ldm_sd1", &[Part::Vae]),
    (&[("first_stage_model.decoder.conv_in.weight", &[512, 4, 3, 3])], "any", "ldm_sd1", &[Part::Vae]),
    (&[("decoder.up_blocks.0.resnets.0.norm1.weight", &[512])], "any", "diffusers", &[Part::Vae]),
    // a text encoder alone, as transformers 5 saves it
    (&[("embeddings.token_embedding.weight", &[49408, 768])], "any", "diffusers", &[Part::TextEncoder]),
    // Stable Diffusion 2 as sgm's trainer saves it
    (
        &[
            ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]),
            ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[320, 1024]),
            ("conditioner.embedders.0.model.token_embedding.weight", &[49408, 1024]),
        ],
        "sd21",
        "ldm_sd2",
        &[Part::Unet, Part::TextEncoder],
    ),
];

#[test]
fn a_stripped_file_is_told_by_what_it_still_has() {
    for (rows, family, layout, parts) in STRIPPED {
        let found = detect(&table(rows), Hints::default()).unwrap();
        assert_eq!((found.family, found.layout, found.parts.as_slice()), (family, layout, parts), "{rows:?}");
    }
}

#[test]
fn a_network_of_other_measures_is_custom() {
    let rows: [(&str, &[usize]); 3] = [
        ("conv_in.weight", &[64, 4, 3, 3]),
        ("down_blocks.0.resnets.0.norm1.weight", &[64]),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", &[64, 192]),
    ];
    let found = detect(&table(&rows), Hints::default()).unwrap();
    assert_eq!((found.family, found.layout), ("custom", "diffusers"));
    assert!(found.evidence.iter().any(|line| line.contains("text of width 192")), "{:?}", found.evidence);
}

/// Names as the tools of each kind write them, what their file is called, and its kind.
const STRANGERS: [(&str, &str, Kind); 48] = [
    ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "a LoRA", Kind::Lora),
    ("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", "a LoRA", Kind::Lora),
    ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight", "a LoRA", Kind::Lora),
    ("base_model.model.down_blocks.0.attentions.0.to_q.lora_B.weight", "a LoRA", Kind::Lora),
    (
        "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_k_lora.down.weight",
        "a LoRA",
        Kind::Lora,
    ),
    ("lycoris_unet_input_blocks_1_1.hada_w1_a", "a LoRA", Kind::Lora),
    ("lycoris_unet_input_blocks_1_1.lokr_w1", "a LoRA", Kind::Lora),
    ("emb_params", "a textual inversion", Kind::Embedding),
    ("string_to_param.*", "a textual inversion", Kind::Embedding),
    ("clip_g", "a textual inversion", Kind::Embedding),
    ("<my-face>", "a textual inversion", Kind::Embedding),
    ("control_model.input_blocks.0.0.weight", "a ControlNet", Kind::ControlNet),
    ("controlnet_cond_embedding.conv_in.weight", "a ControlNet", Kind::ControlNet),
    (
        "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.conditioning1.0.weight",
        "a ControlNet",
        Kind::ControlNet,
    ),
    ("adapter.body.0.resnets.0.block1.weight", "a T2I adapter", Kind::ControlNet),
    ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter", Kind::IpAdapter),
    (
        "down_blocks.0.motion_modules.0.temporal_transformer.norm.bias",
        "a motion module of AnimateDiff",
        Kind::Other,
    ),
    (
        "model.diffusion_model.input_blocks.1.1.time_stack.0.norm1.bias",
        "a Stable Video Diffusion model",
        Kind::Other,
    ),
    ("double_blocks.0.img_attn.norm.key_norm.scale", "a Flux model", Kind::Other),
    ("model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "a Flux model", Kind::Other),
    ("single_transformer_blocks.0.attn.to_q.weight", "a Flux model", Kind::Other),
    (
        "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias",
        "a Stable Diffusion 3 model",
        Kind::Other,
    ),
    ("double_stream_blocks.0.block.adaLN_modulation.1.bias", "a HiDream model", Kind::Other),
    ("double_layers.0.attn.w1q.weight", "an AuraFlow model", Kind::Other),
    ("distilled_guidance_layer.in_proj.bias", "a Chroma model", Kind::Other),
    ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias", "a HunyuanVideo model", Kind::Other),
    ("transformer_blocks.0.img_mod.1.weight", "a Qwen-Image model", Kind::Other),
    ("model.diffusion_model.head.modulation", "a Wan video model", Kind::Other),
    ("patchify_proj.weight", "an LTX video model", Kind::Other),
    ("blocks.0.attn.qkv_x.weight", "a Mochi video model", Kind::Other),
    ("net.x_embedder.proj.1.weight", "a Cosmos model", Kind::Other),
    ("cap_embedder.0.weight", "a Lumina or Z-Image model", Kind::Other),
    ("blocks.0.cross_attn.q_linear.weight", "a Sana model", Kind::Other),
    ("clip_txt_mapper.weight", "a Stable Cascade model", Kind::Other),
    ("down_blocks.1.0.channelwise.0.weight", "a Stable Cascade model", Kind::Other),
    ("body.0.block1.weight", "a T2I adapter", Kind::ControlNet),
    ("body.0.body.0.block1.weight", "a T2I adapter", Kind::ControlNet),
    ("edm_mean", "a Playground 2.5 model", Kind::Other),
    ("embedder.model.visual.proj", "a Stable Diffusion unCLIP model", Kind::Other),
    ("concept_embeds", "a safety checker", Kind::Other),
    ("768.0.linear.0.weight", "a hypernetwork", Kind::Other),
    ("3.conv.0.weight", "a fast preview decoder", Kind::Other),
    ("conv_first.weight", "an image upscaler", Kind::Upscaler),
    ("model.0.weight", "an image upscaler", Kind::Upscaler),
    ("stylegan_decoder.constant_input.weight", "a face restorer", Kind::Upscaler),
    (
        "model_ema.diffusion_modelinput_blocks00weight",
        "the averaged copy of a UNet without the UNet itself",
        Kind::Other,
    ),
    ("vision_model.pre_layrnorm.weight", "a CLIP image encoder", Kind::ImageEncoder),
    ("encoder.block.0.layer.0.SelfAttention.q.weight", "a T5 text encoder", Kind::TextEncoder),
];

#[test]
fn what_is_no_checkpoint_is_called_by_its_name() {
    for (name, expected, expected_kind) in STRANGERS {
        match detect(&table(&[(name, &[1])]), Hints::default()) {
            Err(DetectError::Foreign { what, kind, .. }) => {
                assert_eq!((what, kind), (expected, expected_kind), "{name}")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn relatives_of_stable_diffusion_2_are_told_by_their_measures() {
    let cases: [(usize, Option<usize>, &str); 3] = [
        (7, None, "the Stable Diffusion x4 upscaler"),
        (5, None, "Stable Diffusion 2 depth to image"),
        (4, Some(2048), "a Stable Diffusion unCLIP model"),
    ];
    for (in_channels, label, expected) in cases {
        let conv = [320, in_channels, 3, 3];
        let label_shape = [1280, label.unwrap_or_default()];
        let mut rows: Vec<(&str, &[usize])> = vec![
            ("model.diffusion_model.input_blocks.0.0.weight", &conv),
            ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[320, 1024]),
        ];
        if label.is_some() {
            rows.push(("model.diffusion_model.label_emb.0.0.weight", &label_shape));
        }
        let error = detect(&table(&rows), Hints::default()).unwrap_err();
        assert!(matches!(error, DetectError::Foreign { what, .. } if what == expected), "{error}");
    }
}

#[test]
fn the_unknown_and_the_empty_are_said_to_be_so() {
    let error = detect(&table(&[("fc1.weight", &[1]), ("fc2.weight", &[1])]), Hints::default()).unwrap_err();
    assert_eq!(error.to_string(), "none of the 2 tensors belongs to a known network, first \"fc1.weight\"");
    let error = detect(&table(&[]), Hints::default()).unwrap_err();
    assert_eq!(error.to_string(), "the file holds no tensors");
}

const UNET_2: [(&str, &[usize]); 2] = [
    ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]),
    ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[320, 1024]),
];

#[test]
fn each_source_on_the_prediction_outranks_the_ones_after_it() {
    let epsilon = json!({"prediction_type": "epsilon"});
    let velocity: BTreeMap<String, String> = [("modelspec.prediction_type".into(), "v".into())].into();
    let yaml = "model:\n  params:\n    parameterization: \"v\"\n    unet_config: {}\n";
    let noise_yaml = "model:\n  params:\n    unet_config: {}\n";
    let file = table(&UNET_2);
    let all = Hints {
        file_name: Some("v2-1_512-ema-pruned.ckpt"),
        metadata: Some(&velocity),
        scheduler: Some(&epsilon),
        yaml: Some(yaml),
    };
    let cases = [
        (all, "sd20_base", "scheduler"),
        (Hints { scheduler: None, ..all }, "sd21", "original configuration"),
        (Hints { scheduler: None, yaml: Some(noise_yaml), ..all }, "sd20_base", "original configuration"),
        (Hints { scheduler: None, yaml: None, ..all }, "sd21", "metadata"),
        (named("v2-1_512-ema-pruned.ckpt"), "sd20_base", "\"2-1_512\""),
        (named("512-base-ema.safetensors"), "sd20_base", "\"512-base\""),
        (named("768-v-ema.ckpt"), "sd21", "\"768-v\""),
        (Hints::default(), "sd21", "family usually does"),
    ];
    for (hints, family, why) in cases {
        let found = detect(&file, hints).unwrap();
        assert_eq!(found.family, family, "{hints:?}");
        assert!(found.evidence.last().unwrap().contains(why), "{:?}", found.evidence);
    }
}

#[test]
fn the_spread_of_one_bias_tells_stable_diffusion_2s_kinds_apart() {
    // 0, 1, 2, 3 has standard deviation sqrt(1.25) = 1.118
    let name = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
    for (tensor, family) in
        [(numbered(Dtype::F16, &[4], 0), "sd21"), (numbered(Dtype::F16, &[1], 5), "sd20_base")]
    {
        let mut file = table(&UNET_2);
        file.0.insert(name.to_owned(), tensor);
        assert_eq!(detect(&file, named("768-v.ckpt")).unwrap().family, family);
    }
}

#[test]
fn a_v_pred_tensor_makes_an_xl_model_predict_velocity() {
    let rows: [(&str, &[usize]); 4] = [
        ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]),
        ("model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &[640, 2048]),
        ("model.diffusion_model.label_emb.0.0.weight", &[1280, 2816]),
        ("v_pred", &[]),
    ];
    let found = detect(&table(&rows), Hints::default()).unwrap();
    assert_eq!((found.family, found.prediction), ("sdxl_base", Prediction::Velocity));
}
