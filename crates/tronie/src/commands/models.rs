//! `tronie models`, and where models are looked for.

mod inspect;
mod lora;

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Subcommand;
use serde_json::json;
use tronie_faces::NetworkFolders;
use tronie_generate::{EMBEDDED_MODEL, Store, StoreConfig, save_as_folder};
use tronie_weights::{
    Checkpoint, Dtype, Hub, HubConfig, Kind, Library, Pull, RepoId, Target, Token, save_file,
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

    /// Where the networks of annotators are, by these options and the environment.
    pub(crate) fn networks(&self) -> NetworkFolders {
        NetworkFolders::new(self.models_dirs(&Environment::read()))
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
    /// Write a model with LoRAs in its weights, in either form; it makes the images that the tags make
    MergeLora(lora::MergeArgs),
    /// Find the LoRA that makes one model from another
    ExtractLora(lora::ExtractArgs),
    /// Say what a file or folder is, without running anything in it
    Inspect(inspect::Args),
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
        Command::MergeLora(args) => lora::merge(&args, ui),
        Command::ExtractLora(args) => lora::extract(&args, ui),
        Command::Inspect(args) => inspect::run(&args, ui),
        Command::Pull(args) => pull(&args, ui),
    }
}

/// What a kind is called.
pub(super) fn kind_name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn list(args: &ListArgs, ui: &mut Ui) -> Result<(), Report> {
    let embedded = json!({ "name": EMBEDDED_MODEL, "kind": "checkpoint", "family": "custom" });
    ui.result(&format!("{EMBEDDED_MODEL}  (inside the program)"), embedded)?;
    for listed in Library::new(&args.places.models_dirs(&Environment::read())).list() {
        let family = listed.family.unwrap_or("-");
        let megabytes = listed.file.size_bytes as f64 / 1e6;
        let kind = kind_name(listed.kind);
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
    write(checkpoint, &args.model, Target { path: &args.target, dtype: args.dtype }, ui)?;
    ui.file(&args.target, json!({ "model": args.model }))
}

/// Writes a model in the form that the target's name asks for.
fn write(checkpoint: Checkpoint, model: &str, target: Target<'_>, ui: &mut Ui) -> Result<(), Report> {
    let is_file = target.path.extension().is_some_and(|extension| extension == "safetensors");
    if is_file {
        save_file(&checkpoint, target, ui)?
    } else {
        save_as_folder(checkpoint, model, target, ui)?
    }
    ui.finish();
    Ok(())
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
