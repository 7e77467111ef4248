use tronie_testing::{Golden, assert_close, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::parameter_shapes;
use crate::synthetic::filled;

fn input(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = tronie_tensor::TensorData::new(synthetic::input(name, &shape), shape);
    Tensor::from_data(values, device)
}

#[track_caller]
fn check(found: Tensor<4>, golden: &Golden, name: &str) {
    assert_eq!(found.dims().as_slice(), golden.shape(name), "{name}");
    let found: Vec<f32> = found.into_data().try_to_vec().unwrap();
    assert_close(&found, &golden.f32(name), 1e-4);
}

#[test]
fn images_and_latents_are_the_references() {
    let device = Device::flex();
    let golden = Golden::open("vae/taesd");
    let config = TaesdConfig { c: 16, ..TaesdConfig::taesd() };
    let encoder = filled(config.init_encoder(&device), Dtype::F32, &device);
    let image = input("image", [2, 3, 19, 24], &device).clamp(-1.0, 1.0);
    check(encoder.encode(image), &golden, "latents");
    let decoder = filled(config.init_decoder(&device), Dtype::F32, &device);
    let latents = input("latents", [2, 4, 3, 2], &device) * 2.0;
    check(decoder.decode(latents), &golden, "image");
}

#[test]
fn the_halves_have_as_many_parameters_as_published() {
    let device = Device::flex();
    let config = TaesdConfig::taesd();
    assert_eq!(config.init_decoder(&device).num_params(), 1_222_531);
    assert_eq!(config.init_encoder(&device).num_params(), 1_222_532);
}

#[test]
fn layers_are_numbered_as_in_the_file() {
    let device = Device::flex();
    let shapes = parameter_shapes(&TaesdConfig::taesd().init_decoder(&device));
    // keys of madebyollin/taesd/diffusion_pytorch_model.safetensors
    for (name, shape) in [
        ("decoder.layers.0.weight", vec![64, 4, 3, 3]),
        ("decoder.layers.2.conv.4.bias", vec![64]),
        ("decoder.layers.6.weight", vec![64, 64, 3, 3]),
        ("decoder.layers.18.weight", vec![3, 64, 3, 3]),
    ] {
        assert_eq!(shapes.get(name), Some(&shape), "{name}");
    }
    assert!(!shapes.contains_key("decoder.layers.6.bias"));
}

#[test]
fn config_files_are_read_and_other_networks_refused() {
    // the keys of madebyollin/taesd
    let taesd = r#"{"_class_name": "AutoencoderTiny", "act_fn": "relu", "in_channels": 3, "out_channels": 3,
        "encoder_block_out_channels": [64, 64, 64, 64], "decoder_block_out_channels": [64, 64, 64, 64],
        "latent_channels": 4, "latent_magnitude": 3, "latent_shift": 0.5, "num_encoder_blocks": [1, 3, 3, 3],
        "num_decoder_blocks": [3, 3, 3, 1], "scaling_factor": 1.0, "force_upcast": false,
        "upsampling_scaling_factor": 2}"#;
    assert_eq!(TaesdConfig::from_json(taesd).unwrap(), TaesdConfig::taesd());
    let cases = [
        (r#"{"act_fn": "silu"}"#, r#"taesd/config.json has act_fn = "silu", expected relu"#),
        (r#"{"scaling_factor": 0.3}"#, "taesd/config.json has scaling_factor = 0.3, expected 1"),
        (
            r#"{"decoder_block_out_channels": [64, 32, 64, 64]}"#,
            "taesd/config.json has decoder_block_out_channels = [64,32,64,64], expected the same number for every stage",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(TaesdConfig::from_json(text).unwrap_err().to_string(), message);
    }
}
