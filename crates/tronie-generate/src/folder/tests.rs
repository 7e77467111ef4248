use std::collections::BTreeMap;

use tronie_base::Silent;
use tronie_sampling::Parametrization;
use tronie_weights::{Dtype, RawTensor, TensorMeta, write_safetensors};

use super::*;

/// The tensors by which the parts of a family's single file are recognised, with their shapes.
type Tensors = Vec<(&'static str, Vec<usize>)>;

/// A small file of each of two families.
fn cases() -> [(&'static str, Tensors); 2] {
    let file = |d_context: usize, more: Tensors| {
        let mut tensors = vec![
            ("model.diffusion_model.input_blocks.0.0.weight", vec![320, 4, 1, 1]),
            ("model.diffusion_model.input_blocks.1.0.in_layers.0.weight", vec![1]),
            (
                "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                vec![1, d_context],
            ),
            ("first_stage_model.decoder.conv_in.weight", vec![1]),
            ("first_stage_model.decoder.up.0.block.0.norm1.weight", vec![1]),
        ];
        tensors.extend(more);
        tensors
    };
    let sd15 = vec![("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", vec![1])];
    let sdxl = vec![
        ("model.diffusion_model.label_emb.0.0.weight", vec![1, 2816]),
        ("conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight", vec![1]),
        ("conditioner.embedders.1.model.token_embedding.weight", vec![1]),
    ];
    [("sd15", file(768, sd15)), ("sdxl_base", file(2048, sdxl))]
}

fn single_file(tensors: &[(&str, Vec<usize>)], prediction: &str, folder: &tempfile::TempDir) -> Checkpoint {
    let path = folder.path().join("single.safetensors");
    let metadata = BTreeMap::from([("modelspec.prediction_type".to_owned(), prediction.to_owned())]);
    let tensors = tensors.iter().map(|(name, shape)| {
        let meta = TensorMeta { dtype: Dtype::F16, shape: shape.clone() };
        let bytes = vec![0; meta.size_bytes().unwrap()];
        ((*name).to_owned(), RawTensor { meta, bytes })
    });
    write_safetensors(&path, &metadata, tensors).unwrap();
    Checkpoint::open(&path).unwrap()
}

#[test]
fn a_folder_made_of_a_single_file_is_the_same_model() {
    for (family, tensors) in cases() {
        for (prediction, parametrization) in
            [("epsilon", Parametrization::Epsilon), ("v", Parametrization::V)]
        {
            let home = tempfile::tempdir().unwrap();
            let single = single_file(&tensors, prediction, &home);
            let expected = spec(&single, &wrong("single")).unwrap();
            assert_eq!((expected.id, expected.training.parametrization), (family, parametrization));
            let path = home.path().join("folder");
            save_as_folder(single, "single", Target { path: &path, dtype: None }, &mut Silent).unwrap();
            let folder = Checkpoint::open(&path).unwrap();
            let found = spec(&folder, &wrong("folder")).unwrap();
            assert_eq!(ModelSpec { id: family, ..found }, expected);
            for encoder in &expected.text.encoders {
                let file = |name| {
                    let bytes = &folder.tokenizer_files[&format!("{}/{name}", encoder.tokenizer_folder())];
                    std::str::from_utf8(bytes).unwrap()
                };
                let tokenizer = Tokenizer::from_vocab_and_merges(file("vocab.json"), file("merges.txt"));
                assert_eq!(tokenizer.unwrap().encode("a face"), Tokenizer::clip().encode("a face"));
            }
        }
    }
}

#[test]
fn a_file_that_is_no_whole_model_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let [(_, mut tensors), _] = cases();
    tensors.retain(|(name, _)| !name.starts_with("first_stage_model"));
    let single = single_file(&tensors, "epsilon", &home);
    let path = home.path().join("folder");
    let error = save_as_folder(single, "single", Target { path: &path, dtype: None }, &mut Silent);
    assert_eq!(error.unwrap_err().to_string(), "single cannot be used: it has no vae");
    assert!(!path.exists());
}
