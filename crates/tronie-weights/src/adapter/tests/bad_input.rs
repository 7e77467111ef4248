//! Files that must be refused, and what is said about each.

use tronie_base::{Fault, Faulty as _};

use super::*;

const MODULE: &str = "lora_unet_mid_block_resnets_0_conv1";
const TEXT: &str = "base_model.model.text_model.encoder.layers.0.mlp.fc1";

fn refusal(rows: &[(&str, Dtype, &[usize])]) -> LoraError {
    let tensors = rows.iter().map(|(name, dtype, shape)| {
        let bytes = vec![0; dtype.size_bytes() * shape.iter().product::<usize>()];
        let meta = crate::TensorMeta { dtype: *dtype, shape: shape.to_vec() };
        (name.replace("MODULE", MODULE).replace("TEXT", TEXT), RawTensor { meta, bytes })
    });
    read(&Table(tensors.collect()), &modules("ldm_sdxl_base")).unwrap_err()
}

type Rows = &'static [(&'static str, Dtype, &'static [usize])];

/// Tensors of a file, and a piece of what is said.
const CASES: [(Rows, &str); 22] = [
    (&[], "the file holds no tensors, expected those of a LoRA"),
    (
        &[("MODULE.alpha", Dtype::F32, &[])],
        "unet.mid_block.resnets.0.conv1 has [\"lora_unet_mid_block_resnets_0_conv1.alpha\"] and no lora_down.weight",
    ),
    (&[("MODULE.lora_down.weight", Dtype::F32, &[2, 4])], "and no lora_up.weight"),
    (&[("MODULE.lora_up.weight", Dtype::F32, &[4, 2])], "and no lora_down.weight"),
    (
        &[("MODULE.lora_down.weight", Dtype::F32, &[2, 4]), ("MODULE.lora_up.weight", Dtype::F32, &[4, 3])],
        "the LoRA of unet.mid_block.resnets.0.conv1 has factors [[2, 4], [4, 3]], which do not multiply",
    ),
    (
        &[("MODULE.lora_down.weight", Dtype::F32, &[0, 4]), ("MODULE.lora_up.weight", Dtype::F32, &[4, 0])],
        "factors [[0, 4], [4, 0]], which do not multiply: they must share a rank of at least 1",
    ),
    (
        &[("MODULE.lora_down.weight", Dtype::F32, &[2]), ("MODULE.lora_up.weight", Dtype::F32, &[4, 2])],
        "factors [[2], [4, 2]]",
    ),
    (
        &[
            ("MODULE.lora_down.weight", Dtype::F32, &[2, 4, 3, 3]),
            ("MODULE.lora_up.weight", Dtype::F32, &[4, 2, 3, 3]),
        ],
        "[4, 2, 3, 3]], which do not multiply",
    ),
    (
        &[
            ("MODULE.lora_down.weight", Dtype::F32, &[2, 4, 1, 1]),
            ("MODULE.lora_mid.weight", Dtype::F32, &[2, 3, 3, 3]),
            ("MODULE.lora_up.weight", Dtype::F32, &[4, 2, 1, 1]),
        ],
        "factors [[2, 4, 1, 1], [2, 3, 3, 3], [4, 2, 1, 1]]",
    ),
    (
        &[("MODULE.lora_down.weight", Dtype::I8, &[2, 4]), ("MODULE.lora_up.weight", Dtype::I8, &[4, 2])],
        "has I8 numbers, expected F64, F32, F16 or BF16",
    ),
    (
        &[
            ("MODULE.lora_down.weight", Dtype::F32, &[2, 4]),
            ("MODULE.lora_up.weight", Dtype::F32, &[4, 2]),
            ("MODULE.alpha", Dtype::F32, &[2]),
        ],
        "alpha of unet.mid_block.resnets.0.conv1 is F32 [2] or not finite",
    ),
    (
        &[
            ("MODULE.lora_down.weight", Dtype::F32, &[2, 4]),
            ("lora_unet_middle_block_0_in_layers_2.lora_down.weight", Dtype::F32, &[2, 4]),
        ],
        "are both for unet.mid_block.resnets.0.conv1",
    ),
    (
        &[("lora_xyz_mid_block.lora_down.weight", Dtype::F32, &[2, 4]), ("position", Dtype::F32, &[1])],
        "2 of 2 tensors belong to no module of the model, first [\"lora_xyz_mid_block.lora_down.weight\", \"position\"]",
    ),
    (&[("lora_unet_double_blocks_0_img.alpha", Dtype::F32, &[])], "1 of 1 tensors belong to no module"),
    (&[("TEXT.lora_A.weight", Dtype::F32, &[2, 4])], "could belong to text_encoder.text_model"),
    (&[("MODULE.hada_w1_a", Dtype::F32, &[2])], "and no hada_w1_b"),
    (&[("MODULE.lokr_w1", Dtype::F32, &[2, 2])], "and no lokr_w2_b"),
    (&[("MODULE.dora_scale", Dtype::F32, &[2])], "and no lora_down.weight"),
    (&[("MODULE.weight", Dtype::F32, &[2])], "and no on_input"),
    (
        &[("MODULE.diff", Dtype::F32, &[2, 2]), ("MODULE.lora_down.weight", Dtype::F32, &[2, 4])],
        "has tensors of a LoRA and of a full difference",
    ),
    (
        &[
            ("MODULE.hada_w1_a", Dtype::F32, &[4, 2]),
            ("MODULE.hada_w1_b", Dtype::F32, &[2, 4]),
            ("MODULE.hada_w2_a", Dtype::F32, &[4, 2]),
            ("MODULE.hada_w2_b", Dtype::F32, &[2, 5]),
        ],
        "the LoHa of unet.mid_block.resnets.0.conv1 has factors [[2, 4], [4, 2], [2, 5], [4, 2]]",
    ),
    (&[("MODULE.oft_blocks", Dtype::F32, &[2])], "this adapter is of the kind OFT"),
];

#[test]
fn what_is_wrong_with_a_file_is_said_by_name() {
    for (rows, expected) in CASES {
        let error = refusal(rows);
        assert!(error.to_string().contains(expected), "{error}\nexpected {expected}");
        assert_eq!(error.fault(), Fault::Input);
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_message_lists_a_few_names_and_counts_the_rest() {
    let names: Vec<String> = (0..9).map(|index| format!("layer{index}.lora_down.weight")).collect();
    let rows: Vec<(&str, Dtype, &[usize])> =
        names.iter().map(|name| (name.as_str(), Dtype::F32, &[1][..])).collect();
    let error = refusal(&rows);
    assert!(error.to_string().starts_with("9 of 9 tensors"), "{error}");
    assert!(matches!(error, LoraError::Unmatched { first, .. } if first.len() == 3));
}

#[test]
fn a_file_that_was_cut_is_an_error_however_much_is_left() {
    let golden = tronie_testing::repository().join("testdata/adapters/diffusers.safetensors");
    let bytes = std::fs::read(golden).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for n in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        std::fs::write(&path, &bytes[..n]).unwrap();
        assert!(matches!(Lora::open(&path, None), Err(LoraError::Open(_))), "{n} bytes");
        assert!(matches!(Embedding::open(&path), Err(EmbeddingError::Open(_))), "{n} bytes");
    }
}
