//! `tronie dataset`: a spec becomes a folder, and what can be done with that folder.

mod curation;
mod dedup;
mod evaluate;
mod export;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tronie_base::Progress as _;
use tronie_dataset::{BuildOptions, Crew, FaceMeasurer, Rate, Shard, Spec, Summary, build, plan, status};
use tronie_faces::Analyzer;

use super::faces::n_threads;
use super::models::Places;
use crate::generator::{Generation, PipelineGenerator};
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show cells, counts, example prompts, time and disk of a spec; makes nothing
    Plan(PlanArgs),
    /// Make the dataset of a spec; run it again to continue
    Build(BuildArgs),
    /// Show how far a dataset's folder is
    Status(StatusArgs),
    /// Say what was asked for and what was measured, cell by cell and attribute by attribute
    Report(curation::ReportArgs),
    /// List the candidates and why they are kept or not, or decide about one by hand
    Review(curation::ReviewArgs),
    /// Find pictures that are there twice, in two splits, or with two labels; deletes nothing
    Dedup(dedup::Args),
    /// Write a dataset, or any folder of pictures, in the layout of another tool
    Export(Box<export::Args>),
    /// Measure pictures: diversity, FID, KID, memorisation, identity, confusion, similarity
    Evaluate(Box<evaluate::Args>),
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// The spec, a TOML file
    spec: PathBuf,
    /// Seconds one image takes, for the estimate of time
    #[arg(long, default_value_t = 1.0)]
    seconds_per_image: f64,
    /// Bytes of one image, for the estimate of disk; guessed from the size when left out
    #[arg(long)]
    bytes_per_image: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// The spec, a TOML file
    spec: PathBuf,
    /// Folder for the dataset; `datasets/NAME` when left out
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Make only part i of n; building the merged folder once more completes it
    #[arg(long, value_name = "I/N", default_value_t = Shard::ALL)]
    shard: Shard,
    /// Delete what another spec or model has made in the folder
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// A dataset's folder
    folder: PathBuf,
}

pub(crate) fn run(args: Args, ui: &mut Ui) -> Result<(), Report> {
    match args.command {
        Command::Plan(args) => run_plan(&args, ui),
        Command::Build(args) => run_build(args, ui),
        Command::Status(args) => run_status(&args, ui),
        Command::Report(args) => curation::report(&args, ui),
        Command::Review(args) => curation::review(&args, ui),
        Command::Dedup(args) => dedup::run(&args, ui),
        Command::Export(args) => export::run(*args, ui),
        Command::Evaluate(args) => evaluate::run(&args, ui),
    }
}

fn run_plan(args: &PlanArgs, ui: &mut Ui) -> Result<(), Report> {
    let spec = Spec::open(&args.spec)?;
    let generation = Generation::of(&spec)?;
    let bytes_per_image = args.bytes_per_image.unwrap_or_else(|| generation.typical_bytes());
    let plan = plan(&spec, Rate { seconds_per_image: args.seconds_per_image, bytes_per_image });
    let mut text =
        format!("{} {}: {} images in {} cells\n", plan.name, plan.version, plan.n_images, plan.cells.len());
    for cell in &plan.cells {
        text.push_str(&format!("{:>8}  {}\n", cell.count, cell.name));
    }
    if let Some(curation) = spec.curation() {
        text.push_str(&format!(
            "each place is tried up to {} times; below is one try\n",
            curation.n_attempts()
        ));
    }
    for excluded in &plan.excluded {
        text.push_str(&format!("{:>8}  {} is left out: {}\n", 0, excluded.cell, excluded.reason));
    }
    for item in &plan.examples {
        text.push_str(&format!("{:>8}  \"{}\"\n", item.index, item.prompt));
    }
    text.push_str(&format!(
        "about {:.0} min at {} s an image, about {:.1} MB of disk",
        plan.seconds / 60.0,
        args.seconds_per_image,
        plan.n_bytes as f64 / 1e6
    ));
    let cells: Vec<_> = plan
        .cells
        .iter()
        .map(|cell| json!({ "name": cell.name, "count": cell.count, "values": cell.values }))
        .collect();
    let excluded: Vec<_> =
        plan.excluded.iter().map(|row| json!({ "name": row.cell, "reason": row.reason })).collect();
    let examples: Vec<_> = plan
        .examples
        .iter()
        .map(|item| json!({ "index": item.index, "prompt": item.prompt, "seed": item.seed }))
        .collect();
    ui.result(
        &text,
        json!({
            "name": plan.name, "version": plan.version, "identity": plan.identity, "n_images": plan.n_images, "cells": cells,
            "excluded": excluded, "examples": examples, "n_bytes": plan.n_bytes, "seconds": plan.seconds,
        }),
    )
}

fn run_build(args: BuildArgs, ui: &mut Ui) -> Result<(), Report> {
    let spec = Spec::open(&args.spec)?;
    let generation = Generation::of(&spec)?;
    let folder = args.out.unwrap_or_else(|| PathBuf::from("datasets").join(spec.name()));
    let mut generator =
        PipelineGenerator::load(&spec, generation, (&args.places.store(), &args.places.device), ui)?;
    let networks = args.places.networks();
    let annotators = spec.curation().map_or(Ok(Vec::new()), |curation| curation.annotators(&networks))?;
    let analyzer = Analyzer::open(&annotators, &networks)?;
    let mut measurer = FaceMeasurer::new(&analyzer, n_threads());
    let options = BuildOptions { shard: args.shard, force: args.force };
    let crew = Crew { generator: &mut generator, measurer: &mut measurer };
    let summary = build(&spec, &folder, crew, options, ui)?;
    ui.finish();
    let Summary { n_images, n_made, n_kept, n_missing, n_open } = summary;
    ui.note(&format!(
        "{n_images} images: {n_made} made, {n_kept} were there already, {n_missing} of other shards are missing"
    ));
    if n_open > 0 {
        ui.note(&format!("{n_open} places could not be filled; `tronie dataset report` says where and why"));
    }
    let counts = json!({ "n_images": n_images, "n_made": n_made, "n_kept": n_kept, "n_missing": n_missing, "n_open": n_open });
    ui.file(&folder, counts)
}

fn run_status(args: &StatusArgs, ui: &mut Ui) -> Result<(), Report> {
    let status = status(&args.folder)?;
    let state = if status.is_complete { "complete" } else { "incomplete" };
    let candidates = status.n_candidates.map_or_else(String::new, |n| format!(" of {n} candidates"));
    let text = format!(
        "{} {}: {} of {} images{candidates}, {state}; made by {}",
        status.name, status.version, status.n_done, status.n_images, status.model_id
    );
    let value = json!({
        "name": status.name, "version": status.version, "identity": status.identity, "model": status.model_id,
        "model_hash": status.model_hash, "n_images": status.n_images, "n_done": status.n_done,
        "n_candidates": status.n_candidates, "complete": status.is_complete,
    });
    ui.result(&text, value)
}
