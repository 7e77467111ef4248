//! Which family a file is for, and models that belong to none.

use super::*;
use crate::{DetectError, Hints, Kind, detect};

/// A LoRA of matrices of rank 1 for these modules, with the width of what each takes.
fn lora(rows: &[(&str, usize)]) -> Table {
    let tensors = rows.iter().flat_map(|(module, width)| {
        [
            (format!("{module}.lora_down.weight"), numbered(Dtype::F16, &[1, *width], 0)),
            (format!("{module}.lora_up.weight"), numbered(Dtype::F16, &[8, 1], 0)),
        ]
    });
    Table(tensors.collect())
}

const CROSS: &str = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k";
const LDM_CROSS: &str = "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v";

/// Modules with the width of what each takes.
type Rows = &'static [(&'static str, usize)];

/// Modules, and the family they tell.
const CASES: [(Rows, Option<&str>); 9] = [
    (&[(CROSS, 768)], Some("sd15")),
    (&[(CROSS, 1024)], Some("sd21")),
    (&[(CROSS, 2048)], Some("sdxl_base")),
    (&[(LDM_CROSS, 2048), ("lora_te2_text_model_encoder_layers_31_mlp_fc1", 1280)], Some("sdxl_base")),
    (&[(LDM_CROSS, 1280)], Some("sdxl_refiner")),
    (&[(CROSS, 192)], Some("custom")),
    // only SDXL has a tenth block, only Stable Diffusion 2 a layer 22 of its first text encoder
    (&[("lora_unet_middle_block_1_transformer_blocks_9_attn1_to_q", 1280)], Some("sdxl_base")),
    (&[("lora_te_text_model_encoder_layers_22_mlp_fc1", 1024)], Some("sd21")),
    // a part that several have
    (&[("lora_te_text_model_encoder_layers_0_mlp_fc1", 768)], None),
];

#[test]
fn the_family_of_a_lora_is_told_by_the_width_of_its_text_or_else_by_its_modules() {
    for (rows, family) in CASES {
        let file = lora(rows);
        let read = Lora::read(&file, BTreeMap::new(), None, None).unwrap();
        assert_eq!(read.family, family, "{rows:?}");
        assert_eq!(read.modules.len(), rows.len());
        match detect(&file, Hints::default()) {
            Err(DetectError::Foreign { kind: Kind::Lora, family: found, .. }) => {
                assert_eq!(found, family, "{rows:?}")
            }
            other => panic!("{rows:?}: {other:?}"),
        }
    }
}

#[test]
fn a_model_of_other_measures_brings_its_own_modules() {
    let names =
        ["up_blocks.0.resnets.4.conv1.weight", "up_blocks.0.resnets.4.conv1.bias", "tower.to_mix.weight"];
    let names = names.map(str::to_owned);
    let modules = Modules::of_networks([(Part::Unet, names.as_slice())]);
    let file = lora(&[("lora_unet_tower_to_mix", 3)]);
    let read = read(&file, &modules).unwrap();
    assert_eq!(read.modules.keys().map(ToString::to_string).collect::<Vec<_>>(), ["unet.tower.to_mix"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    read.save_kohya(&path, &modules).unwrap();
    assert!(SafetensorsFile::open(&path).unwrap().meta("lora_unet_tower_to_mix.alpha").is_some());
    let error = read.save_kohya(&path, &super::modules("ldm_sd1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unet.tower.to_mix cannot be written for kohya: the model has no such module"
    );
}

#[test]
fn a_folder_that_peft_wrote_gives_its_scales() {
    let path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1";
    let file = |name: &str, letter: &str, shape: &[usize]| {
        (format!("base_model.model.{path}.{name}.lora_{letter}.weight"), numbered(Dtype::F32, shape, 0))
    };
    let rows = [
        file("to_q", "A", &[4, 8]),
        file("to_q", "B", &[8, 4]),
        file("to_k", "A", &[2, 8]),
        file("to_k", "B", &[8, 2]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("adapter_model.safetensors");
    crate::write_safetensors(&weights, &BTreeMap::new(), rows).unwrap();
    let error = Lora::open(&weights, None).unwrap_err();
    assert!(matches!(error, LoraError::ConfigFile { .. }), "{error}");

    let save = |config: Value| {
        std::fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        Lora::open(&weights, None)
    };
    let config =
        json!({"r": 4, "lora_alpha": 16, "alpha_pattern": {"attn1.to_[kv]": 3}, "rank_pattern": {"to_k": 2}});
    let lora = save(config).unwrap();
    let alphas: Vec<f32> = lora.modules.values().map(|module| module.alpha).collect();
    assert_eq!(alphas, [3.0, 16.0]);
    let cases = [
        (
            json!({"use_rslora": true}),
            "\"use_rslora\" of the adapter's configuration is true, expected false",
        ),
        (
            json!({"lora_alpha": "x"}),
            "\"lora_alpha\" of the adapter's configuration is \"x\", expected a finite number",
        ),
        (
            json!({"alpha_pattern": {"(": 1}}),
            "\"alpha_pattern\" of the adapter's configuration is \"(\", expected a module's name or pattern",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(save(config).unwrap_err().to_string(), expected);
    }
}
