//! `tronie dataset dedup`: the same picture twice, within folders and across them.

use std::path::{Path, PathBuf};

use serde_json::json;
use tronie_base::Progress as _;
use tronie_dataset::{
    FaceMeasurer, Likeness, Limits, Search, Trouble, remember_different, search, set_aside,
};
use tronie_faces::{Analyzer, Part, Taste, needed_for, with_defaults};

use crate::commands::faces::{Eyes, n_threads};
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of pictures or datasets; a picture in two of them is also reported as a leak
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// A folder whose pictures always stay, such as an earlier build; repeatable
    #[arg(long, value_name = "DIR")]
    against: Vec<PathBuf>,
    /// Most bits of 64 in which the perceptual hashes of duplicates differ
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=32))]
    hash_bits: u32,
    /// Also faces whose embeddings have a cosine above this; needs the networks of a recognition annotator
    #[arg(long)]
    cosine: Option<f32>,
    /// Keep the best by this taste, which `tronie faces judge --save` has written
    #[arg(long, value_name = "FILE")]
    taste: Option<PathBuf>,
    /// Move what repeats a better picture into this folder
    #[arg(long, value_name = "DIR")]
    set_aside: Option<PathBuf>,
    /// Remember that two pictures are different, and search no further
    #[arg(long, value_names = ["FILE", "FILE"], num_args = 2)]
    different: Option<Vec<PathBuf>>,
    /// The list of pairs that are different; `different.jsonl` in the first folder when left out
    #[arg(long, value_name = "FILE")]
    different_list: Option<PathBuf>,
    #[command(flatten)]
    eyes: Eyes,
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let first = args.folders.first().map_or(Path::new(""), PathBuf::as_path);
    let list = args.different_list.clone().unwrap_or_else(|| first.join("different.jsonl"));
    if let Some([a, b]) = args.different.as_deref() {
        remember_different(&list, [a, b])?;
        return ui.file(&list, json!({ "different": [a, b] }));
    }
    if let Some(found) = args.cosine.filter(|cosine| !(*cosine > 0.0 && *cosine <= 1.0)) {
        let message = format!("cosine is {found}, expected above 0 and at most 1");
        return Err(Report::input(message, None));
    }
    let networks = args.eyes.folders();
    let rows = match (args.cosine, &args.taste) {
        (_, Some(_)) => with_defaults(&args.eyes.chosen, &networks)?,
        (Some(_), None) => needed_for(Part::Embedding, &args.eyes.chosen, &networks)?,
        (None, None) => Vec::new(),
    };
    let analyzer = Analyzer::open(&rows, &networks)?;
    let taste = args.taste.as_deref().map(Taste::open).transpose()?;
    let job = Search {
        folders: &args.folders,
        earlier: &args.against,
        different: &list,
        limits: Limits { hash_bits: Some(args.hash_bits), cosine: args.cosine },
        annotators: &rows,
        taste: taste.as_ref(),
    };
    let found = search(&job, &mut FaceMeasurer::new(&analyzer, n_threads()), ui)?;
    ui.finish();
    for repeat in &found.repeats {
        let text =
            format!("{} repeats {}: {}", repeat.file.display(), repeat.of.display(), words(repeat.likeness));
        ui.result(&text, json!({ "repeat": repeat }))?;
    }
    troubles(&found.leaks, "leak", ui)?;
    troubles(&found.conflicts, "conflict", ui)?;
    ui.note(&format!(
        "{} pictures: {} repeat others, {} leaks between folders, {} pairs with two labels, {} cannot be read",
        found.n_pictures,
        found.repeats.len(),
        found.leaks.len(),
        found.conflicts.len(),
        found.broken.len()
    ));
    if let Some(to) = &args.set_aside {
        set_aside(&args.folders, &found.repeats, to)?;
    }
    Ok(())
}

fn troubles(troubles: &[Trouble], kind: &str, ui: &mut Ui) -> Result<(), Report> {
    for trouble in troubles {
        let [a, b] = trouble.files.each_ref().map(|path| path.display());
        let labels = trouble.labels.as_ref().map_or_else(String::new, |[a, b]| format!(", {a} and {b}"));
        ui.result(
            &format!("{kind}: {a} and {b}: {}{labels}", words(trouble.likeness)),
            json!({ kind: trouble }),
        )?;
    }
    Ok(())
}

fn words(likeness: Likeness) -> String {
    match likeness {
        Likeness::Pixels => "the same pixels".to_owned(),
        Likeness::HashBits(n_bits) => format!("{n_bits} of 64 bits differ"),
        Likeness::Cosine(cosine) => format!("cosine {cosine:.4}"),
    }
}
