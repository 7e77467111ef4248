use std::path::PathBuf;
use std::sync::Arc;

use super::testing::{Table, numbered};
use super::*;
use crate::{Dtype, RawTensor};

pub(crate) const FAMILIES: [(&str, &str); 4] = [
    ("sd15", "ldm_sd1"),
    ("sd21", "ldm_sd2"),
    ("sdxl_base", "ldm_sdxl_base"),
    ("sdxl_refiner", "ldm_sdxl_refiner"),
];

/// A line of testdata/layouts: what diffusers' converters make of one tensor of a single file.
pub(crate) struct Line {
    pub(crate) original: String,
    pub(crate) original_shape: Vec<usize>,
    /// "folder/name", or "-" where it is dropped.
    pub(crate) diffusers: String,
    pub(crate) diffusers_shape: Vec<usize>,
    operation: String,
}

/// The fields of each line of a front-coded table below testdata.
pub(crate) fn front_coded(file: &str) -> Vec<Vec<String>> {
    let path: PathBuf = tronie_testing::repository().join("testdata").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut before = String::new();
    let rows = text.lines().map(|coded| {
        let (shared, rest) = coded.split_once('\t').unwrap();
        before.truncate(shared.parse().unwrap());
        before.push_str(rest);
        before.split('\t').map(str::to_owned).collect()
    });
    rows.collect()
}

pub(crate) fn shape(text: &str) -> Vec<usize> {
    text.split(',').filter_map(|dim| dim.parse().ok()).collect()
}

pub(crate) fn lines(family: &str) -> Vec<Line> {
    let rows = front_coded(&format!("layouts/{family}.tsv"));
    let rows = rows.into_iter().map(|fields| Line {
        original: fields[0].clone(),
        original_shape: shape(&fields[1]),
        diffusers: fields[2].clone(),
        diffusers_shape: shape(&fields[3]),
        operation: fields[4].clone(),
    });
    rows.collect()
}

fn single_file(lines: &[Line]) -> Table {
    let rows = lines.iter().map(|line| (line.original.clone(), line.original_shape.clone()));
    Table::without_numbers(Dtype::F16, rows)
}

fn spelled(operation: Operation) -> String {
    match operation {
        Operation::Copy => "rename".into(),
        Operation::Squeeze => "reshape".into(),
        Operation::Rows { part, .. } => format!("rows{part}"),
        Operation::Transpose => "transpose".into(),
        Operation::Unsqueeze | Operation::Stack => "not on this side".into(),
    }
}

#[test]
fn every_tensor_of_a_single_file_goes_where_diffusers_puts_it() {
    for (family, id) in FAMILIES {
        let lines = lines(family);
        let file: Arc<dyn TensorFile> = Arc::new(single_file(&lines));
        let mapping = Layout::find(id).unwrap().to_diffusers(&file.names());
        assert!(mapping.leftover.is_empty(), "{family}: {:?}", mapping.leftover);
        let mut n_expected = 0;
        for line in &lines {
            let Some((folder, name)) = line.diffusers.split_once('/') else {
                assert!(mapping.ignored.contains(&line.original), "{family}: {}", line.original);
                continue;
            };
            n_expected += 1;
            let part = Part::ALL.into_iter().find(|part| part.folder() == folder).unwrap();
            let recipe = &mapping.parts[&part][name];
            assert_eq!(recipe.sources, [line.original.as_str()], "{family}: {name}");
            assert_eq!(spelled(recipe.operation), line.operation, "{family}: {name}");
            let view = Renamed::new(file.clone(), mapping.parts[&part].clone());
            assert_eq!(view.meta(name).unwrap().shape, line.diffusers_shape, "{family}: {name}");
        }
        let n_found: usize = mapping.parts.values().map(BTreeMap::len).sum();
        assert_eq!(n_found, n_expected, "{family}");
    }
}

#[test]
fn a_diffusers_folder_becomes_the_single_file_it_came_from() {
    for (family, id) in FAMILIES {
        let lines = lines(family);
        let layout = Layout::find(id).unwrap();
        let file: Arc<dyn TensorFile> = Arc::new(single_file(&lines));
        let mut back = BTreeMap::new();
        for (part, recipes) in layout.to_diffusers(&file.names()).parts {
            let view = Renamed::new(file.clone(), recipes);
            let (recipes, leftover) = layout.to_original(part, &view.names());
            assert!(leftover.is_empty(), "{family}: {leftover:?}");
            let original = Renamed::new(Arc::new(view), recipes);
            back.extend(original.names().into_iter().map(|name| {
                let shape = original.meta(&name).unwrap().shape;
                (name, shape)
            }));
        }
        let used = lines.iter().filter(|line| line.operation != "ignored");
        let expected = used.map(|line| (line.original.clone(), line.original_shape.clone()));
        assert_eq!(back, expected.collect(), "{family}");
    }
}

/// The full list of names of a family, each with a small tensor of its rank whose numbers are all different.
pub(crate) fn small_single_file(lines: &[Line]) -> Table {
    let tensors = lines.iter().enumerate().map(|(index, line)| {
        let dims = line.original_shape.iter().enumerate();
        let shape: Vec<usize> = dims
            .map(|(axis, &dim)| match (axis, dim) {
                (_, 1) => 1,
                (0, _) if line.original.contains("in_proj") => 6,
                (0, _) => 2,
                _ => 3,
            })
            .collect();
        (line.original.clone(), numbered(Dtype::F32, &shape, index * 64))
    });
    Table(tensors.collect())
}

#[test]
fn there_and_back_changes_no_number() {
    for (family, id) in FAMILIES {
        let lines = lines(family);
        let layout = Layout::find(id).unwrap();
        let small = Arc::new(small_single_file(&lines));
        let mapping = layout.to_diffusers(&small.names());
        for (part, recipes) in mapping.parts {
            let there: Arc<dyn TensorFile> = Arc::new(Renamed::new(small.clone(), recipes));
            let (recipes, _) = layout.to_original(part, &there.names());
            let back = Renamed::new(there, recipes);
            for name in back.names() {
                let found = back.read(&name).unwrap().unwrap();
                assert_eq!(Some(found), small.read(&name).unwrap(), "{family}: {name}");
            }
        }
    }
}

#[test]
fn split_and_transposed_numbers_equal_those_of_diffusers() {
    let golden = tronie_testing::Golden::open("layouts/openclip");
    let tensor = |name: &str| {
        let bytes = golden.f32(name).into_iter().flat_map(f32::to_le_bytes).collect();
        let shape = golden.shape(name).to_vec();
        RawTensor { meta: crate::TensorMeta { dtype: Dtype::F32, shape }, bytes }
    };
    let is_single = |name: &&str| name.starts_with("conditioner.");
    let single = golden.names().into_iter().filter(is_single);
    let file = Arc::new(Table(single.map(|name| (name.to_owned(), tensor(name))).collect()));
    let mapping = Layout::find("ldm_sdxl_base").unwrap().to_diffusers(&file.names());
    let view = Renamed::new(file, mapping.parts[&Part::TextEncoder2].clone());
    let expected: Vec<&str> = golden.names().into_iter().filter(|name| name.starts_with("text_")).collect();
    assert_eq!(view.names().len(), expected.len());
    for name in expected {
        let found = view.read(name.strip_prefix("text_encoder_2/").unwrap()).unwrap();
        assert_eq!(found, Some(tensor(name)), "{name}");
    }
}

#[test]
fn a_network_of_another_depth_needs_no_new_row() {
    // three levels of one block each, the innermost without attention: its upsampler is at .1
    let names: Vec<String> = [
        "input_blocks.0.0.weight",
        "input_blocks.1.0.in_layers.0.weight",
        "input_blocks.1.1.norm.weight",
        "input_blocks.2.0.op.weight",
        "input_blocks.3.0.in_layers.0.weight",
        "output_blocks.0.0.in_layers.0.weight",
        "output_blocks.1.1.conv.weight",
        "output_blocks.2.1.norm.weight",
        "output_blocks.3.0.skip_connection.weight",
    ]
    .map(|name| format!("model.diffusion_model.{name}"))
    .into();
    let mapping = Layout::find("ldm_sd1").unwrap().to_diffusers(&names);
    let found: Vec<&str> = mapping.parts[&Part::Unet].keys().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "conv_in.weight",
            "down_blocks.0.attentions.0.norm.weight",
            "down_blocks.0.downsamplers.0.conv.weight",
            "down_blocks.0.resnets.0.norm1.weight",
            "down_blocks.1.resnets.0.norm1.weight",
            "up_blocks.0.resnets.0.norm1.weight",
            "up_blocks.0.upsamplers.0.conv.weight",
            "up_blocks.1.attentions.0.norm.weight",
            "up_blocks.1.resnets.1.conv_shortcut.weight",
        ]
    );
}

#[test]
fn older_and_newer_spellings_of_a_folder_are_read_as_todays() {
    let cases = [
        // diffusers before 0.15, there as 1x1 convolution
        (
            Part::Vae,
            "encoder.mid_block.attentions.0.query.weight",
            Some("encoder.mid_block.attentions.0.to_q.weight"),
        ),
        (
            Part::Vae,
            "decoder.mid_block.attentions.0.proj_attn.bias",
            Some("decoder.mid_block.attentions.0.to_out.0.bias"),
        ),
        (
            Part::Vae,
            "decoder.mid_block.attentions.0.to_v.weight",
            Some("decoder.mid_block.attentions.0.to_v.weight"),
        ),
        // transformers 5
        (
            Part::TextEncoder,
            "encoder.layers.3.mlp.fc1.bias",
            Some("text_model.encoder.layers.3.mlp.fc1.bias"),
        ),
        (Part::TextEncoder, "text_model.final_layer_norm.bias", Some("text_model.final_layer_norm.bias")),
        (Part::TextEncoder2, "text_projection.weight", Some("text_projection.weight")),
        // buffers of transformers before 4.31, and a whole CLIP
        (Part::TextEncoder, "text_model.embeddings.position_ids", None),
        (Part::TextEncoder, "vision_model.pre_layrnorm.weight", None),
        (Part::TextEncoder, "logit_scale", None),
    ];
    for (part, stored, expected) in cases {
        let shape = if stored.ends_with("query.weight") { vec![2, 2, 1, 1] } else { vec![2] };
        let table = Table::without_numbers(Dtype::F32, [(stored.to_owned(), shape)]);
        let view = canonical(part, Box::new(table));
        assert_eq!(view.names(), expected.map(str::to_owned).into_iter().collect::<Vec<_>>());
        if stored.ends_with("query.weight") {
            assert_eq!(view.meta(&view.names()[0]).unwrap().shape, [2, 2]);
        }
    }
}

#[test]
fn what_training_left_behind_is_ignored_and_the_unknown_is_told() {
    let names = [
        "model_ema.decay",
        "betas",
        "sqrt_alphas_cumprod",
        "global_step",
        "first_stage_model.loss.logvar",
        "what.is.this",
    ];
    let names: Vec<String> = names.map(str::to_owned).into();
    let mapping = Layout::find("ldm_sd1").unwrap().to_diffusers(&names);
    assert_eq!(mapping.leftover, ["what.is.this"]);
    assert_eq!(mapping.ignored.len(), 5);
}

#[test]
fn a_third_of_a_matrix_alone_cannot_be_written() {
    let names = vec!["text_model.encoder.layers.0.self_attn.q_proj.weight".to_owned()];
    let (recipes, leftover) = Layout::find("ldm_sd2").unwrap().to_original(Part::TextEncoder, &names);
    assert!(recipes.is_empty());
    assert_eq!(leftover, names);
}

#[test]
fn a_tensor_of_the_wrong_shape_is_an_error_when_read() {
    let name = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias";
    let file = Arc::new(Table([(name.to_owned(), numbered(Dtype::F32, &[4], 0))].into()));
    let mapping = Layout::find("ldm_sd2").unwrap().to_diffusers(&file.names());
    let view = Renamed::new(file, mapping.parts[&Part::TextEncoder].clone());
    let error = view.read("text_model.encoder.layers.0.self_attn.q_proj.bias").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("tensor \"{name}\" has shape [4], which Rows {{ part: 0, of: 3 }} cannot take")
    );
}
