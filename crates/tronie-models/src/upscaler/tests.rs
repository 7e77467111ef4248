//! Against `reference/upscaler.py`.

use tronie_tensor::{DType, TensorData};
use tronie_testing::{Golden, assert_close, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::synthetic::SyntheticFile;

fn dense(n_doublings: usize, fold: usize) -> UpscalerConfig {
    UpscalerConfig::Dense { c: 8, c_growth: 32, n_blocks: 2, n_doublings, fold }
}

/// What a network of this architecture is made of.
fn file_of(config: &UpscalerConfig) -> SyntheticFile {
    let network = config.init(&Device::flex()).network;
    SyntheticFile::of(&network, Dtype::F32)
}

fn check(case: &str, config: &UpscalerConfig) {
    let (golden, device) = (Golden::open(&format!("upscaler/{case}")), Device::flex());
    let file = file_of(config);
    assert_eq!(UpscalerConfig::of(&file).unwrap(), *config, "{case}: the tensors tell the arrangement");
    let network = config.init(&device).load(&file, &device).unwrap();
    let shape = [1, 3, 12, 8];
    let image = Tensor::<4>::from_data(TensorData::new(synthetic::input("image", &shape), shape), &device);
    let output = network.forward(image * 0.25 + 0.5);
    assert_eq!(output.dims().to_vec(), golden.shape("output"), "{case}");
    assert_eq!(output.dims()[2], 12 * config.scale());
    let output: Vec<f32> = output.cast(DType::F32).into_data().try_to_vec().unwrap();
    assert_close(&output, &golden.f32("output"), 1e-5);
}

#[test]
fn esrgan_enlarges_as_the_reference() {
    check("esrgan_x4", &dense(2, 1));
    check("esrgan_x2", &dense(1, 1));
    check("esrgan_x1", &dense(0, 1));
}

#[test]
fn real_esrgan_folds_pixels_for_smaller_factors() {
    check("real_esrgan_x2", &dense(2, 2));
    assert_eq!((dense(2, 2).scale(), dense(2, 4).scale(), dense(2, 2).multiple_px()), (2, 1, 2));
}

#[test]
fn the_compact_network_enlarges_as_the_reference() {
    check("compact_x4", &UpscalerConfig::Compact { c: 8, n_convs: 3, scale: 4 });
    check("compact_x2", &UpscalerConfig::Compact { c: 8, n_convs: 1, scale: 2 });
}

#[test]
fn what_is_no_upscaler_is_told_by_what_it_lacks() {
    let nothing = SyntheticFile::of(&Conv2d::same_3x3(3, 3, &Device::flex()), Dtype::F32);
    let error = UpscalerConfig::of(&nothing).unwrap_err();
    assert_eq!(error.to_string(), "it has no tensor \"body.0.weight\"");
}
