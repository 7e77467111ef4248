//! `tronie models inspect`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tronie_generate::modules_of;
use tronie_weights::{
    Checkpoint, CheckpointError, DetectError, Embedding, Kind, Lora, LoraError, Modules, TensorMeta, scan,
};

use super::Places;
use crate::report::Report;
use crate::ui::Ui;

/// What a file without a family says of it.
const NO_FAMILY: &str = "several families";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Checkpoints, LoRAs, embeddings, or diffusers folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The model that a LoRA is for, as `generate --model` takes it; needed where it is of no published family
    #[arg(long, short)]
    model: Option<String>,
    #[command(flatten)]
    places: Places,
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let model = args.model.as_ref().map(|model| args.places.store().open(model, ui)).transpose()?;
    let modules = model.as_ref().map(modules_of);
    args.paths.iter().try_for_each(|path| inspect(path, modules.as_ref(), ui))
}

/// stdout carries the verdict also for an unsafe file; the exit code says it too.
fn inspect(path: &Path, modules: Option<&Modules>, ui: &mut Ui) -> Result<(), Report> {
    let report = if path.is_file() { Some(scan(path)?) } else { None };
    if let Some(report) = report.filter(|report| !report.safe) {
        let text = format!("{}: not safe\n{}", path.display(), report.problems.join("\n"));
        let value = json!({ "path": path.display().to_string(), "safe": false, "globals": report.globals, "problems": report.problems });
        ui.result(&text, value)?;
        return Err(Report::input(
            format!("{} is not safe to use", path.display()),
            Some("ask for a safetensors file"),
        ));
    }
    let opened = Checkpoint::open(path);
    if let Err(CheckpointError::Detect { cause: DetectError::Foreign { kind, .. }, .. }) = &opened {
        match kind {
            Kind::Lora => return lora(path, modules, ui),
            Kind::Embedding => return embeddings(path, ui),
            _ => {}
        }
    }
    let checkpoint = opened?;
    let mut text = format!("{}: {}\n", path.display(), checkpoint.family());
    let mut parts = Vec::new();
    for (part, component) in &checkpoint.parts {
        let metas: Vec<TensorMeta> =
            component.tensors.names().iter().filter_map(|name| component.tensors.meta(name)).collect();
        let n_parameters: usize = metas.iter().map(|meta| meta.shape.iter().product::<usize>()).sum();
        let n_bytes: usize = metas.iter().filter_map(TensorMeta::size_bytes).sum();
        let (folder, n) = (part.folder(), metas.len());
        text.push_str(&format!(
            "  {folder:16} {n:5} tensors {n_parameters:13} parameters {:8.1} MB\n",
            n_bytes as f64 / 1e6
        ));
        parts.push(json!({ "part": folder, "tensors": n, "parameters": n_parameters, "bytes": n_bytes }));
    }
    let value = json!({
        "path": path.display().to_string(), "safe": true, "kind": "checkpoint", "family": checkpoint.family(), "parts": parts,
    });
    ui.result(text.trim_end(), value)
}

fn lora(path: &Path, modules: Option<&Modules>, ui: &mut Ui) -> Result<(), Report> {
    let lora = Lora::open(path, modules).map_err(|error| {
        let is_custom = modules.is_none() && matches!(error, LoraError::Unmatched { .. });
        let report = Report::from(error);
        let hint = is_custom.then(|| "name the model it is for with --model".to_owned());
        Report { hint: hint.or(report.hint), ..report }
    })?;
    let family = lora.family.unwrap_or(if modules.is_some() { "the model named" } else { NO_FAMILY });
    let mut text = format!("{}: LoRA for {family}\n", path.display());
    let mut parts = Vec::new();
    for (part, n) in lora.n_modules() {
        text.push_str(&format!("  {:16} {n:5} modules\n", part.folder()));
        parts.push(json!({ "part": part.folder(), "modules": n }));
    }
    let mut alphas: Vec<f32> = lora.modules.values().map(|module| module.alpha).collect();
    alphas.sort_by(f32::total_cmp);
    alphas.dedup();
    let (ranks, keys): (BTreeSet<usize>, Vec<&String>) = (lora.ranks(), lora.metadata.keys().collect());
    let kinds = lora.kinds().into_iter().collect::<Vec<_>>();
    let rows = [
        ("kind", kinds.join(", ")),
        ("rank", list(&ranks)),
        ("alpha", list(&alphas)),
        ("metadata", list(&keys)),
    ];
    for (what, values) in rows {
        text.push_str(&format!("  {what:16} {values}\n"));
    }
    let value = json!({
        "path": path.display().to_string(), "safe": true, "kind": "lora", "family": lora.family, "parts": parts,
        "kinds": kinds, "ranks": ranks, "alphas": alphas, "metadata": keys,
    });
    ui.result(text.trim_end(), value)
}

fn embeddings(path: &Path, ui: &mut Ui) -> Result<(), Report> {
    let mut text = format!("{}: textual inversion\n", path.display());
    let mut words = Vec::new();
    for embedding in Embedding::open(path)? {
        let (name, n, family) = (&embedding.name, embedding.n_vectors(), embedding.family());
        let widths = embedding
            .vectors
            .iter()
            .map(|(part, vectors)| (part.folder(), vectors.meta.shape.last().copied().unwrap_or_default()));
        let widths: Vec<(&str, usize)> = widths.collect();
        text.push_str(&format!("  {name:16} {n:5} vectors for {}\n", family.unwrap_or(NO_FAMILY)));
        for (part, width) in &widths {
            text.push_str(&format!("    {part:14} {width:5} wide\n"));
        }
        let parts = widths.into_iter().map(|(part, width)| json!({ "part": part, "width": width }));
        let parts: Vec<_> = parts.collect();
        words.push(
            json!({ "word": name, "vectors": n, "family": family, "step": embedding.step, "parts": parts }),
        );
    }
    let value =
        json!({ "path": path.display().to_string(), "safe": true, "kind": "embedding", "words": words });
    ui.result(text.trim_end(), value)
}

/// Values behind one another; a dash for none.
fn list<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> String {
    let texts: Vec<String> = values.into_iter().map(T::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}
