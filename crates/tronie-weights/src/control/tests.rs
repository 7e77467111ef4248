use std::collections::BTreeMap;

use tronie_base::Faulty as _;

use super::*;
use crate::layout::testing::numbered;
use crate::layout::tests::{front_coded, shape};
use crate::{Dtype, RawTensor, TensorMeta, write_safetensors};

/// (name in the original file, name in diffusers, shape)
fn controlnet() -> Vec<(String, String, Vec<usize>)> {
    let rows = front_coded("control/names.tsv").into_iter();
    rows.map(|fields| (fields[0].clone(), fields[2].clone(), shape(&fields[3]))).collect()
}

#[test]
fn every_tensor_of_an_original_controlnet_goes_where_diffusers_puts_it() {
    let rows = controlnet();
    assert_eq!(rows.len(), 340);
    for prefix in ["control_model.", ""] {
        let original = |name: &str| format!("{prefix}{}", name.strip_prefix("control_model.").unwrap());
        let names: Vec<String> = rows.iter().map(|row| original(&row.0)).collect();
        let recipes = controlnet_to_diffusers(&names);
        assert_eq!(recipes.len(), rows.len());
        for (from, to, _) in &rows {
            assert_eq!(recipes[to].sources, [original(from)]);
        }
    }
}

#[test]
fn every_tensor_of_an_original_adapter_goes_where_diffusers_puts_it() {
    // (original, diffusers) of diffusers' convert_original_t2i_adapter.py
    let full = [
        ("conv_in.bias", "adapter.conv_in.bias"),
        ("body.0.block1.weight", "adapter.body.0.resnets.0.block1.weight"),
        ("body.1.block2.bias", "adapter.body.0.resnets.1.block2.bias"),
        ("body.2.in_conv.weight", "adapter.body.1.in_conv.weight"),
        ("body.4.in_conv.bias", "adapter.body.2.in_conv.bias"),
        ("body.7.block2.weight", "adapter.body.3.resnets.1.block2.weight"),
    ];
    let light = [
        ("body.0.in_conv.weight", "adapter.body.0.in_conv.weight"),
        ("body.0.body.3.block1.bias", "adapter.body.0.resnets.3.block1.bias"),
        ("body.3.body.2.block2.weight", "adapter.body.3.resnets.2.block2.weight"),
        ("body.3.out_conv.bias", "adapter.body.3.out_conv.bias"),
    ];
    let mut names: Vec<String> = (0..8).map(|block| format!("body.{block}.block1.weight")).collect();
    names.extend(full.map(|row| row.0.to_owned()));
    let recipes = adapter_to_diffusers(&names);
    for (from, to) in full {
        assert_eq!(recipes[to].sources, [from]);
    }
    let mut names: Vec<String> = (0..4).map(|block| format!("body.{block}.out_conv.weight")).collect();
    names.extend(light.map(|row| row.0.to_owned()));
    let recipes = adapter_to_diffusers(&names);
    for (from, to) in light {
        assert_eq!(recipes[to].sources, [from]);
    }
}

/// A file with these tensors, of one number each.
fn file(path: &Path, names: &[&str]) {
    let rows = names.iter().map(|name| ((*name).to_owned(), numbered(Dtype::F32, &[1], 0)));
    let rows: BTreeMap<String, RawTensor> = rows.collect();
    write_safetensors(path, &BTreeMap::new(), rows).unwrap();
}

#[test]
fn a_control_network_is_opened_from_a_file_and_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let single = folder.path().join("control_v11e_sd15_shuffle.safetensors");
    file(&single, &["control_model.input_hint_block.0.weight", "control_model.zero_convs.0.0.weight"]);
    let network = ControlFile::open(&single).unwrap();
    assert_eq!((network.kind, network.pools, network.is_bgr), (ControlKind::ControlNet, true, false));
    let meta = network.tensors.meta("controlnet_down_blocks.0.weight");
    assert_eq!(meta, Some(TensorMeta { dtype: Dtype::F32, shape: vec![1] }));

    let diffusers = folder.path().join("canny");
    std::fs::create_dir(&diffusers).unwrap();
    let weights = diffusers.join("diffusion_pytorch_model.safetensors");
    file(&weights, &["adapter.body.0.resnets.0.block1.weight"]);
    for path in [&diffusers, &weights] {
        assert_eq!(ControlFile::open(path).unwrap().kind, ControlKind::T2iAdapter);
    }
    let config = r#"{"controlnet_conditioning_channel_order": "bgr", "global_pool_conditions": true}"#;
    std::fs::write(diffusers.join("config.json"), config).unwrap();
    for path in [&diffusers, &weights] {
        let network = ControlFile::open(path).unwrap();
        assert!(network.pools && network.is_bgr);
    }
}

#[test]
fn the_changes_of_a_control_lora_are_named_as_the_weights_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control-lora-canny-rank256.safetensors");
    let names = [
        "lora_controlnet",
        "input_hint_block.0.weight",
        "input_blocks.1.0.in_layers.0.weight",
        "input_blocks.1.0.in_layers.2.up",
        "input_blocks.1.0.in_layers.2.down",
        "input_blocks.1.0.in_layers.2.bias",
    ];
    file(&path, &names);
    let network = ControlFile::open(&path).unwrap();
    assert_eq!(network.kind, ControlKind::ControlLora);
    let expected = [
        "controlnet_cond_embedding.conv_in.weight",
        "down_blocks.0.resnets.0.conv1.bias",
        "down_blocks.0.resnets.0.conv1.down",
        "down_blocks.0.resnets.0.conv1.up",
        "down_blocks.0.resnets.0.norm1.weight",
    ];
    assert_eq!(network.tensors.names(), expected);
}

#[test]
fn what_is_no_control_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    file(&path, &["conv_in.weight"]);
    let error = ControlFile::open(&path).err().unwrap();
    assert!(error.to_string().contains("x.safetensors is something else"), "{error}");
    assert_eq!(error.fault(), Fault::Input);
    let missing = ControlFile::open(&folder.path().join("y.safetensors")).err().unwrap();
    assert!(missing.to_string().contains("y.safetensors"), "{missing}");
}
