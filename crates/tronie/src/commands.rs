//! The commands: each turns what was typed into a request, submits it, and prints what came back.

mod completions;
mod control;
mod dataset;
mod doctor;
mod edit;
mod faces;
mod generate;
mod info;
mod models;
#[cfg(test)]
mod reference;
mod reproduce;
mod train;
mod upscale;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::ui::{Output, Ui};

/// Synthetic portraits: generate images and build face datasets with Stable Diffusion.
#[derive(Debug, Parser)]
#[command(name = "tronie", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 bad input, 3 environment (missing weights, no memory, no disk, no network), \
4 busy or locked, 130 interrupted, 101 a bug";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make images from a prompt
    Generate(Box<generate::Args>),
    /// Make an image, and a second one of another prompt with the same composition
    Edit(Box<edit::Args>),
    /// Make a picture of tronie, A1111, Forge, ComfyUI or InvokeAI again, and say how near that came
    Reproduce(reproduce::Args),
    /// Enlarge pictures with a network (ESRGAN, Real-ESRGAN)
    Upscale(upscale::Args),
    /// Show what an image says about how it was made
    Info(info::Args),
    /// Find, inspect, convert and download checkpoints
    Models(models::Args),
    /// Plan and build datasets from a spec
    Dataset(dataset::Args),
    /// Fine-tune a model with a recipe; run it again to continue
    Train(train::Args),
    /// Find, measure, align and compare the faces of pictures
    Faces(faces::Args),
    /// Check this machine: devices, memory, models, folders
    Doctor(doctor::Args),
    /// Print a shell's completion script
    Completions(completions::Args),
}

pub(crate) fn run(command: Command, ui: &mut Ui) -> Result<(), Report> {
    match command {
        Command::Generate(args) => generate::run(&args, ui),
        Command::Edit(args) => edit::run(&args, ui),
        Command::Reproduce(args) => reproduce::run(&args, ui),
        Command::Upscale(args) => upscale::run(&args, ui),
        Command::Info(args) => info::run(&args, ui),
        Command::Models(args) => models::run(args, ui),
        Command::Dataset(args) => dataset::run(args, ui),
        Command::Train(args) => train::run(args, ui),
        Command::Faces(args) => faces::run(args, ui),
        Command::Doctor(args) => doctor::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
    }
}

/// The first of `name.png`, `name-2.png`, ... that does not exist.
fn free_path(folder: &Path, name: &str) -> PathBuf {
    let numbered = (2_u32..).map(|n| folder.join(format!("{name}-{n}.png")));
    let mut paths = std::iter::once(folder.join(format!("{name}.png"))).chain(numbered);
    paths.find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}
