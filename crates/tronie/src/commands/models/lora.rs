//! `tronie models merge-lora|extract-lora`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use tronie_base::Progress as _;
use tronie_generate::{extract_lora, merge_loras, modules_of};
use tronie_tensor::device;
use tronie_weights::{Dtype, Lora, Target, WeightChange};

use super::{Places, parse_dtype, write};
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// What to merge into, as `generate --model` takes it
    model: String,
    /// LoRAs by name or path, each followed by a strength where it is not 1 (film:0.8)
    #[arg(required = true, value_name = "LORA[:STRENGTH]", value_parser = parse_lora)]
    loras: Vec<(String, f32)>,
    /// The folder or .safetensors file to write
    #[arg(value_name = "OUT")]
    target: PathBuf,
    /// Store numbers as f32, f16 or bf16; unchanged when left out
    #[arg(long, value_parser = parse_dtype)]
    dtype: Option<Dtype>,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExtractArgs {
    /// The model that the other was made from, as `generate --model` takes it
    base: String,
    /// The model to have again by base and LoRA
    tuned: String,
    /// The LoRA to write, a .safetensors file in kohya's names, which A1111, ComfyUI and diffusers read
    #[arg(value_name = "OUT")]
    target: PathBuf,
    /// Size of the change of each module: more is nearer to the tuned model, and a larger file
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    rank: u16,
    /// Store numbers as f32, f16 or bf16
    #[arg(long, default_value = "f32", value_parser = parse_dtype)]
    dtype: Dtype,
    #[command(flatten)]
    places: Places,
}

/// A strength is what stands behind the last colon, if that is a number.
fn parse_lora(text: &str) -> Result<(String, f32), String> {
    let strength = text.rsplit_once(':').and_then(|(name, number)| Some((name, number.parse::<f32>().ok()?)));
    match strength {
        Some((_, strength)) if !strength.is_finite() => Err("expected a finite strength".to_owned()),
        Some((name, strength)) => Ok((name.to_owned(), strength)),
        None => Ok((text.to_owned(), 1.0)),
    }
}

pub(super) fn merge(args: &MergeArgs, ui: &mut Ui) -> Result<(), Report> {
    let store = args.places.store();
    let mut checkpoint = store.open(&args.model, ui)?;
    merge_loras(&mut checkpoint, &args.loras, &store, &device::open(&args.places.device)?)?;
    write(checkpoint, &args.model, Target { path: &args.target, dtype: args.dtype }, ui)?;
    let loras = args.loras.iter().map(|(name, strength)| json!({ "name": name, "strength": strength }));
    ui.file(&args.target, json!({ "model": args.model, "loras": loras.collect::<Vec<_>>() }))
}

pub(super) fn extract(args: &ExtractArgs, ui: &mut Ui) -> Result<(), Report> {
    let store = args.places.store();
    let (base, tuned) = (store.open(&args.base, ui)?, store.open(&args.tuned, ui)?);
    let found = extract_lora([&base, &tuned], &args.base, args.rank.into(), ui)?;
    if !found.left.is_empty() {
        let (n, first) = (found.left.len(), found.left.first().map_or("", String::as_str));
        ui.note(&format!("{n} changed tensors are no matrices and are not in the LoRA, first {first}"));
    }
    if found.modules.is_empty() {
        return Err(Report::input(
            format!("{} and {} do not differ in anything a LoRA holds", args.base, args.tuned),
            None,
        ));
    }
    let mut lora = Lora { modules: found.modules, family: None, metadata: BTreeMap::new() };
    for module in lora.modules.values_mut() {
        if let Some(WeightChange::LowRank(product)) = &mut module.weight {
            product.down = product.down.to_dtype(args.dtype)?;
            product.up = product.up.to_dtype(args.dtype)?;
        }
    }
    lora.save_kohya(&args.target, &modules_of(&tuned))?;
    ui.finish();
    ui.file(&args.target, json!({ "base": args.base, "tuned": args.tuned, "modules": lora.modules.len() }))
}
