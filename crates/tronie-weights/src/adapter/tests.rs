mod bad_input;
mod embeddings;
mod families;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::modules::flat;
use super::*;
use crate::layout::testing::{Table, numbered};
use crate::layout::tests::{FAMILIES, front_coded, lines, shape};
use crate::layout::{Layout, Part};
use crate::{Dtype, RawTensor, SafetensorsFile, TensorFile};

fn modules(layout: &str) -> Modules {
    Modules::of_layout(Layout::find(layout).unwrap())
}

fn part(folder: &str) -> Part {
    Part::ALL.into_iter().find(|part| part.folder() == folder).unwrap()
}

fn read(file: &dyn TensorFile, modules: &Modules) -> Result<Lora, LoraError> {
    Lora::read(file, BTreeMap::new(), None, Some(modules))
}

fn tensors(file: &dyn TensorFile) -> BTreeMap<String, RawTensor> {
    file.names().into_iter().map(|name| (name.clone(), file.read(&name).unwrap().unwrap())).collect()
}

/// The factors of a LoRA.
fn product(module: &LoraModule) -> &Product {
    match &module.weight {
        Some(WeightChange::LowRank(product)) => product,
        other => panic!("expected a LoRA, found {other:?}"),
    }
}

/// A line of testdata/adapters: a module, what the dialects call it, and the shapes of its matrices.
struct Line {
    target: Target,
    kohya: String,
    old: String,
    down: Vec<usize>,
    up: Vec<usize>,
}

/// The oracle's tables, and the layout each is of.
const TABLES: [(&str, &str); 2] = [("sd15", "ldm_sd1"), ("sdxl", "ldm_sdxl_base")];

fn oracle(family: &str) -> Vec<Line> {
    let rows = front_coded(&format!("adapters/{family}.tsv"));
    let rows = rows.into_iter().map(|fields| {
        let (folder, path) = fields[0].split_once('/').unwrap();
        Line {
            target: Target { part: part(folder), path: path.to_owned() },
            kohya: fields[1].clone(),
            old: fields[2].clone(),
            down: shape(&fields[3]),
            up: shape(&fields[4]),
        }
    });
    rows.collect()
}

/// A file with both matrices of every line, named by `spell`; alpha too where it is given.
fn file(lines: &[Line], alpha: Option<&str>, spell: impl Fn(&Line, &str) -> String) -> Table {
    let mut file = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        file.insert(spell(line, "down"), numbered(Dtype::F16, &line.down, index));
        file.insert(spell(line, "up"), numbered(Dtype::F16, &line.up, index + 1));
        let alpha = alpha.map(|ending| (format!("{}.{ending}", line.kohya), numbered(Dtype::F16, &[], 1)));
        file.extend(alpha);
    }
    Table(file)
}

fn kohya_file(lines: &[Line]) -> Table {
    file(lines, Some("alpha"), |line, role| format!("{}.lora_{role}.weight", line.kohya))
}

fn peft_name(line: &Line, role: &str) -> String {
    format!("{}.lora_{}.weight", line.target, if role == "down" { "A" } else { "B" })
}

/// Modules a table has though some models of the family do not.
const OPTIONAL: [&str; 4] =
    ["conv_shortcut", "add_embedding.linear_1", "add_embedding.linear_2", "text_projection"];

#[test]
fn every_module_of_the_published_models_is_found_under_both_its_names() {
    for (family, layout) in FAMILIES {
        let modules = modules(layout);
        let mut found = BTreeSet::new();
        for line in lines(family) {
            let module = line.diffusers.strip_suffix(".weight").and_then(|name| name.split_once('/'));
            let Some((folder, path)) = module.filter(|(folder, _)| *folder != "vae") else { continue };
            let target = Target { part: part(folder), path: path.to_owned() };
            for spelled in [path.to_owned(), flat(path)] {
                assert_eq!(
                    modules.find(target.part, &spelled).as_ref(),
                    Some(&target),
                    "{family}: {spelled}"
                );
            }
            if let Some(original) = line.original.strip_prefix("model.diffusion_model.") {
                let original = original.strip_suffix(".weight").unwrap();
                assert_eq!(modules.original(path), Some(original), "{family}");
                let found = modules.find(Part::Unet, &flat(original));
                assert_eq!(found.as_ref(), Some(&target), "{family}: {original}");
            }
            found.insert(target);
        }
        for row in Layout::find(layout).unwrap().parts {
            let is_found = |path: &String| found.contains(&Target { part: row.part, path: path.clone() });
            let extra: Vec<String> = row.modules().into_iter().filter(|path| !is_found(path)).collect();
            let is_known = |path: &String| OPTIONAL.iter().any(|end| path.ends_with(end));
            assert!(extra.iter().all(is_known), "{family}: {extra:?}");
        }
    }
}

#[test]
fn every_dialect_of_the_reference_is_read_as_the_same_lora() {
    for (family, layout) in TABLES {
        let (lines, modules) = (oracle(family), modules(layout));
        let peft = read(&file(&lines, None, peft_name), &modules).unwrap();
        assert_eq!(peft.modules.len(), lines.len(), "{family}");
        for line in &lines {
            let module = &peft.modules[&line.target];
            let Product { down, up, .. } = product(module);
            assert_eq!((&down.meta.shape, &up.meta.shape), (&line.down, &line.up));
            assert_eq!((module.rank(), module.alpha), (Some(2), 2.0), "alpha is the rank where nothing says");
        }
        let others = [
            file(&lines, None, |line, role| format!("{}.lora_{role}.weight", line.kohya)),
            file(&lines, None, |line, role| format!("{}.{role}.weight", line.old)),
        ];
        for other in others {
            assert_eq!(read(&other, &modules).unwrap().modules, peft.modules, "{family}");
        }
    }
}

#[test]
fn what_is_written_has_the_names_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for (family, layout) in TABLES {
        let (lines, modules) = (oracle(family), modules(layout));
        let lora = read(&kohya_file(&lines), &modules).unwrap();
        lora.save_peft(&path).unwrap();
        let expected = file(&lines, None, peft_name).names();
        assert_eq!(SafetensorsFile::open(&path).unwrap().names(), expected, "{family}");
        lora.save_kohya(&path, &modules).unwrap();
        let expected = kohya_file(&lines).names();
        assert_eq!(SafetensorsFile::open(&path).unwrap().names(), expected, "{family}");
    }
}

#[test]
fn from_kohya_to_peft_and_back_no_byte_changes() {
    let folder = tempfile::tempdir().unwrap();
    let [peft, kohya] = ["peft", "kohya"].map(|name| folder.path().join(name));
    for (family, layout) in TABLES {
        let (lines, modules) = (oracle(family), modules(layout));
        let start = kohya_file(&lines);
        read(&start, &modules).unwrap().save_peft(&peft).unwrap();
        let between = Lora::open(&peft, Some(&modules)).unwrap();
        assert!(between.modules.values().all(|module| module.alpha == 1.0), "{family}");
        between.save_kohya(&kohya, &modules).unwrap();
        assert_eq!(tensors(&SafetensorsFile::open(&kohya).unwrap()), start.0, "{family}");
    }
}

/// What the script gave each module of its file: the end of its path, rank, alpha.
const SAVED: [(&str, usize, f32); 6] = [
    ("attn1.to_q", 2, 1.0),
    ("attn2.to_k", 3, 1.0),
    ("ff.net.2", 2, 1.0),
    ("resnets.0.conv1", 2, 0.5),
    ("q_proj", 2, 4.0),
    ("fc1", 2, 4.0),
];

#[test]
fn ranks_and_scales_of_a_file_that_diffusers_saved_are_read_and_written() {
    let golden = tronie_testing::repository().join("testdata/adapters/diffusers.safetensors");
    let modules = modules("ldm_sd1");
    let lora = Lora::open(&golden, Some(&modules)).unwrap();
    assert_eq!(lora.n_modules(), [(Part::Unet, 4), (Part::TextEncoder, 4)].into());
    assert!(lora.metadata.is_empty(), "{:?}", lora.metadata);
    for (target, module) in &lora.modules {
        let row = SAVED.iter().find(|row| target.path.ends_with(row.0)).unwrap();
        assert_eq!((module.rank(), module.alpha), (Some(row.1), row.2), "{target}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    lora.save_peft(&path).unwrap();
    assert_eq!(Lora::open(&path, Some(&modules)).unwrap(), lora);
    let metadata = SafetensorsFile::open(&path).unwrap().metadata().clone();
    assert_eq!(metadata["format"], "pt");
    let config: Value = serde_json::from_str(&metadata["lora_adapter_metadata"]).unwrap();
    let block = "down_blocks.0.attentions.0.transformer_blocks.0";
    assert_eq!(config["unet.r"], json!(2));
    assert_eq!(config["unet.lora_alpha"], json!(1));
    assert_eq!(config["unet.rank_pattern"], json!({format!("{block}.attn2.to_k"): 3}));
    assert_eq!(config["unet.alpha_pattern"], json!({"mid_block.resnets.0.conv1": 0.5}));
    assert_eq!(config["text_encoder.lora_alpha"], json!(4));
    assert_eq!(config["text_encoder.target_modules"][0], json!("encoder.layers.0.mlp.fc1"));
}

const CONV: &str = "lora_unet_down_blocks_0_resnets_0_conv1";

#[test]
fn the_tucker_form_is_kept_whole_and_has_no_place_in_peft() {
    let shapes = [("down", [4, 8, 1, 1]), ("mid", [4, 4, 3, 3]), ("up", [8, 4, 1, 1])];
    let rows =
        shapes.map(|(role, shape)| (format!("{CONV}.lora_{role}.weight"), numbered(Dtype::BF16, &shape, 0)));
    let start = Table(rows.into());
    let modules = modules("ldm_sd1");
    let lora = read(&start, &modules).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    lora.save_kohya(&path, &modules).unwrap();
    let mut written = tensors(&SafetensorsFile::open(&path).unwrap());
    assert_eq!(written.remove(&format!("{CONV}.alpha")), Some(numbered(Dtype::BF16, &[], 4)));
    assert_eq!(written, start.0);
    let error = lora.save_peft(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unet.down_blocks.0.resnets.0.conv1 cannot be written for diffusers: PEFT has no Tucker form"
    );
}

#[test]
fn alpha_keeps_its_value_where_the_weights_type_cannot_hold_it() {
    let modules = modules("ldm_sd1");
    let mut file = kohya_file(&oracle("sd15")[..1]);
    let meta = crate::TensorMeta { dtype: Dtype::F32, shape: Vec::new() };
    let alpha = RawTensor { meta, bytes: 0.1_f32.to_le_bytes().to_vec() };
    *file.0.iter_mut().find(|(name, _)| name.ends_with(".alpha")).unwrap().1 = alpha;
    let folder = tempfile::tempdir().unwrap();
    let [peft, kohya] = ["peft", "kohya"].map(|name| folder.path().join(name));
    read(&file, &modules).unwrap().save_peft(&peft).unwrap();
    Lora::open(&peft, Some(&modules)).unwrap().save_kohya(&kohya, &modules).unwrap();
    assert_eq!(tensors(&SafetensorsFile::open(&kohya).unwrap()), file.0);
}

#[test]
fn kohyas_metadata_is_completed_and_its_hashes_are_those_of_the_reference() {
    let text = tronie_testing::repository().join("testdata/adapters/hashes.json");
    let expected: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(text).unwrap()).unwrap();
    let rows = [
        ("lora_down.weight", numbered(Dtype::F32, &[4, 90_000], 0)),
        ("lora_up.weight", numbered(Dtype::F32, &[2, 4], 0)),
        ("alpha", numbered(Dtype::F32, &[], 2)),
    ];
    let table = Table(rows.map(|(ending, tensor)| (format!("lora_unet_conv_in.{ending}"), tensor)).into());
    let given =
        [("ss_note", "a \"ß\""), ("modelspec.title", "Somebody"), ("sshs_model_hash", "of another file")];
    let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let modules = modules("ldm_sd1");
    let lora = Lora::read(&table, given.into(), None, Some(&modules)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    lora.save_kohya(&path, &modules).unwrap();
    let found = SafetensorsFile::open(&path).unwrap().metadata().clone();
    for (key, value) in &expected {
        assert_eq!(&found[key], value, "{key}");
    }
    assert_eq!(found["modelspec.title"], "Somebody");
    assert_eq!(found["ss_network_module"], "networks.lora");
    assert_eq!((found["ss_network_dim"].as_str(), found["ss_network_alpha"].as_str()), ("4", "2.0"));
    assert_eq!(hash_of_lora(&path).unwrap(), expected["sshs_model_hash"]);
    let kept = Lora::open(&path, Some(&modules)).unwrap();
    kept.save_peft(&path).unwrap();
    let found = SafetensorsFile::open(&path).unwrap().metadata().clone();
    assert!(!found.contains_key("sshs_model_hash"), "{found:?}");
    assert_eq!(found["ss_network_dim"], "4");
}
