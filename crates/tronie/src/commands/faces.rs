//! `tronie faces`: what can be seen in the faces of pictures.

mod annotate;
mod compose;
mod judge;
mod networks;
mod people;
mod selftest;

use std::path::PathBuf;

use clap::Subcommand;
use tronie_faces::{Analyzer, AnnotatorRow, NetworkFolders, Part, needed_for, with_defaults};

use crate::environment::Environment;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find and measure the faces of every picture of a folder: one line of JSON each; run it again to continue
    Annotate(annotate::AnnotateArgs),
    /// Cut the faces of every picture of a folder out, upright; run it again to continue
    Align(annotate::AlignArgs),
    /// Say whether two pictures show the same person
    Verify(people::VerifyArgs),
    /// Group faces by person
    Cluster(people::ClusterArgs),
    /// Find the threshold of `verify` from pairs whose answer is known
    Calibrate(people::CalibrateArgs),
    /// Learn from labels which pictures to keep, and judge all of them, the best first
    Judge(judge::Args),
    /// Lay the best eyes, brows, nose and mouth of several versions of a face into the first
    Compose(compose::Args),
    /// Measure the annotators on the held-out pictures of a file of labels, as `train faces` reads it
    Selftest(selftest::Args),
    /// List the annotators, their networks, and which are here
    Annotators(networks::Args),
}

/// Which networks look at faces, and where they are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Eyes {
    /// A folder with networks, or with a folder `annotators` of them; repeatable, before those of TRONIE_MODELS
    #[arg(long, value_name = "DIR")]
    models_dir: Vec<PathBuf>,
    /// An annotator to use beside the default ones, or in place of the one that does the same; repeatable
    #[arg(long = "use", value_name = "ID")]
    pub(crate) chosen: Vec<String>,
}

impl Eyes {
    pub(crate) fn folders(&self) -> NetworkFolders {
        let environment = Environment::read();
        NetworkFolders::new(self.models_dir.iter().chain(&environment.models_dirs).cloned().collect())
    }

    /// Everything the chosen annotators say.
    fn open(&self) -> Result<Analyzer, Report> {
        let folders = self.folders();
        Ok(Analyzer::open(&with_defaults(&self.chosen, &folders)?, &folders)?)
    }

    /// Only what a part of each face takes, and the annotator that makes it.
    fn open_for(&self, part: Part) -> Result<(Analyzer, Option<&'static AnnotatorRow>), Report> {
        let folders = self.folders();
        let rows = needed_for(part, &self.chosen, &folders)?;
        let maker = rows.iter().rev().find(|row| row.makes.contains(&part)).copied();
        Ok((Analyzer::open(&rows, &folders)?, maker))
    }
}

/// Threads that work on pictures: all cores.
pub(crate) fn n_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn run(args: Args, ui: &mut Ui) -> Result<(), Report> {
    match args.command {
        Command::Annotate(args) => annotate::annotate(&args, ui),
        Command::Align(args) => annotate::align(&args, ui),
        Command::Verify(args) => people::verify(&args, ui),
        Command::Cluster(args) => people::cluster(&args, ui),
        Command::Calibrate(args) => people::calibrate(&args, ui),
        Command::Judge(args) => judge::run(&args, ui),
        Command::Compose(args) => compose::run(&args, ui),
        Command::Selftest(args) => selftest::run(&args, ui),
        Command::Annotators(args) => networks::run(&args, ui),
    }
}
