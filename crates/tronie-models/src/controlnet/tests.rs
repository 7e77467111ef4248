//! Against `reference/control.py`.

use tronie_tensor::{DType, TensorData};
use tronie_testing::{Golden, assert_close, repository, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::synthetic::SyntheticFile;
use crate::{Added, PerBlock, UnetConfig};

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn input<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    tensor(synthetic::input(name, &shape), shape)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(DType::F32).into_data().try_to_vec().unwrap()
}

fn unet(case: &str) -> UnetConfig {
    let path = repository().join(format!("testdata/unet/{case}.config.json"));
    UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What `reference/control.py` builds beside a UNet.
fn beside(trunk: UnetConfig) -> ControlNetConfig {
    let trunk = UnetConfig { reverse_transformer_layers_per_block: None, ..trunk };
    ControlNetConfig {
        trunk,
        hint_channels: 3,
        hint_widths: vec![4, 8, 8, 16],
        pools: false,
        is_bgr: false,
        union: None,
    }
}

fn filled(config: &ControlNetConfig) -> ControlNet {
    crate::synthetic::filled(config.init(&Device::flex()).unwrap(), Dtype::F32, &Device::flex())
}

/// The network's answer to the inputs of a case.
fn answer(case: &str, config: &ControlNetConfig) -> ControlResiduals {
    let golden = Golden::open(&format!("control/{case}"));
    let golden_tensor = |name: &str| golden.names().contains(&name).then(|| golden.f32(name));
    let PerBlock::One(d_context) = config.trunk.cross_attention_dim else { panic!("one width") };
    let conditioning = Conditioning {
        added: golden_tensor("time_ids")
            .map(|ids| Added { pooled: input("pooled", [1, 20]), time_ids: tensor(ids, [1, 6]) }),
        ..Conditioning::new(input("context", [1, 5, d_context]))
    };
    let network = filled(config);
    let hint = network.look(input("picture", [1, 3, 64, 64]) * 0.25 + 0.5);
    let timestep = tensor(golden.f32("timestep"), [1]);
    network.forward(input("latents", [1, 4, 8, 8]), timestep, &conditioning, &hint)
}

fn check(case: &str, config: &ControlNetConfig) {
    let golden = Golden::open(&format!("control/{case}"));
    let ControlResiduals { down, mid } = answer(case, config);
    let n_golden = golden.names().iter().filter(|name| name.starts_with("down")).count();
    assert_eq!(down.len(), n_golden);
    for (index, map) in down.into_iter().enumerate() {
        let name = format!("down.{index}");
        assert_eq!(map.dims().to_vec(), golden.shape(&name));
        assert_close(&values(map), &golden.f32(&name), 1e-5);
    }
    assert_close(&values(mid), &golden.f32("mid"), 1e-5);
}

#[test]
fn maps_equal_those_of_diffusers_in_every_family() {
    for case in ["sd15", "sd2", "sdxl"] {
        check(case, &beside(unet(case)));
    }
}

#[test]
fn what_pools_its_maps_and_what_takes_blue_first_equal_diffusers() {
    let small = beside(unet("control"));
    check("pooled", &ControlNetConfig { pools: true, ..small.clone() });
    check("bgr", &ControlNetConfig { is_bgr: true, ..small });
}

#[test]
fn an_architecture_is_read_off_its_tensors() {
    for case in ["sd15", "sd2", "sdxl", "control"] {
        let base = unet(case);
        let network = beside(base.clone()).init(&Device::flex()).unwrap();
        let file = SyntheticFile::of(&network, Dtype::F32);
        let found = ControlNetConfig::of(&base, &file).unwrap();
        let again = found.init(&Device::flex()).unwrap();
        assert_eq!(crate::parameter_shapes(&again), crate::parameter_shapes(&network), "{case}");
        assert_eq!((found.factor(), found.hint_channels), (8, 3));
    }
}

#[test]
fn a_network_without_some_of_the_transformers_is_built_without_them() {
    use crate::{DownBlockType::*, MidBlockType};
    let base = unet("sdxl");
    let smaller = UnetConfig {
        down_block_types: vec![DownBlock2D, CrossAttnDownBlock2D, DownBlock2D],
        transformer_layers_per_block: PerBlock::Each([0, 1, 2].map(PerBlock::One).to_vec()),
        ..base.clone()
    };
    let none = UnetConfig {
        down_block_types: vec![DownBlock2D; 3],
        mid_block_type: Some(MidBlockType::UNetMidBlock2D),
        ..base.clone()
    };
    for trunk in [smaller, none] {
        let network = beside(trunk).init(&Device::flex()).unwrap();
        let file = SyntheticFile::of(&network, Dtype::F32);
        let again = ControlNetConfig::of(&base, &file).unwrap().init(&Device::flex()).unwrap();
        assert_eq!(crate::parameter_shapes(&again), crate::parameter_shapes(&network));
    }
}

#[test]
fn a_network_for_another_unet_is_refused_with_both_numbers() {
    let network = beside(unet("sd15")).init(&Device::flex()).unwrap();
    let file = SyntheticFile::of(&network, Dtype::F32);
    let wider = UnetConfig { cross_attention_dim: PerBlock::One(40), ..unet("sd15") };
    let error = ControlNetConfig::of(&wider, &file).unwrap_err();
    assert_eq!(error.to_string(), "it has text of width [24], the model has [40]");
    let error = ControlNetConfig::of(&unet("control"), &file).unwrap_err();
    assert_eq!(error.to_string(), "it has blocks of these widths [16, 32, 32], the model has [16, 32]");
}

#[test]
fn maps_are_weighed_one_by_one_and_further_rows_get_nothing() {
    let maps = answer("sd15", &beside(unet("sd15")));
    let weights: Vec<f64> = (0..10).map(f64::from).collect();
    let weighed = maps.clone().scaled(&weights).padded(2);
    for (index, (weighed, map)) in weighed.down.iter().zip(&maps.down).enumerate() {
        let rows: Vec<_> = weighed.clone().split(1, 0);
        assert_eq!(values(rows[0].clone()), values(map.clone() * weights[index]));
        assert!(values(rows[1].clone()).iter().all(|value| *value == 0.0));
    }
    assert_eq!(values(weighed.mid.narrow(0, 0, 1)), values(maps.mid * 9.0));
}
