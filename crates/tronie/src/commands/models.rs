//! `tronie models list|inspect|convert|pull`, and where models are looked for.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use clap::Subcommand;
use serde_json::json;
use tronie_generate::{EMBEDDED_MODEL, Store, StoreConfig, save_as_folder};
use tronie_weights::{
    Checkpoint, Dtype, Hub, HubConfig, Library, Pull, RepoId, Target, TensorMeta, Token, save_file, scan,
};

use crate::environment::Environment;
use crate::report::Report;
use crate::ui::Ui;

/// Where models are and where they run; every command that runs one takes these.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Places {
    // Brackets in a doc comment would be links.
    #[arg(long, default_value = "cpu", help = "cpu, vulkan[:N], cuda[:N], rocm[:N] or metal[:N]")]
    pub(crate) device: String,
    /// A folder of models: an A1111 or ComfyUI tree, or any folder; repeatable, before those of TRONIE_MODELS
    #[arg(long, value_name = "DIR")]
    models_dir: Vec<PathBuf>,
    /// Download nothing
    #[arg(long)]
    offline: bool,
}

impl Places {
    /// The store of these options and the environment.
    pub(crate) fn store(&self) -> Store {
        let environment = Environment::read();
        Store::new(StoreConfig { models_dirs: self.models_dirs(&environment), hub: self.hub(&environment) })
    }

    fn models_dirs(&self, environment: &Environment) -> Vec<PathBuf> {
        self.models_dir.iter().chain(&environment.models_dirs).cloned().collect()
    }

    fn hub(&self, environment: &Environment) -> Option<HubConfig> {
        let base = HubConfig::new(environment.hub_cache.clone()?);
        Some(HubConfig {
            endpoint: environment.hub_endpoint.clone().unwrap_or(base.endpoint),
            token: environment.hub_token.as_deref().and_then(Token::new),
            offline: self.offline || environment.is_offline,
            ..base
        })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the models in the models folders, and the embedded one
    List(ListArgs),
    /// Write a model in another form: a diffusers folder, or a single file when the target ends in .safetensors
    Convert(ConvertArgs),
    /// Say what a file or folder is, without running anything in it
    Inspect(InspectArgs),
    /// Download a model from the Hugging Face Hub into its cache
    Pull(PullArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, clap::Args)]
struct ConvertArgs {
    /// What to convert, as `generate --model` takes it
    model: String,
    /// The folder or .safetensors file to write
    target: PathBuf,
    /// Store numbers as f32, f16 or bf16; unchanged when left out
    #[arg(long, value_parser = parse_dtype)]
    dtype: Option<Dtype>,
    #[command(flatten)]
    places: Places,
}

fn parse_dtype(text: &str) -> Result<Dtype, String> {
    match text {
        "f32" => Ok(Dtype::F32),
        "f16" => Ok(Dtype::F16),
        "bf16" => Ok(Dtype::BF16),
        _ => Err("expected f32, f16 or bf16".to_owned()),
    }
}

#[derive(Debug, clap::Args)]
struct InspectArgs {
    /// Checkpoint files or diffusers folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PullArgs {
    /// Repository, owner/name
    repo: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    revision: String,
    #[command(flatten)]
    places: Places,
}

pub(crate) fn run(args: Args, ui: &mut Ui) -> Result<(), Report> {
    match args.command {
        Command::List(args) => list(&args, ui),
        Command::Convert(args) => convert(&args, ui),
        Command::Inspect(args) => args.paths.iter().try_for_each(|path| inspect(path, ui)),
        Command::Pull(args) => pull(&args, ui),
    }
}

fn list(args: &ListArgs, ui: &mut Ui) -> Result<(), Report> {
    let embedded = json!({ "name": EMBEDDED_MODEL, "kind": "checkpoint", "family": "custom" });
    ui.result(&format!("{EMBEDDED_MODEL}  (inside the program)"), embedded)?;
    for listed in Library::new(&args.places.models_dirs(&Environment::read())).list() {
        let family = listed.family.unwrap_or("-");
        let megabytes = listed.file.size_bytes as f64 / 1e6;
        let kind = format!("{:?}", listed.kind).to_lowercase();
        let mut text = format!("{}  {kind} {family} {megabytes:.1} MB", listed.file.relative);
        let problem = listed.problem.map(|problem| problem.to_string());
        if let Some(problem) = &problem {
            text.push_str(&format!("  !! {problem}"));
        }
        let value = json!({
            "name": listed.file.relative, "path": listed.file.path.display().to_string(), "kind": kind, "family": family,
            "bytes": listed.file.size_bytes, "problem": problem,
        });
        ui.result(&text, value)?;
    }
    Ok(())
}

fn convert(args: &ConvertArgs, ui: &mut Ui) -> Result<(), Report> {
    let checkpoint = args.places.store().open(&args.model, ui)?;
    let target = Target { path: &args.target, dtype: args.dtype };
    let is_file = args.target.extension().is_some_and(|extension| extension == "safetensors");
    if is_file {
        save_file(&checkpoint, target, ui)?
    } else {
        save_as_folder(checkpoint, &args.model, target, ui)?
    }
    ui.finish();
    ui.file(&args.target, json!({ "model": args.model }))
}

/// stdout carries the verdict also for an unsafe file; the exit code says it too.
fn inspect(path: &Path, ui: &mut Ui) -> Result<(), Report> {
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
    let checkpoint = Checkpoint::open(path)?;
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
    let value = json!({ "path": path.display().to_string(), "safe": true, "family": checkpoint.family(), "parts": parts });
    ui.result(text.trim_end(), value)
}

fn pull(args: &PullArgs, ui: &mut Ui) -> Result<(), Report> {
    let repo = RepoId::from_str(&args.repo)?;
    let Some(config) = args.places.hub(&Environment::read()) else {
        return Err(Report::input("there is no folder for downloads", Some("set HF_HUB_CACHE to one")));
    };
    let hub = Hub::new(config)?;
    let folder =
        hub.pull(Pull { repo: &repo, revision: &args.revision, wanted: &tronie_generate::is_wanted }, ui)?;
    ui.finish();
    ui.file(&folder, json!({ "repo": args.repo, "revision": args.revision }))
}
