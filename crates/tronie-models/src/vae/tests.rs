use tronie_testing::{Golden, assert_close, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::mini::{self, MiniFile};
use crate::synthetic::filled;

/// The autoencoders of `reference/vae.py`.
fn two_levels() -> VaeConfig {
    VaeConfig {
        c_in: 3,
        c_out: 3,
        c_latent: 4,
        c_levels: vec![8, 16],
        n_blocks_per_level: 1,
        n_groups: 4,
        mid_attention: true,
        quant_conv: true,
        post_quant_conv: true,
        latent_scale: 0.18215,
        force_upcast: true,
        sample_size_px: 16,
    }
}

fn three_levels() -> VaeConfig {
    VaeConfig { c_levels: vec![8, 16, 16], n_blocks_per_level: 2, quant_conv: false, ..two_levels() }
}

fn no_attention() -> VaeConfig {
    VaeConfig {
        c_latent: 3,
        c_levels: vec![8, 8],
        mid_attention: false,
        post_quant_conv: false,
        ..two_levels()
    }
}

fn input(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = tronie_tensor::TensorData::new(synthetic::input(name, &shape), shape);
    Tensor::from_data(values, device)
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

#[track_caller]
fn check(found: Tensor<4>, golden: &Golden, name: &str) {
    assert_eq!(found.dims().as_slice(), golden.shape(name), "{name}");
    assert_close(&values(found), &golden.f32(name), 1e-4);
}

#[test]
fn images_and_latents_are_the_references() {
    let device = Device::flex();
    let golden = Golden::open("vae/whole");
    let cases = [
        ("two_levels", two_levels(), [16, 12], [6, 5]),
        // sides that are no multiple of the factor
        ("three_levels", three_levels(), [21, 19], [3, 5]),
        ("no_attention", no_attention(), [9, 10], [4, 3]),
    ];
    for (name, config, [h, w], [h_latent, w_latent]) in cases {
        let encoder = filled(config.init_encoder(&device), Dtype::F32, &device);
        let posterior = encoder.encode(input("image", [2, 3, h, w], &device));
        check(posterior.mean, &golden, &format!("{name}.mean"));
        check(posterior.log_variance, &golden, &format!("{name}.log_variance"));
        let decoder = filled(config.init_decoder(&device), Dtype::F32, &device);
        let latents = input("latents", [2, config.c_latent, h_latent, w_latent], &device);
        check(decoder.decode(latents), &golden, &format!("{name}.image"));
    }
}

#[test]
fn tiles_are_cut_and_blended_as_the_reference_does() {
    let device = Device::flex();
    let golden = Golden::open("vae/tiled");
    let tiling = Tiling { tile_px: 16, overlap: 0.25 };
    let cases = [
        ("two_levels", two_levels(), [39, 26], [17, 11]),
        ("three_levels", three_levels(), [28, 40], [4, 9]),
    ];
    for (name, config, [h, w], [h_latent, w_latent]) in cases {
        let encoder = filled(config.init_encoder(&device), Dtype::F32, &device);
        let posterior = encoder.encode_tiled(input("image", [1, 3, h, w], &device), tiling);
        check(posterior.mean, &golden, &format!("{name}.mean"));
        check(posterior.log_variance, &golden, &format!("{name}.log_variance"));
        let decoder = filled(config.init_decoder(&device), Dtype::F32, &device);
        let latents = input("latents", [1, 4, h_latent, w_latent], &device);
        check(decoder.decode_tiled(latents, tiling), &golden, &format!("{name}.image"));
    }
}

#[test]
fn what_fits_one_tile_is_not_tiled() {
    let device = Device::flex();
    let config = two_levels();
    let tiling = Tiling { tile_px: 17, overlap: 0.25 }; // eight latents and a pixel, so 16
    let encoder = filled(config.init_encoder(&device), Dtype::F32, &device);
    let image = input("image", [1, 3, 16, 12], &device);
    let whole = encoder.encode(image.clone());
    assert_eq!(values(encoder.encode_tiled(image, tiling).mean), values(whole.mean));
    let decoder = filled(config.init_decoder(&device), Dtype::F32, &device);
    let latents = input("latents", [1, 4, 6, 8], &device);
    let whole = decoder.decode(latents.clone());
    assert_eq!(values(decoder.decode_tiled(latents, tiling)), values(whole));
}

#[test]
fn every_tiling_covers_the_whole_map() {
    let device = Device::flex();
    let config = two_levels();
    let encoder = filled(config.init_encoder(&device), Dtype::F32, &device);
    let decoder = filled(config.init_decoder(&device), Dtype::F32, &device);
    for (tile_px, overlap) in [(2, 0.0), (8, 0.0), (8, 0.5), (6, 0.4), (1, 0.9), (8, 1.0)] {
        let tiling = Tiling { tile_px, overlap };
        let image = decoder.decode_tiled(input("latents", [1, 4, 5, 7], &device), tiling);
        assert_eq!(image.dims(), [1, 3, 10, 14], "{tiling:?}");
        let mean = encoder.encode_tiled(input("image", [1, 3, 11, 13], &device), tiling).mean;
        assert_eq!(mean.dims(), [1, 4, 5, 6], "{tiling:?}");
    }
}

#[test]
fn a_posterior_is_drawn_from_by_its_mean_and_variance() {
    let device = Device::flex();
    let moments = Tensor::<4>::from_floats([[[[1.0, 2.0, 0.0, 99.0]]]], &device);
    let posterior = Posterior::from_moments(moments);
    assert_eq!(values(posterior.mode()), [1.0, 2.0]);
    assert_eq!(values(posterior.log_variance.clone()), [0.0, 20.0]);
    let noise = Tensor::<4>::from_floats([[[[3.0]], [[-1.0]]]], &device);
    assert_close(&values(posterior.sample(noise)), &[4.0, 2.0 - 10.0_f32.exp()], 1e-6);
}

#[test]
fn half_precision_is_computed_in_single_where_it_would_overflow() {
    let device = Device::flex();
    let decoder = filled(two_levels().init_decoder(&device), Dtype::F16, &device);
    let latents = input("latents", [1, 4, 6, 5], &device);
    let image = decoder.decode(latents.cast(DType::F16));
    assert_eq!(image.dtype(), DType::F32);
}

#[test]
fn the_trained_autoencoder_gives_what_diffusers_gives() {
    let test = "the_trained_autoencoder_gives_what_diffusers_gives";
    let Some(config) = mini::config(test, "vae/config.json") else {
        return;
    };
    let device = Device::flex();
    let config = VaeConfig::from_json(&config).unwrap();
    let source = MiniFile::open(test, "vae/diffusion_pytorch_model.safetensors", "").unwrap();
    let golden = Golden::open("vae/mini");
    let encoder = crate::load(config.init_encoder(&device), &source, &device).unwrap();
    let posterior = encoder.encode(input("image", [1, 3, 48, 32], &device).clamp(-1.0, 1.0));
    check(posterior.mean, &golden, "mean");
    check(posterior.log_variance, &golden, "log_variance");
    let decoder = crate::load(config.init_decoder(&device), &source, &device).unwrap();
    let raw_latents = input("latents", [1, 4, 8, 12], &device) / config.latent_scale;
    check(decoder.decode(raw_latents), &golden, "image");
}

#[test]
fn the_halves_have_as_many_parameters_as_published() {
    let device = Device::flex();
    for config in [VaeConfig::sd(), VaeConfig::sdxl()] {
        assert_eq!(config.init_decoder(&device).num_params(), 49_490_199);
        assert_eq!(config.init_encoder(&device).num_params(), 34_163_664);
        assert_eq!(config.factor(), 8);
    }
}

#[test]
fn config_files_of_both_autoencoders_are_read() {
    // the keys of stable-diffusion-v1-5 and stable-diffusion-xl-base-1.0
    let levels = r#""block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
        "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": 4"#;
    let sd15 = format!(r#"{{"_class_name": "AutoencoderKL", {levels}, "sample_size": 512}}"#);
    let sdxl =
        format!(r#"{{{levels}, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": true}}"#);
    // diffusers' default for the key that SD 1.5's file lacks
    let sd15_as_written = VaeConfig { force_upcast: true, ..VaeConfig::sd() };
    assert_eq!(VaeConfig::from_json(&sd15).unwrap(), sd15_as_written);
    assert_eq!(VaeConfig::from_json(&sdxl).unwrap(), VaeConfig::sdxl());
}

#[test]
fn config_files_of_other_autoencoders_are_refused_with_the_key() {
    let cases = [
        (r#"{"shift_factor": 0.1159}"#, "vae/config.json has shift_factor = 0.1159, expected null"),
        (r#"{"act_fn": "gelu"}"#, r#"vae/config.json has act_fn = "gelu", expected silu"#),
        (
            r#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#,
            r#"vae/config.json has down_block_types = ["AttnDownEncoderBlock2D"], expected one plain block per level"#,
        ),
        (
            r#"{"block_out_channels": [48]}"#,
            "vae/config.json has block_out_channels = [48], expected multiples of norm_num_groups",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(VaeConfig::from_json(text).unwrap_err().to_string(), message);
    }
}
