//! `tronie faces annotate` and `align`: sweeps over folders.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tronie_base::Progress as _;
use tronie_faces::{Part, Seen, Sweep, SweepSummary, Template, sweep, write_aligned, write_overlay};

use super::{Eyes, n_threads};
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct AnnotateArgs {
    /// The folder of pictures
    folder: PathBuf,
    /// The file to write, one line of JSON for each picture; `annotations.jsonl` in the folder when left out
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Also write every picture with what was found drawn on it, into this folder
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Begin again where other annotators or networks have made the file
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    eyes: Eyes,
}

#[derive(Debug, clap::Args)]
pub(super) struct AlignArgs {
    /// The folder of pictures
    folder: PathBuf,
    /// Folder for the aligned faces and for `aligned.jsonl`, which says where they were
    #[arg(long, short)]
    out: PathBuf,
    /// How a face lies in its picture: ffhq (with hair and neck) or arcface (forehead to chin)
    #[arg(long, default_value = "ffhq", value_parser = parse_template)]
    template: Template,
    /// Side of the aligned pictures in pixels
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(16..=4096))]
    size: u16,
    /// Begin again where another template, size or network has made the folder
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    eyes: Eyes,
}

fn parse_template(text: &str) -> Result<Template, String> {
    let found = Template::ALL.into_iter().find(|(id, _)| *id == text);
    found.map(|(_, template)| template).ok_or_else(|| "expected ffhq or arcface".to_owned())
}

/// Pictures written into the folder that is looked at would be looked at themselves when it is continued.
fn refuse_inside(folder: &Path, out: &Path) -> Result<(), Report> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !absolute(out).starts_with(absolute(folder)) {
        return Ok(());
    }
    let message = format!("{} is inside of {}, the folder of pictures", out.display(), folder.display());
    Err(Report::input(message, Some("choose a folder beside it")))
}

pub(super) fn annotate(args: &AnnotateArgs, ui: &mut Ui) -> Result<(), Report> {
    args.overlay.as_deref().map_or(Ok(()), |overlay| refuse_inside(&args.folder, overlay))?;
    let analyzer = args.eyes.open()?;
    let identity = analyzer.identity();
    ui.note(&format!("looking with {}", identity.keys().map(String::as_str).collect::<Vec<_>>().join(", ")));
    let out = args.out.clone().unwrap_or_else(|| args.folder.join("annotations.jsonl"));
    let job = Sweep {
        folder: &args.folder,
        out: &out,
        identity: json!({ "annotators": identity }),
        n_threads: n_threads(),
        force: args.force,
    };
    let (n_faces, n_without) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let summary = sweep(
        &job,
        &analyzer,
        |worker, pixels, name| {
            let seen = Seen::of(worker, pixels)?;
            if let Some(folder) = &args.overlay {
                write_overlay(folder, name, pixels, &seen)?;
            }
            n_faces.fetch_add(seen.faces.len(), Ordering::Relaxed);
            n_without.fetch_add(usize::from(seen.faces.is_empty()), Ordering::Relaxed);
            Ok(seen)
        },
        ui,
    )?;
    ui.finish();
    let (n_faces, n_without) = (n_faces.into_inner(), n_without.into_inner());
    ui.note(&format!("{}; {n_faces} faces, {n_without} pictures without one", in_words(&summary)));
    ui.file(&out, json!({ "summary": summary, "n_faces": n_faces, "n_without_face": n_without }))
}

pub(super) fn align(args: &AlignArgs, ui: &mut Ui) -> Result<(), Report> {
    refuse_inside(&args.folder, &args.out)?;
    let (analyzer, _) = args.eyes.open_for(Part::Points)?;
    let job = Sweep {
        folder: &args.folder,
        out: &args.out.join("aligned.jsonl"),
        identity: json!({ "annotators": analyzer.identity(), "template": args.template, "size_px": args.size }),
        n_threads: n_threads(),
        force: args.force,
    };
    let shape = (args.template, usize::from(args.size));
    let summary = sweep(
        &job,
        &analyzer,
        |worker, pixels, name| write_aligned(worker, (pixels, name), shape, &args.out),
        ui,
    )?;
    ui.finish();
    ui.note(&in_words(&summary));
    ui.file(&args.out, json!({ "summary": summary }))
}

fn in_words(summary: &SweepSummary) -> String {
    let SweepSummary { n_pictures, n_kept, n_made, n_broken } = summary;
    format!(
        "{n_pictures} pictures: {n_made} looked at ({n_broken} of them cannot be read), {n_kept} were done already"
    )
}
