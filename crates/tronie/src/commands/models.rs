//! `tronie models inspect|pull`, and where models are looked for.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use clap::Subcommand;
use serde_json::json;
use tronie_generate::{Store, StoreConfig};
use tronie_weights::{Checkpoint, Hub, HubConfig, Pull, RepoId, TensorMeta, scan};

use crate::environment::Environment;
use crate::report::Report;
use crate::ui::Ui;

/// Where models are and where they run; every command that runs one takes these.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Places {
    /// cpu, vulkan[:N], cuda[:N], rocm[:N] or metal[:N]
    #[arg(long, default_value = "cpu")]
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
        let mut models_dirs = self.models_dir.clone();
        models_dirs.extend(environment.models_dirs.iter().cloned());
        Store::new(StoreConfig { models_dirs, hub: self.hub(&environment) })
    }

    fn hub(&self, environment: &Environment) -> Option<HubConfig> {
        let base = HubConfig::new(environment.hub_cache.clone()?);
        Some(HubConfig {
            endpoint: environment.hub_endpoint.clone().unwrap_or(base.endpoint),
            token: environment.hub_token.clone(),
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
    /// Say what a file or folder is, without running anything in it
    Inspect(InspectArgs),
    /// Download a model from the Hugging Face Hub into its cache
    Pull(PullArgs),
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
        Command::Inspect(args) => args.paths.iter().try_for_each(|path| inspect(path, ui)),
        Command::Pull(args) => pull(&args, ui),
    }
}

/// stdout carries the verdict also for an unsafe file; the exit code says it too.
fn inspect(path: &Path, ui: &mut Ui) -> Result<(), Report> {
    let report = if path.is_file() { Some(scan(path)?) } else { None };
    if let Some(report) = report.filter(|report| !report.safe) {
        let text = format!("{}: not safe\n{}", path.display(), report.problems.join("\n"));
        let value = json!({ "path": path.display().to_string(), "safe": false, "globals": report.globals, "problems": report.problems });
        ui.result(&text, value)?;
        return Err(Report::input(format!("{} is not safe to use", path.display()), Some("ask for a safetensors file")));
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
        text.push_str(&format!("  {folder:16} {n:5} tensors {n_parameters:13} parameters {:8.1} MB\n", n_bytes as f64 / 1e6));
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
    let folder = hub.pull(Pull { repo: &repo, revision: &args.revision, wanted: &tronie_generate::is_wanted }, ui)?;
    ui.finish();
    ui.file(&folder, json!({ "repo": args.repo, "revision": args.revision }))
}
