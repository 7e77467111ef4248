use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use tronie_base::{Fault, Faulty, Silent};

use super::*;
use crate::layout::testing::numbered;
use crate::layout::tests::{lines, small_single_file};
use crate::{Dtype, RawTensor, write_safetensors};

/// Writes tensors as a safetensors file.
fn write(path: &Path, metadata: &[(&str, &str)], tensors: BTreeMap<String, RawTensor>) {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_safetensors(path, &metadata.collect(), tensors).unwrap();
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn all(file: &dyn TensorFile) -> BTreeMap<String, RawTensor> {
    let names = file.names().into_iter();
    names.map(|name| (name.clone(), file.read(&name).unwrap().unwrap())).collect()
}

/// A UNet small enough for a test, in diffusers' names; `value` tells one from another.
fn unet(value: usize) -> BTreeMap<String, RawTensor> {
    BTreeMap::from([
        ("conv_in.weight".into(), numbered(Dtype::F32, &[2, 4, 1, 1], value)),
        ("down_blocks.0.resnets.0.norm1.weight".into(), numbered(Dtype::F32, &[2], value)),
    ])
}

fn first_number(checkpoint: &Checkpoint) -> f32 {
    let tensor = checkpoint.parts[&Part::Unet].tensors.read("conv_in.weight").unwrap().unwrap();
    f32::from_le_bytes(tensor.bytes[..4].try_into().unwrap())
}

/// A single file with all names of a family, small, and configurations for it.
fn small(family: &str, folder: &Path) -> Checkpoint {
    let path = folder.join("small.safetensors");
    write(&path, &[], small_single_file(&lines(family)).0);
    let mut checkpoint = Checkpoint::open(&path).unwrap();
    for (part, component) in &mut checkpoint.parts {
        component.config = Some(json!({"of": part.folder()}));
    }
    checkpoint.scheduler =
        Some(json!({"_class_name": "EulerDiscreteScheduler", "prediction_type": "epsilon"}));
    checkpoint.model_index = Some(json!({"of": family}));
    checkpoint.tokenizer_files.insert("tokenizer_2/tokenizer_config.json".into(), b"{\"pad\": 0}".into());
    checkpoint
}

#[test]
fn single_file_to_folder_to_single_file_changes_no_number() {
    for family in ["sd15", "sd21", "sdxl_base", "sdxl_refiner"] {
        let home = tempfile::tempdir().unwrap();
        let mut checkpoint = small(family, home.path());
        // the measures are those of no family, so its layout is told by its encoders alone
        assert_eq!(checkpoint.family(), "custom");
        assert!(checkpoint.leftover.is_empty(), "{:?}", checkpoint.leftover);
        if family == "sd21" {
            checkpoint.detection.family = "sd21";
        }
        let (folder, file) = (home.path().join("folder"), home.path().join("back.safetensors"));
        let target = |path| Target { path, dtype: None };
        save_folder(&checkpoint, target(&folder), &mut Silent).unwrap();
        let mut opened = Checkpoint::open(&folder).unwrap();
        assert_eq!(opened.source, Source::Folder(folder.clone()));
        opened.detection.family = checkpoint.detection.family;
        for (part, component) in &checkpoint.parts {
            let found = &opened.parts[part];
            assert_eq!(found.config, component.config);
            assert_eq!(all(found.tensors.as_ref()), all(component.tensors.as_ref()), "{family} {part:?}");
        }
        save_file(&opened, target(&file), &mut Silent).unwrap();
        let back = Checkpoint::open(&file).unwrap();
        let original = Layout::find(back.detection.layout).unwrap();
        assert_eq!(original.parts.len(), checkpoint.parts.len());
        for (part, component) in &checkpoint.parts {
            assert_eq!(all(back.parts[part].tensors.as_ref()), all(component.tensors.as_ref()), "{family}");
            assert_eq!(back.parts[part].config, component.config, "configurations travel in the metadata");
        }
        assert_eq!(back.scheduler, checkpoint.scheduler);
        assert_eq!(back.model_index, checkpoint.model_index);
        assert_eq!(back.tokenizer_files, checkpoint.tokenizer_files);
        let mut names: Vec<String> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["back.safetensors", "folder", "small.safetensors"], "nothing unfinished is left");
    }
}

#[test]
fn a_dtype_is_applied_to_every_real_number() {
    let home = tempfile::tempdir().unwrap();
    let checkpoint = small("sd15", home.path());
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32] {
        let path = home.path().join(format!("{dtype:?}.safetensors"));
        let target = Target { path: &path, dtype: Some(dtype) };
        save_file(&checkpoint, target, &mut Silent).unwrap();
        let file = SafetensorsFile::open(&path).unwrap();
        for name in file.names() {
            assert_eq!(file.meta(&name).unwrap().dtype, dtype, "{name}");
        }
        let name = "model.diffusion_model.out.2.bias";
        let expected = checkpoint.parts[&Part::Unet].tensors.read("conv_out.bias").unwrap().unwrap();
        assert_eq!(file.read(name).unwrap().unwrap(), expected.to_dtype(dtype).unwrap());
    }
}

#[test]
fn the_small_model_of_this_project_survives_both_forms() {
    let Some(shared) = tronie_testing::shared("the_small_model_of_this_project_survives_both_forms") else {
        return;
    };
    let folder = shared.join("models/tronie-mini-seed");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.family(), "custom");
    assert_eq!(checkpoint.detection.parts, [Part::Unet, Part::Vae, Part::TextEncoder]);
    assert_eq!(checkpoint.parts[&Part::Unet].config.as_ref().unwrap()["cross_attention_dim"], 192);
    let text = &checkpoint.parts[&Part::TextEncoder].tensors;
    assert!(text.names().iter().all(|name| name.starts_with("text_model.")));
    assert!(checkpoint.tokenizer_files.contains_key("tokenizer/tokenizer.json"));

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mini.safetensors");
    let target = Target { path: &path, dtype: None };
    save_file(&checkpoint, target, &mut Silent).unwrap();
    let single = Checkpoint::open(&path).unwrap();
    assert_eq!(single.detection.layout, "ldm_sd1");
    let entries = cache_of(&folder);
    let archive = Checkpoint::from_archive(entries).unwrap();
    assert_eq!(archive.source, Source::Archive);
    assert_eq!(archive.tokenizer_files, checkpoint.tokenizer_files);
    assert_eq!(archive.hash(&mut Silent).unwrap(), checkpoint.hash(&mut Silent).unwrap());
    for (part, component) in &checkpoint.parts {
        let expected = all(component.tensors.as_ref());
        assert_eq!(all(single.parts[part].tensors.as_ref()), expected);
        assert_eq!(all(archive.parts[part].tensors.as_ref()), expected);
        assert_eq!(single.parts[part].config, component.config);
        assert_eq!(archive.parts[part].config, component.config);
    }
}

/// A folder's files by path.
fn cache_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, prefix: &str, entries: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                walk(&path, &format!("{name}/"), entries);
            } else {
                entries.insert(name, fs::read(path).unwrap());
            }
        }
    }
    let mut entries = BTreeMap::new();
    walk(folder, "", &mut entries);
    entries
}

/// Part, files, the one that is opened.
const CHOICES: [(Part, &[&str], Option<&str>); 11] = [
    (
        Part::Unet,
        &["diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"],
        Some("diffusion_pytorch_model.safetensors"),
    ),
    (
        Part::Unet,
        &["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors"],
        Some("diffusion_pytorch_model.safetensors"),
    ),
    (
        Part::Unet,
        &["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"],
        Some("diffusion_pytorch_model.fp16.safetensors"),
    ),
    (
        Part::Unet,
        &["diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.bin"],
        Some("diffusion_pytorch_model.bin"),
    ),
    (
        Part::Unet,
        &["diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model.fp16.safetensors"],
        Some("diffusion_pytorch_model.fp16.safetensors"),
    ),
    (
        Part::Vae,
        &["diffusion_pytorch_model.bf16.safetensors", "config.json"],
        Some("diffusion_pytorch_model.bf16.safetensors"),
    ),
    (Part::TextEncoder, &["pytorch_model.bin", "model.safetensors"], Some("model.safetensors")),
    (Part::TextEncoder, &["pytorch_model.bin", "config.json"], Some("pytorch_model.bin")),
    (
        Part::Unet,
        &[
            "diffusion_pytorch_model-00001-of-00002.safetensors",
            "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.safetensors.index.json",
        ],
        Some("diffusion_pytorch_model.safetensors.index.json"),
    ),
    (
        Part::Unet,
        &[
            "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
        ],
        Some("diffusion_pytorch_model.safetensors.index.fp16.json"),
    ),
    (Part::Unet, &["model.onnx", "diffusion_flax_model.msgpack", "openvino_model.bin", "config.json"], None),
];

#[test]
fn the_best_of_several_weight_files_is_opened() {
    for (part, names, expected) in CHOICES {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(choose::weights(part, &names), expected, "{names:?}");
    }
}

#[test]
fn a_folder_is_opened_by_its_best_file_and_hashed_by_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("unet");
    write(&folder.join("diffusion_pytorch_model.fp16.safetensors"), &[], unet(7));
    assert_eq!(first_number(&Checkpoint::open(home.path()).unwrap()), 7.0);
    let plain = folder.join("diffusion_pytorch_model.safetensors");
    write(&plain, &[], unet(5));
    let checkpoint = Checkpoint::open(home.path()).unwrap();
    assert_eq!(first_number(&checkpoint), 5.0);
    let bytes = fs::read(plain).unwrap();
    let expected = tronie_base::hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes));
    assert_eq!(checkpoint.hash(&mut Silent).unwrap(), expected);
}

#[test]
fn a_sharded_folder_is_one_network() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("unet");
    let mut map = serde_json::Map::new();
    for (index, tensor) in unet(3).into_iter().enumerate() {
        let name = format!("diffusion_pytorch_model-0000{}-of-00002.safetensors", index + 1);
        map.insert(tensor.0.clone(), json!(name));
        write(&folder.join(name), &[], BTreeMap::from([tensor]));
    }
    let index = json!({"metadata": {"total_size": 0}, "weight_map": map});
    put(&folder.join("diffusion_pytorch_model.safetensors.index.json"), &index.to_string());
    let checkpoint = Checkpoint::open(home.path()).unwrap();
    assert_eq!(all(checkpoint.parts[&Part::Unet].tensors.as_ref()), unet(3));
    let both: Vec<u8> = (1..=2)
        .flat_map(|n| {
            fs::read(folder.join(format!("diffusion_pytorch_model-0000{n}-of-00002.safetensors"))).unwrap()
        })
        .collect();
    let expected = tronie_base::hex(&<sha2::Sha256 as sha2::Digest>::digest(both));
    assert_eq!(checkpoint.hash(&mut Silent).unwrap(), expected);
}

#[test]
fn an_autoencoder_alone_is_a_checkpoint_of_one_part() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("vae-ft-mse-840000-ema-pruned.safetensors");
    let lines = lines("sd15");
    let bare = small_single_file(&lines).0.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix("first_stage_model.")?.to_owned();
        Some((name, tensor))
    });
    let mut bare: BTreeMap<String, RawTensor> = bare.collect();
    bare.insert("loss.logvar".into(), numbered(Dtype::F32, &[1], 0));
    write(&path, &[], bare);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!((checkpoint.family(), checkpoint.detection.parts.as_slice()), ("any", [Part::Vae].as_slice()));
    let n_expected = lines.iter().filter(|line| line.diffusers.starts_with("vae/")).count();
    assert_eq!(checkpoint.parts[&Part::Vae].tensors.names().len(), n_expected);
}

#[test]
fn the_file_beside_it_and_its_metadata_tell_what_a_model_predicts() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mine.safetensors");
    write(&path, &[("modelspec.prediction_type", "v")], unet(0));
    assert_eq!(Checkpoint::open(&path).unwrap().detection.prediction, crate::Prediction::Velocity);
    put(&path.with_extension("yaml"), "model:\n  params:\n    unet_config: x\n");
    assert_eq!(Checkpoint::open(&path).unwrap().detection.prediction, crate::Prediction::Epsilon);
}

#[test]
fn what_is_no_checkpoint_is_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    put(&at("flux/model_index.json"), r#"{"_class_name": "FluxPipeline"}"#);
    put(&at("flux/transformer/config.json"), "{}");
    put(&at("empty/readme.md"), "");
    put(&at("onnx/unet/model.onnx"), "");
    put(&at("broken/model_index.json"), "{");
    put(&at("page.safetensors"), "<!doctype html>");
    let lora = BTreeMap::from([("lora_unet_mid.lora_up.weight".to_owned(), numbered(Dtype::F16, &[1], 0))]);
    write(&at("lora.safetensors"), &[], lora);
    let cases = [
        ("flux", "holds a FluxPipeline, which is not supported"),
        ("empty", "is no diffusers folder: it has no unet, vae or text_encoder"),
        ("onnx", "has no weights that can be read, only [\"model.onnx\"]"),
        ("broken", "is not valid JSON"),
        ("page.safetensors", "a web page"),
        (
            "lora.safetensors",
            "this is a LoRA, not a checkpoint (tensor \"lora_unet_mid.lora_up.weight\" tells)",
        ),
    ];
    for (name, expected) in cases {
        let Err(error) = Checkpoint::open(&at(name)) else { panic!("{name} was opened") };
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(error.fault(), Fault::Input, "{name}");
        assert!(error.hint().is_some(), "{name}");
    }
    let Err(error) = Checkpoint::open(&at("nothing.ckpt")) else { panic!("opened") };
    assert!(error.to_string().contains("nothing.ckpt"), "{error}");
}

#[test]
fn a_folder_without_configurations_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("small.safetensors");
    write(&path, &[], unet(0));
    let folder = home.path().join("folder");
    let target = Target { path: &folder, dtype: None };
    let mut checkpoint = Checkpoint::open(&path).unwrap();
    let error = save_folder(&checkpoint, target, &mut Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model has no scheduler/scheduler_config.json, which a diffusers folder needs"
    );
    checkpoint.scheduler = Some(json!({}));
    let error = save_folder(&checkpoint, target, &mut Silent).unwrap_err();
    assert_eq!(error.to_string(), "the model has no model_index.json, which a diffusers folder needs");
    checkpoint.model_index = Some(json!({}));
    let error = save_folder(&checkpoint, target, &mut Silent).unwrap_err();
    assert_eq!(error.to_string(), "the model has no unet/config.json, which a diffusers folder needs");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left of the attempt");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(save_folder(&checkpoint, target, &mut Silent), Err(CheckpointError::Exists { .. })));
}

#[test]
fn a_path_in_a_single_files_metadata_leads_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("small.safetensors");
    let model = json!({"tokenizer_files": {"../../outside": "x", "tokenizer/tokenizer_config.json": "{}"}});
    write(&path, &[("tronie.model", &model.to_string())], unet(0));
    let files = Checkpoint::open(&path).unwrap().tokenizer_files;
    assert_eq!(files, BTreeMap::from([("tokenizer/tokenizer_config.json".to_owned(), b"{}".to_vec())]));
}

#[test]
fn a_tensor_without_a_place_is_not_dropped_silently() {
    let home = tempfile::tempdir().unwrap();
    let mut tensors = unet(0);
    tensors.insert("motion.weight".into(), numbered(Dtype::F32, &[1], 0));
    write(&home.path().join("unet/diffusion_pytorch_model.safetensors"), &[], tensors);
    let checkpoint = Checkpoint::open(home.path()).unwrap();
    let path = home.path().join("out.safetensors");
    let target = Target { path: &path, dtype: None };
    let error = save_file(&checkpoint, target, &mut Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 tensors of unet have no place in a single file, first \"motion.weight\""
    );
    assert!(!path.exists());
}

/// Stops at the first question.
struct Stop;

impl tronie_base::Progress for Stop {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn advance(&mut self, _n: u64) {}
    fn note(&mut self, _message: &str) {}
    fn check(&self) -> Result<(), tronie_base::Cancelled> {
        Err(tronie_base::Cancelled)
    }
}

#[test]
fn cancelling_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let checkpoint = small("sd15", home.path());
    for save in [save_folder, save_file] {
        let path = home.path().join("out");
        let target = Target { path: &path, dtype: None };
        let error = save(&checkpoint, target, &mut Stop).unwrap_err();
        assert_eq!(error.fault(), Fault::Interrupted);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
    assert_eq!(checkpoint.hash(&mut Stop).unwrap_err().fault(), Fault::Interrupted);
}

#[test]
fn an_archive_without_weights_is_refused() {
    let entries = BTreeMap::from([("unet/diffusion_pytorch_model.safetensors".to_owned(), vec![1, 2, 3])]);
    let Err(error) = Checkpoint::from_archive(entries) else { panic!("opened") };
    assert!(matches!(error, CheckpointError::Archive { .. }), "{error}");
    let Err(error) = Checkpoint::from_archive(BTreeMap::new()) else { panic!("opened") };
    assert!(matches!(error, CheckpointError::NoModel { .. }), "{error}");
}
