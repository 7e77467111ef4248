//! Against `reference/control.py`.

use tronie_tensor::{DType, TensorData};
use tronie_testing::{Golden, assert_close, repository, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::synthetic::{SyntheticFile, filled};
use crate::{Added, Conditioning};

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn input<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    tensor(synthetic::input(name, &shape), shape)
}

fn unet(case: &str) -> UnetConfig {
    let path = repository().join(format!("testdata/unet/{case}.config.json"));
    UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The arrangement of diffusers' `full_adapter`.
fn full(side: usize, channels: usize, n_resnets: usize) -> T2iAdapterConfig {
    let stage = |c_in, c, halves| Stage { c_in, c, n_resnets, c_inner: None, halves };
    let stages = vec![stage(16, 16, false), stage(16, 32, true), stage(32, 32, true)];
    T2iAdapterConfig { shuffle: Shuffle { side, channels }, is_light: false, stages }
}

fn xl() -> T2iAdapterConfig {
    let stage = |c_in, c, halves| Stage { c_in, c, n_resnets: 2, c_inner: None, halves };
    let stages = vec![stage(16, 16, false), stage(16, 32, false), stage(32, 32, true), stage(32, 32, false)];
    T2iAdapterConfig { stages, ..full(16, 3, 2) }
}

fn light() -> T2iAdapterConfig {
    let stage = |c_in, c, halves| Stage { c_in, c, n_resnets: 3, c_inner: Some(c / 4), halves };
    let stages = vec![stage(192, 16, false), stage(16, 32, true), stage(32, 32, true)];
    T2iAdapterConfig { is_light: true, stages, ..full(8, 3, 3) }
}

fn check(case: &str, base: &str, config: &T2iAdapterConfig) {
    let golden = Golden::open(&format!("control/adapter_{case}"));
    let device = Device::flex();
    let network = config.init(&device);
    let file = SyntheticFile::of(&network, Dtype::F32);
    assert_eq!(T2iAdapterConfig::of(&file).unwrap(), *config, "{case}: the tensors tell the arrangement");
    config.check(&unet(base), 8).unwrap();
    let [_, _, h, w]: [usize; 4] = golden.shape("output").try_into().unwrap();
    let picture = input("picture", [1, config.picture_channels(), 8 * h, 8 * w]) * 0.25 + 0.5;
    let time_ids = golden.names().contains(&"time_ids").then(|| golden.f32("time_ids"));
    let conditioning = Conditioning {
        added: time_ids.map(|ids| Added { pooled: input("pooled", [1, 20]), time_ids: tensor(ids, [1, 6]) }),
        adapter: Some(filled(network, Dtype::F32, &device).forward(picture)),
        ..Conditioning::new(input("context", [1, 5, 24]))
    };
    let unet = filled(unet(base).init(&device).unwrap(), Dtype::F32, &device);
    let timestep = tensor(golden.f32("timestep"), [1]);
    let output = unet.forward(input("latents", [1, 4, h, w]), timestep, &conditioning);
    let output: Vec<f32> = output.cast(DType::F32).into_data().try_to_vec().unwrap();
    assert_close(&output, &golden.f32("output"), 1e-5);
}

#[test]
fn a_unet_with_an_adapter_equals_diffusers_in_every_arrangement() {
    check("full", "sd15", &full(8, 3, 2));
    check("gray", "sd15", &full(8, 1, 1));
    check("light", "sd15", &light());
    check("xl", "sdxl", &xl());
    check("odd_size", "sd15", &full(8, 3, 1));
}

#[test]
fn an_adapter_for_another_unet_is_refused() {
    let says = "it has maps (channels, pixels of the picture for one of theirs) ";
    for (config, base) in [(full(8, 3, 2), "sdxl"), (xl(), "sd15"), (full(8, 3, 2), "control")] {
        let error = config.check(&unet(base), 8).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}
