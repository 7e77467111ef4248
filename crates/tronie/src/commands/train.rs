//! `tronie train dreambooth|lora|textual-inversion|scratch|faces`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use tronie_base::Progress as _;
use tronie_train::{FacesRecipe, Job, Method, Outcome, Recipe, TrainPlan, plan, train, train_faces};

use super::models::Places;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train all weights of the UNet, and of the text encoders if the recipe says so; the result is a diffusers folder
    Dreambooth(RunArgs),
    /// Train low-rank changes; the result is a LoRA file in kohya's and in PEFT's names
    Lora(RunArgs),
    /// Train vectors for a new word; the result is an embedding file, named after the word, that prompts use
    TextualInversion(RunArgs),
    /// Train networks from nothing: the autoencoder, or text encoders and UNet; the result is a diffusers folder
    Scratch(RunArgs),
    /// Train one of the small networks that see faces, from labelled pictures; the result is an ONNX file
    Faces(FacesArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// Folder of the run: recipe, log, checkpoints, samples, result; `runs/RECIPE` when left out
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Only show how often each picture is seen, how long it takes and what it keeps in memory
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, clap::Args)]
struct FacesArgs {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// Folder of the run: recipe, log, checkpoints, result; `runs/RECIPE` when left out
    #[arg(long, short)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, ui: &mut Ui) -> Result<(), Report> {
    let (method, args) = match args.command {
        Command::Dreambooth(args) => (Method::Dreambooth, args),
        Command::Lora(args) => (Method::Lora, args),
        Command::TextualInversion(args) => (Method::TextualInversion, args),
        Command::Scratch(args) => (Method::Scratch, args),
        Command::Faces(args) => {
            let recipe = FacesRecipe::open(&args.recipe)?;
            let outcome = train_faces(&recipe, &run_folder(args.out.as_ref(), &args.recipe), ui)?;
            return show_outcome(&outcome, ui);
        }
    };
    let recipe = Recipe::open(&args.recipe)?;
    let folder = run_folder(args.out.as_ref(), &args.recipe);
    let store = args.places.store();
    let job = Job { recipe: &recipe, method, folder: &folder, store: &store, device: &args.places.device };
    if args.dry_run {
        let plan = plan(job, ui)?;
        ui.finish();
        return show_plan(&plan, ui);
    }
    show_outcome(&train(job, ui)?, ui)
}

fn run_folder(out: Option<&PathBuf>, recipe: &Path) -> PathBuf {
    out.cloned().unwrap_or_else(|| Path::new("runs").join(recipe.file_stem().unwrap_or_default()))
}

fn show_outcome(outcome: &Outcome, ui: &mut Ui) -> Result<(), Report> {
    let Outcome { n_steps, continued_from, skipped, results } = outcome;
    ui.finish();
    let from =
        if *continued_from > 0 { format!(", continued from step {continued_from}") } else { String::new() };
    ui.note(&format!("{n_steps} steps{from}; {} pictures were left out", skipped.len()));
    let value = json!({ "n_steps": n_steps, "continued_from": continued_from, "n_skipped": skipped.len() });
    results.iter().try_for_each(|path| ui.file(path, value.clone()))
}

fn show_plan(plan: &TrainPlan, ui: &mut Ui) -> Result<(), Report> {
    let TrainPlan { n_pictures: [n_subject, n_class], skipped, n_steps, steps_per_epoch, .. } = plan;
    let seconds = plan.seconds_per_step * *n_steps as f64;
    let mut text = format!(
        "{n_subject} pictures of the subject, {n_class} of the class, {} left out\n{n_steps} steps, {:.1} epochs of {steps_per_epoch:.1} steps\n",
        skipped.len(),
        *n_steps as f64 / steps_per_epoch,
    );
    for (path, times) in &plan.times_seen {
        text.push_str(&format!("{times:>8.1} times  {}\n", path.display()));
    }
    text.push_str(&format!(
        "{} trained numbers, {:.1} MB with gradients and optimizer beside the model\nabout {:.1} min at {:.2} s a step",
        plan.n_parameters,
        plan.n_bytes as f64 / 1e6,
        seconds / 60.0,
        plan.seconds_per_step,
    ));
    let seen: Vec<_> =
        plan.times_seen.iter().map(|(path, times)| json!({ "path": path, "times_seen": times })).collect();
    let skipped: Vec<_> =
        skipped.iter().map(|(path, reason)| json!({ "path": path, "reason": reason })).collect();
    ui.result(
        &text,
        json!({
            "n_subject": n_subject, "n_class": n_class, "skipped": skipped, "n_steps": n_steps, "steps_per_epoch": steps_per_epoch,
            "pictures": seen, "n_parameters": plan.n_parameters, "n_bytes": plan.n_bytes,
            "seconds_per_step": plan.seconds_per_step, "seconds": seconds,
        }),
    )
}
