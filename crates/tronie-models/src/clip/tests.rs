use tronie_testing::{Golden, assert_close, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::ConfigError;
use crate::mini::{self, MiniFile};
use crate::synthetic::filled;

/// The towers of `reference/clip.py`.
fn small(activation: ClipActivation, end_of_text: EndOfText, d_projection: Option<usize>) -> ClipConfig {
    ClipConfig {
        vocab_size: 60,
        n_positions: 16,
        d: 32,
        d_mlp: 48,
        n_layers: 3,
        n_heads: 4,
        activation,
        layer_norm_epsilon: 1e-5,
        end_of_text,
        d_projection,
    }
}

fn quick_gelu() -> ClipConfig {
    small(ClipActivation::QuickGelu, EndOfText::LargestId, None)
}

fn tokens(golden: &Golden, name: &str, device: &Device) -> Tensor<2, Int> {
    let data = tronie_tensor::TensorData::new(golden.f32(name), golden.shape(name).to_vec());
    Tensor::<2>::from_data(data, device).int()
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

/// The tower's output for the pooled vector and a hidden state.
fn request(from_end: usize, final_norm: bool) -> ClipRequest {
    ClipRequest { layer: HiddenLayer { from_end, final_norm }, pooled: true }
}

fn without_pooled(request: ClipRequest) -> ClipRequest {
    ClipRequest { pooled: false, ..request }
}

#[test]
fn every_hidden_state_and_pooled_vector_is_the_references() {
    let device = Device::flex();
    let golden = Golden::open("clip/towers");
    let first_51 = EndOfText::FirstOf(51);
    let towers = [
        ("quick_gelu", quick_gelu()),
        ("gelu", small(ClipActivation::Gelu, first_51, None)),
        ("projection", small(ClipActivation::Gelu, EndOfText::LargestId, Some(20))),
        ("projection_first_end", small(ClipActivation::QuickGelu, first_51, Some(20))),
    ];
    for (name, config) in towers {
        let tower = filled(config.init(&device), Dtype::F32, &device);
        let tokens = tokens(&golden, &format!("{name}.tokens"), &device);
        for from_end in 1..=4 {
            for (kind, final_norm) in [("hidden", false), ("normed", true)] {
                let output = tower.forward(tokens.clone(), &[], request(from_end, final_norm));
                assert_close(&values(output.hidden), &golden.f32(&format!("{name}.{kind}_{from_end}")), 1e-4);
                assert_close(&values(output.pooled.unwrap()), &golden.f32(&format!("{name}.pooled")), 1e-4);
            }
        }
    }
}

#[test]
fn vectors_take_the_place_of_token_embeddings() {
    let device = Device::flex();
    let golden = Golden::open("clip/inserted");
    let vectors = synthetic::input("vectors", &[2, 32]);
    let vector = |row: usize| Tensor::<1>::from_floats(&vectors[32 * row..32 * (row + 1)], &device);
    let inserted = [
        InsertedVector { batch: 0, position: 2, vector: vector(0) },
        InsertedVector { batch: 1, position: 5, vector: vector(1) },
    ];
    let tower = filled(quick_gelu().init(&device), Dtype::F32, &device);
    let tokens = tokens(&golden, "tokens", &device);
    let output = tower.forward(tokens.clone(), &inserted, request(2, false));
    assert_close(&values(output.hidden), &golden.f32("hidden_2"), 1e-4);
    assert_close(&values(output.pooled.unwrap()), &golden.f32("pooled"), 1e-4);
    let output = tower.forward(tokens, &inserted, without_pooled(request(1, true)));
    assert_close(&values(output.hidden), &golden.f32("normed_1"), 1e-4);
    assert!(output.pooled.is_none());
}

/// SD 2.x: an original file holds the block that is never run, a diffusers folder does not.
#[test]
fn the_penultimate_state_of_a_whole_tower_is_the_last_of_one_without_its_last_block() {
    let device = Device::flex();
    let golden = Golden::open("clip/towers");
    let whole = small(ClipActivation::Gelu, EndOfText::FirstOf(51), None);
    let cut = ClipConfig { n_layers: 2, ..whole.clone() };
    let tokens = tokens(&golden, "gelu.tokens", &device);
    for (config, from_end) in [(whole, 2), (cut, 1)] {
        let tower = filled(config.init(&device), Dtype::F32, &device);
        let output = tower.forward(tokens.clone(), &[], without_pooled(request(from_end, true)));
        assert_close(&values(output.hidden), &golden.f32("gelu.normed_2"), 1e-4);
    }
}

#[test]
fn the_trained_text_encoder_gives_what_transformers_gives() {
    let test = "the_trained_text_encoder_gives_what_transformers_gives";
    let Some(config) = mini::config(test, "text_encoder/config.json") else {
        return;
    };
    let device = Device::flex();
    let config = ClipConfig::from_json(&config).unwrap();
    let source = MiniFile::open(test, "text_encoder/model.safetensors", "text_model.").unwrap();
    let tower = crate::load(config.init(&device), &source, &device).unwrap();
    let golden = Golden::open("clip/mini");
    let tokens = tokens(&golden, "tokens", &device);
    let output = tower.forward(tokens.clone(), &[], request(2, false));
    assert_close(&values(output.hidden), &golden.f32("hidden_2"), 1e-4);
    assert_close(&values(output.pooled.unwrap()), &golden.f32("pooled"), 1e-4);
    let output = tower.forward(tokens, &[], without_pooled(request(1, true)));
    assert_close(&values(output.hidden), &golden.f32("normed_1"), 1e-4);
}

#[test]
fn towers_have_as_many_parameters_as_published() {
    let device = Device::flex();
    assert_eq!(ClipConfig::clip_l().init(&device).num_params(), 123_060_480);
    assert_eq!(ClipConfig::open_clip_bigg().init(&device).num_params(), 694_659_840);
    // counted by transformers for stable-diffusion-2-1/text_encoder/config.json, and with one more block
    assert_eq!(ClipConfig::open_clip_h_penultimate().init(&device).num_params(), 340_387_840);
    assert_eq!(ClipConfig::open_clip_h().init(&device).num_params(), 352_984_064);
}

#[test]
fn config_files_of_the_three_towers_are_read() {
    // the keys of stable-diffusion-v1-5, stable-diffusion-2-1 and stable-diffusion-xl-base-1.0 (text_encoder_2)
    let sd15 = r#"{"architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0,
        "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768, "intermediate_size": 3072,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "projection_dim": 768,
        "vocab_size": 49408}"#;
    let sd21 = r#"{"architectures": ["CLIPTextModel"], "eos_token_id": 2, "hidden_act": "gelu",
        "hidden_size": 1024, "intermediate_size": 4096, "model_type": "clip_text_model",
        "num_attention_heads": 16, "num_hidden_layers": 23, "projection_dim": 512}"#;
    let sdxl = r#"{"architectures": ["CLIPTextModelWithProjection"], "eos_token_id": 2, "hidden_act": "gelu",
        "hidden_size": 1280, "intermediate_size": 5120, "model_type": "clip_text_model",
        "num_attention_heads": 20, "num_hidden_layers": 32, "projection_dim": 1280}"#;
    assert_eq!(ClipConfig::from_json(sd15).unwrap(), ClipConfig::clip_l());
    assert_eq!(ClipConfig::from_json(sd21).unwrap(), ClipConfig::open_clip_h_penultimate());
    assert_eq!(ClipConfig::from_json(sdxl).unwrap(), ClipConfig::open_clip_bigg());
}

#[test]
fn config_files_of_other_models_are_refused_with_the_key() {
    let base = r#""model_type": "clip_text_model", "hidden_size": 32"#;
    let cases = [
        (
            r#"{"model_type": "t5"}"#.to_owned(),
            r#"a text encoder's config.json has model_type = "t5", expected clip_text_model"#,
        ),
        (
            format!(r#"{{{base}, "hidden_act": "relu"}}"#),
            r#"a text encoder's config.json has hidden_act = "relu", expected quick_gelu or gelu"#,
        ),
        (
            format!(r#"{{{base}, "num_attention_heads": 5}}"#),
            "a text encoder's config.json has num_attention_heads = 5, expected a divisor of hidden_size",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(ClipConfig::from_json(&text).unwrap_err().to_string(), message);
    }
    assert!(matches!(ClipConfig::from_json("{"), Err(ConfigError::Syntax { .. })));
}
