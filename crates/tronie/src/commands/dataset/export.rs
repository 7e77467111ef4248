//! `tronie dataset export`.

use std::path::PathBuf;

use serde_json::json;
use tronie_base::Progress as _;
use tronie_dataset::{Annotations, Collection, ExportOptions, FORMATS, FormatRow, export, format};

use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A dataset's folder, a folder of Hugging Face's imagefolder, folders of kohya, or any folder of pictures
    folder: PathBuf,
    #[arg(long, value_name = "ID", value_parser = parse_format, help = help_of_formats())]
    format: &'static FormatRow,
    /// The folder to write; it appears when everything is in it
    #[arg(long, short)]
    out: PathBuf,
    /// What `tronie faces annotate` has written about the folder
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: Option<PathBuf>,
    /// Folder of 8-bit PNG of class numbers (order of face-parsing.PyTorch), each named as its picture
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Licence of the pictures, an SPDX id such as CC-BY-4.0
    #[arg(long)]
    licence: Option<String>,
    /// Page of the dataset
    #[arg(long)]
    url: Option<String>,
    /// Day of publication, such as 2026-01-29
    #[arg(long, value_name = "DAY")]
    published: Option<String>,
    /// For kohya: how often training sees each picture in an epoch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// For kohya: the words of the folder's name, in the place of the pictures' class
    #[arg(long)]
    words: Option<String>,
    /// Replace an earlier export
    #[arg(long)]
    force: bool,
}

fn parse_format(text: &str) -> Result<&'static FormatRow, String> {
    format(text).map_err(|error| error.to_string())
}

fn help_of_formats() -> String {
    let ids: Vec<&str> = FORMATS.iter().map(|row| row.id).collect();
    format!("What is written: {}; docs/exports.md has the layout of each", ids.join(", "))
}

pub(super) fn run(args: Args, ui: &mut Ui) -> Result<(), Report> {
    let collection = Collection::open(&args.folder)?;
    let annotations = args.annotations.as_deref().map(Annotations::open).transpose()?;
    let options = ExportOptions {
        force: args.force,
        licence: args.licence,
        published: args.published,
        url: args.url,
        masks: args.masks,
        repeats: args.repeats,
        words: args.words,
    };
    let exported = export(&collection, (args.format, &args.out), annotations.as_ref(), &options, ui)?;
    ui.finish();
    let left_out = match exported.n_left_out {
        0 => String::new(),
        n => format!("; {n} were left out, which the format has no place for"),
    };
    ui.note(&format!(
        "{} pictures, {} files, {:.1} MB{left_out}",
        exported.n_pictures,
        exported.n_files,
        exported.n_bytes as f64 / 1e6
    ));
    ui.file(
        &args.out,
        json!({
            "format": args.format.id, "n_pictures": exported.n_pictures, "n_left_out": exported.n_left_out,
            "n_files": exported.n_files, "n_bytes": exported.n_bytes,
        }),
    )
}
