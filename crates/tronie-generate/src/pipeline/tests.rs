//! Whole pipelines against diffusers': the same folder, prompt and seed must give the same pixels.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tronie_base::Silent;
use tronie_image::psnr_db;
use tronie_testing::{Golden, repository, synthetic};
use tronie_weights::{Dtype, RawTensor, TensorMeta, write_safetensors};

use super::*;
use crate::StoreConfig;

/// Writes the diffusers folder that `reference/pipeline.py` describes, with the weights both sides compute.
fn write_folder(name: &str, to: &Path) {
    let json = std::fs::read(repository().join(format!("testdata/pipeline/{name}.json"))).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    for (file, content) in json["files"].as_object().unwrap() {
        let path = to.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    }
    for (part, shapes) in json["shapes"].as_object().unwrap() {
        let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(shapes.clone()).unwrap();
        let tensors = shapes.into_iter().map(|(name, shape)| {
            let bytes = synthetic::weight(&name, &shape).into_iter().flat_map(f32::to_le_bytes).collect();
            (name, RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes })
        });
        let file =
            if part.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
        let path = to.join(part).join(format!("{file}.safetensors"));
        write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    }
}

#[test]
fn pictures_equal_those_of_diffusers() {
    // (family, the sampler of its official scheduler, guidance scale)
    for (name, sampler, scale) in [("sd15", "plms", 7.5), ("sd21_v", "ddim", 7.5), ("sdxl", "euler", 5.0)] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(name, folder.path());
        let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
        let model = folder.path().to_string_lossy().into_owned();
        let pipeline = Pipeline::load(&store, &model, "cpu", &mut Silent).unwrap();
        let request = GenerateRequest {
            negative_prompt: "blurry, cropped".to_owned(),
            model,
            seed: 20,
            width_px: Some(64),
            height_px: Some(64),
            n_steps: Some(10),
            sampler: Some(sampler.to_owned()),
            guidance: crate::Guidance { scale: Some(scale), ..crate::Guidance::default() },
            profile: "diffusers".to_owned(),
            ..GenerateRequest::new("portrait photo of a smiling woman with glasses")
        };
        let resolved = pipeline.resolve(&request).unwrap();
        let mut images = Vec::new();
        let sink = |image: GeneratedImage, _: &mut Silent| -> Result<(), GenerateError> {
            images.push(image);
            Ok(())
        };
        pipeline.run(&resolved, &mut Silent, sink).unwrap();
        let golden = Golden::open(&format!("pipeline/{name}"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 256")]
        let expected = golden.f64("pixels").iter().map(|&value| value as u8).collect();
        let ratio = psnr_db(&images[0].pixels, &Pixels::new(64, 64, expected).unwrap()).unwrap();
        assert!(ratio >= 60.0, "{name}: {ratio:.1} dB, at least 60 dB is accepted");
    }
}
