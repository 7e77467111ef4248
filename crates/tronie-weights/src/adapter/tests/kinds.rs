//! Kinds of adapters beside LoRA, and what their files leave open.

use super::*;

/// A file of tensors for one module, in a dialect's spelling.
fn module_of(prefix: &str, rows: &[(&str, &[usize])]) -> Table {
    let rows =
        rows.iter().map(|(ending, shape)| (format!("{prefix}{ending}"), numbered(Dtype::F32, shape, 1)));
    Table(rows.collect())
}

fn only(lora: Lora) -> LoraModule {
    assert_eq!(lora.modules.len(), 1);
    lora.modules.into_values().next().unwrap()
}

const CROSS: &str = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k";

/// Tensors, the kind's name, its rank and scale, and the shape it has.
type Case =
    (&'static [(&'static str, &'static [usize])], &'static str, Option<usize>, f32, Option<[usize; 4]>);

const CASES: [Case; 8] = [
    (
        &[
            (".hada_w1_a", &[8, 2]),
            (".hada_w1_b", &[2, 768]),
            (".hada_w2_a", &[8, 2]),
            (".hada_w2_b", &[2, 768]),
            (".alpha", &[]),
        ],
        "LoHa",
        Some(2),
        0.5,
        Some([8, 768, 1, 1]),
    ),
    (
        &[(".lokr_w1", &[2, 4]), (".lokr_w2_a", &[4, 2]), (".lokr_w2_b", &[2, 192]), (".alpha", &[])],
        "LoKr",
        Some(2),
        0.5,
        Some([8, 768, 1, 1]),
    ),
    // what is stored as alpha counts only where there is a rank
    (
        &[(".lokr_w1", &[2, 4]), (".lokr_w2", &[4, 192]), (".alpha", &[])],
        "LoKr",
        None,
        1.0,
        Some([8, 768, 1, 1]),
    ),
    (&[(".diff", &[8, 768]), (".diff_b", &[8])], "full difference", None, 1.0, Some([8, 768, 1, 1])),
    (&[(".diff_b", &[8])], "full difference", None, 1.0, None),
    (&[(".weight", &[8]), (".on_input", &[])], "(IA)3", None, 1.0, None),
    (
        &[(".lora_down.weight", &[4, 768]), (".lora_up.weight", &[8, 4]), (".dora_scale", &[1, 768])],
        "DoRA",
        Some(4),
        1.0,
        Some([8, 768, 1, 1]),
    ),
    (
        &[(".lora_down.weight", &[4, 768, 1, 1]), (".lora_up.weight", &[8, 4, 1, 1])],
        "LoCon",
        Some(4),
        1.0,
        Some([8, 768, 1, 1]),
    ),
];

#[test]
fn every_kind_is_told_by_its_tensors_and_its_family_by_its_shape() {
    for (rows, kind, rank, scale, shape) in CASES {
        let lora = Lora::read(&module_of(CROSS, rows), BTreeMap::new(), None, None).unwrap();
        assert_eq!(lora.family, shape.map(|_| "sd15"), "{kind}");
        assert_eq!(lora.kinds(), BTreeSet::from([kind]));
        let module = only(lora);
        assert_eq!((module.rank(), module.scale()), (rank, scale), "{kind}");
        assert_eq!(module.weight.as_ref().and_then(WeightChange::shape), shape, "{kind}");
    }
}

#[test]
fn dora_and_ia3_tell_inputs_from_outputs_by_shape_flag_or_configuration() {
    let modules = modules("ldm_sd1");
    let pair: [(&str, &[usize]); 2] = [(".lora_A.weight", &[2, 8]), (".lora_B.weight", &[8, 2])];
    let unet = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    for (ending, shape, on_input) in [
        (".dora_scale", &[1, 8][..], true),
        (".dora_scale", &[8, 1], false),
        (".lora_magnitude_vector", &[8], false),
        (".lora_magnitude_vector.weight", &[1, 8, 1, 1], false),
    ] {
        let rows = [pair[0], pair[1], (ending, shape)];
        let module = only(read(&module_of(unet, &rows), &modules).unwrap());
        assert_eq!(module.magnitude.unwrap().on_input, on_input, "{ending} {shape:?}");
    }
    let conv = "mid_block.resnets.0.conv1";
    let feedforward =
        [json!([".conv1"]), json!(["conv1"]), json!(r"mid_.*\.conv1"), json!(["conv2"]), Value::Null];
    for (config, on_input) in feedforward.into_iter().zip([true, true, true, false, false]) {
        let file = module_of(&format!("base_model.model.{conv}"), &[(".ia3_l", &[1, 8, 1, 1])]);
        let config = json!({ "feedforward_modules": config });
        let lora = Lora::read(&file, BTreeMap::new(), Some(&config), Some(&modules)).unwrap();
        let Some(WeightChange::Scales(scales)) = only(lora).weight else { panic!("expected scales") };
        assert_eq!((scales.on_input, scales.are_factors), (on_input, true), "{config}");
    }
}

#[test]
fn a_kronecker_product_of_whole_factors_takes_pefts_scale() {
    let file = module_of(
        "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
        &[(".lokr_w1", &[2, 4]), (".lokr_w2", &[4, 2])],
    );
    let config = json!({ "r": 4, "alpha": 8, "rank_pattern": { "to_q": 2 } });
    let lora = Lora::read(&file, BTreeMap::new(), Some(&config), Some(&modules("ldm_sd1"))).unwrap();
    assert_eq!(only(lora).scale(), 4.0);
}

#[test]
fn only_lora_and_locon_are_written() {
    let modules = modules("ldm_sd1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let lora = read(&module_of(CROSS, CASES[0].0), &modules).unwrap();
    for error in [lora.save_kohya(&path, &modules).unwrap_err(), lora.save_peft(&path).unwrap_err()] {
        assert!(error.to_string().ends_with("only LoRA and LoCon are written"), "{error}");
    }
}
