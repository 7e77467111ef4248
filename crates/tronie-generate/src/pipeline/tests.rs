//! Whole pipelines against diffusers': the same folder, prompt and seed must give the same pixels.

mod adapters;
mod control;
mod control_union;
mod edit;
mod image_prompts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tronie_base::{Faulty as _, Silent};
use tronie_image::psnr_db;
use tronie_testing::{Golden, repository, synthetic};
use tronie_weights::{Dtype, RawTensor, TensorMeta, write_safetensors};

use super::*;
use crate::StoreConfig;

mod pictures;
mod stages;
mod vae;

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
        let file = if part.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
        let path = to.join(part).join(format!("{file}.safetensors"));
        write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    }
}

/// The request that `reference/pipeline.py` makes of a pipeline.
fn request(model: &Path, sampler: &str, scale: f64) -> GenerateRequest {
    GenerateRequest {
        negative_prompt: "blurry, cropped".to_owned(),
        model: model.to_string_lossy().into_owned(),
        seed: 20,
        width_px: Some(64),
        height_px: Some(64),
        n_steps: Some(10),
        sampler: Some(sampler.to_owned()),
        guidance: crate::Guidance { scale: Some(scale), ..crate::Guidance::default() },
        profile: "diffusers".to_owned(),
        ..GenerateRequest::new("portrait photo of a smiling woman with glasses")
    }
}

fn load(model: &Path, models_dirs: &[&Path]) -> Pipeline {
    let models_dirs = models_dirs.iter().map(|folder| folder.to_path_buf()).collect();
    let store = Store::new(StoreConfig { models_dirs, hub: None });
    Pipeline::load(&store, &model.to_string_lossy(), "cpu", &mut Silent).unwrap()
}

fn make(pipeline: &Pipeline, request: &GenerateRequest) -> GeneratedImage {
    let mut images = Vec::new();
    let sink = |image: GeneratedImage, _: &mut Silent| -> Result<(), GenerateError> {
        images.push(image);
        Ok(())
    };
    pipeline.run(&pipeline.resolve(request).unwrap(), &mut Silent, sink).unwrap();
    images.pop().unwrap()
}

fn bytes(golden: &Golden, name: &str) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 256")]
    golden.f64(name).iter().map(|&value| value as u8).collect()
}

#[track_caller]
fn assert_golden(name: &str, pixels: &Pixels) {
    let golden = Golden::open(&format!("pipeline/{name}"));
    let ratio = psnr_db(pixels, &Pixels::new(64, 64, bytes(&golden, "pixels")).unwrap()).unwrap();
    assert!(ratio >= 60.0, "{name}: {ratio:.1} dB, at least 60 dB is accepted");
}

#[test]
fn pictures_equal_those_of_diffusers() {
    // (family, the sampler of its official scheduler, guidance scale)
    for (name, sampler, scale) in [("sd15", "plms", 7.5), ("sd21_v", "ddim", 7.5), ("sdxl", "euler", 5.0)] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(name, folder.path());
        let pipeline = load(folder.path(), &[]);
        assert_golden(name, &make(&pipeline, &request(folder.path(), sampler, scale)).pixels);
    }
}

/// The LoRA of `reference/lora.py`.
fn lora_file() -> PathBuf {
    repository().join("testdata/pipeline/sd15_lora_weights.safetensors")
}

/// A folder with the sd15-shaped model and a models tree in which the LoRA is called `drawn`.
fn with_lora() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_folder("sd15", &model);
    let loras = folder.path().join("tree/models/Lora");
    std::fs::create_dir_all(&loras).unwrap();
    std::fs::copy(lora_file(), loras.join("drawn.safetensors")).unwrap();
    (folder, model)
}

/// The request with tags around its prompt.
fn tagged(model: &Path, tags: &str) -> GenerateRequest {
    let base = request(model, "plms", 7.5);
    GenerateRequest { prompt: format!("{}{tags}", base.prompt), ..base }
}

#[test]
fn a_lora_of_the_prompt_gives_the_picture_that_diffusers_and_peft_make_with_it() {
    let (folder, model) = with_lora();
    let pipeline = load(&model, &[&folder.path().join("tree")]);
    let image = make(&pipeline, &tagged(&model, "<lora:drawn:te=0.5:unet=0.8>"));
    assert_golden("sd15_lora", &image.pixels);
    let plain = make(&pipeline, &tagged(&model, ""));
    assert_golden("sd15", &plain.pixels); // the plain networks are what they were
    assert_eq!(
        image.loras,
        [UsedLora { name: "drawn".to_owned(), sha256: tronie_weights::hash_of_lora(&lora_file()).unwrap() }]
    );
    assert!(image.request.prompt.ends_with("<lora:drawn:te=0.5:unet=0.8>"), "the record keeps the tag");
    let entries = crate::record::entries(&image).unwrap();
    let expected = format!("Lora hashes: \"drawn: {}\"", &image.loras[0].sha256[..12]);
    assert!(entries[0].value.contains(&expected), "{}", entries[0].value);
    assert!(!crate::record::entries(&plain).unwrap().iter().any(|entry| entry.value.contains("loras")));
}

#[test]
fn tags_add_up_and_strength_zero_is_no_lora_at_all() {
    let (folder, model) = with_lora();
    let pipeline = load(&model, &[&folder.path().join("tree")]);
    let path = lora_file().to_string_lossy().into_owned();
    let plain = make(&pipeline, &tagged(&model, "")).pixels;
    assert_eq!(make(&pipeline, &tagged(&model, "<lora:drawn:0>")).pixels, plain);
    let two = make(&pipeline, &tagged(&model, &format!("<lora:drawn:0.25><lyco:{path}:0.5>"))).pixels;
    let one = make(&pipeline, &tagged(&model, "<lora:drawn.safetensors:0.75>")).pixels;
    assert!(psnr_db(&one, &two).unwrap() > 60.0, "the same sum, rounded differently");
    assert!(psnr_db(&one, &plain).unwrap() < 30.0);
}

#[test]
fn the_same_tags_are_applied_once() {
    let (folder, model) = with_lora();
    let pipeline = load(&model, &[&folder.path().join("tree")]);
    let networks = |tags: &str| pipeline.resolve(&tagged(&model, tags)).unwrap().applied.networks;
    let first = networks("<lora:drawn:0.5>");
    assert!(Arc::ptr_eq(&first, &networks("<lora:drawn:0.5>")));
    assert!(!Arc::ptr_eq(&first, &networks("<lora:drawn:0.6>")));
    assert!(Arc::ptr_eq(&networks(""), &networks("")));
}

#[test]
fn a_merged_model_makes_the_pixels_of_the_tag_in_every_dtype() {
    let (folder, model) = with_lora();
    let tree = folder.path().join("tree");
    let store = Store::new(StoreConfig { models_dirs: vec![tree.clone()], hub: None });
    let device = device::open("cpu").unwrap();
    for dtype in [Dtype::F32, Dtype::F16] {
        let [stored, merged] =
            ["stored", "merged"].map(|name| folder.path().join(format!("{name}{dtype:?}")));
        let target = tronie_weights::Target { path: &stored, dtype: Some(dtype) };
        let open = |path: &Path| store.open(&path.to_string_lossy(), &mut Silent).unwrap();
        crate::save_as_folder(open(&model), "model", target, &mut Silent).unwrap();
        let mut checkpoint = open(&stored);
        crate::merge_loras(&mut checkpoint, &[("drawn".to_owned(), 0.8)], &store, &device).unwrap();
        let target = tronie_weights::Target { path: &merged, dtype: None };
        crate::save_as_folder(checkpoint, "merged", target, &mut Silent).unwrap();
        let by_tag = make(&load(&stored, &[&tree]), &tagged(&stored, "<lora:drawn:0.8>"));
        let by_file = make(&load(&merged, &[]), &tagged(&merged, ""));
        assert_eq!(by_tag.pixels, by_file.pixels, "{dtype:?}");
    }
}

#[test]
fn a_tag_that_cannot_be_followed_is_refused_by_name() {
    let (folder, model) = with_lora();
    let pipeline = load(&model, &[&folder.path().join("tree")]);
    let refused = |request: &GenerateRequest| pipeline.resolve(request).unwrap_err().to_string();
    let cases = [
        ("<lora:drawm>", "no LoRA \"drawm\""),
        ("<lora:drawn:much>", "the strength of lora \"drawn\" is \"much\", expected a number"),
        ("<lora:drawn><hypernet:ink:1>", "<hypernet:ink>"),
    ];
    for (tags, says) in cases {
        let found = refused(&tagged(&model, tags));
        assert!(found.contains(says), "{tags}: {found}");
    }
    let error = pipeline.resolve(&tagged(&model, "<lora:drawm>")).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean \"drawn\"?");
    let negative =
        GenerateRequest { negative_prompt: "blurry <lora:drawn>".to_owned(), ..tagged(&model, "") };
    assert!(refused(&negative).starts_with("the negative prompt has <lora:drawn>"));
    let other = tempfile::tempdir().unwrap();
    write_folder("sdxl", other.path());
    let path = lora_file().to_string_lossy().into_owned();
    let xl = load(other.path(), &[]);
    let error = xl.resolve(&tagged(other.path(), &format!("<lora:{path}>"))).unwrap_err();
    assert!(error.to_string().contains("belong to no module of the model"), "{error}");
}
