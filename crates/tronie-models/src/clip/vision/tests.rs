//! Against `reference/ip_adapter.py`.

use tronie_image::Pixels;
use tronie_tensor::TensorData;
use tronie_testing::{Golden, assert_close, synthetic};
use tronie_weights::Dtype;

use super::super::ClipActivation;
use super::*;
use crate::synthetic::{SyntheticFile, filled};

const SIDE: usize = 32;

fn small(activation: ClipActivation) -> ClipVisionConfig {
    ClipVisionConfig {
        image_px: SIDE,
        patch_px: 8,
        d: 24,
        d_mlp: 40,
        n_layers: 3,
        n_heads: 4,
        activation,
        layer_norm_epsilon: 1e-5,
        d_projection: 20,
    }
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

#[test]
fn every_hidden_state_and_vector_is_the_references() {
    let device = Device::flex();
    let golden = Golden::open("clip/vision");
    let shape = [2, 3, SIDE, SIDE];
    let pixels = Tensor::<4>::from_data(TensorData::new(synthetic::input("pixels", &shape), shape), &device);
    for (name, activation) in [("quick_gelu", ClipActivation::QuickGelu), ("gelu", ClipActivation::Gelu)] {
        let tower = filled(small(activation).init(&device), Dtype::F32, &device);
        assert_close(
            &values(tower.embedding(pixels.clone())),
            &golden.f32(&format!("{name}.embedding")),
            1e-4,
        );
        for from_end in 1..=4 {
            let hidden = values(tower.hidden(pixels.clone(), from_end));
            assert_close(&hidden, &golden.f32(&format!("{name}.hidden_{from_end}")), 1e-4);
        }
    }
}

/// The picture of the script's `formula`.
fn formula(w: u32, h: u32) -> Pixels {
    let color = |x: u32, y: u32| [4 * x, 7 * y, x * y / 16].map(|value| u8::try_from(value % 256).unwrap());
    let rgb = (0..h).flat_map(|y| (0..w).flat_map(move |x| color(x, y))).collect();
    Pixels::new(w, h, rgb).unwrap()
}

#[test]
fn pixel_values_are_those_of_the_processor_to_one_level() {
    let golden = Golden::open("clip/vision_pixels");
    for (w, h) in [(97, 61), (50, 131), (32, 32), (20, 33)] {
        let found = small(ClipActivation::Gelu).pixel_values(&formula(w, h), &Device::flex()).unwrap();
        let expected = golden.f32(&format!("{w}x{h}"));
        let far = values(found).iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 0.016, "{w}x{h}: {far}, one level of 255 is 0.015");
    }
}

#[test]
fn a_published_tower_is_known_by_its_tensors() {
    let l14 = ClipVisionConfig {
        image_px: 224,
        patch_px: 14,
        d: 1024,
        d_mlp: 4096,
        n_layers: 24,
        n_heads: 16,
        activation: ClipActivation::QuickGelu,
        layer_norm_epsilon: 1e-5,
        d_projection: 768,
    };
    let file = SyntheticFile::of(&l14.init(&Device::flex()), Dtype::F16);
    assert_eq!(ClipVisionConfig::of(&file), Some(l14));
    let unknown = SyntheticFile::of(&small(ClipActivation::Gelu).init(&Device::flex()), Dtype::F16);
    assert_eq!(ClipVisionConfig::of(&unknown), None);
}

#[test]
fn a_configuration_that_cannot_be_honoured_is_refused_by_its_key() {
    let wrong = |text: &str| ClipVisionConfig::from_json(text).unwrap_err().to_string();
    assert!(wrong(r#"{"model_type": "clip_text_model"}"#).contains("model_type"));
    assert!(wrong(r#"{"model_type": "clip_vision_model", "patch_size": 15}"#).contains("patch_size = 15"));
    assert!(wrong(r#"{"model_type": "clip_vision_model", "hidden_act": "relu"}"#).contains("hidden_act"));
}
