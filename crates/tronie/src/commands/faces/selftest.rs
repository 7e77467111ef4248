//! `tronie faces selftest`: figures of annotators on pictures whose labels are known.

use std::path::PathBuf;

use serde_json::json;
use tronie_train::{FacesFigures, Share, measure_faces};

use super::Eyes;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The labels: lines of `faces annotate`, each with an object `labels`
    labels: PathBuf,
    /// The folder of pictures; that of the labels when left out
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    eyes: Eyes,
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let beside = || args.labels.parent().map(PathBuf::from).unwrap_or_default();
    let folder = args.folder.clone().unwrap_or_else(beside);
    let analyzer = args.eyes.open()?;
    let figures = measure_faces((&args.labels, &folder), &analyzer, ui)?;
    ui.finish();
    let identity = analyzer.identity();
    let ids: Vec<&str> = identity.keys().map(String::as_str).collect();
    let text = format!("{}\n{}", ids.join(", "), in_words(&figures));
    ui.result(&text, json!({ "annotators": identity, "figures": figures }))
}

fn in_words(figures: &FacesFigures) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut lines = vec![
        format!("{} held-out pictures", figures.n_pictures),
        format!(
            "faces found: {}; others for each picture: {:.3}",
            percent(figures.recall),
            figures.extra_per_picture
        ),
        format!("pictures without a face in which none is found: {}", percent(figures.quiet)),
        format!("error of landmarks: {} of the distance of the eyes", percent(figures.landmark_error)),
        format!("error of ages: {:.1} years", figures.age_error_years),
    ];
    if let Some(found) = figures.verification {
        lines.push(format!(
            "verification: AUC {:.4}; {} of {} pairs of one person within {:.3}, where 1 in 100 of {} pairs of two is too",
            found.auc, percent(found.recognized), found.n_same, found.threshold, found.n_different,
        ));
    }
    let share = |(name, Share { n_right, n }): (&String, &Share)| {
        format!("{name}: {} of {n}", percent(*n_right as f64 / *n as f64))
    };
    lines.extend(figures.attributes.iter().map(share));
    lines.extend(figures.parts.iter().map(|(part, iou)| format!("{part}: intersection over union {iou:.3}")));
    lines.join("\n")
}
