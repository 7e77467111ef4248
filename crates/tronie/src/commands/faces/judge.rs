//! `tronie faces judge`: which pictures somebody would keep, learnt from labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use tronie_base::Progress as _;
use tronie_faces::{Label, Record, Taste, read_records};

use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `faces annotate` has made of the pictures
    annotations: PathBuf,
    /// A CSV file with the columns `file` (as in the annotations) and `label` (good or bad), for some of them
    #[arg(long)]
    labels: PathBuf,
    /// Also write what was learnt into this file, for the rules of a dataset's spec
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct LabelRow {
    file: String,
    label: Opinion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Opinion {
    Good,
    Bad,
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let records = read_records(&args.annotations)?;
    let opinions = read_labels(args)?;
    let known = |record: &'_ Record| opinions.get(&record.file).copied();
    let labels: Vec<Label<'_>> = records
        .iter()
        .filter_map(|record| {
            let is_good = known(record)? == Opinion::Good;
            Some(Label { seen: record.seen.as_ref()?, is_good })
        })
        .collect();
    let taste = Taste::learn(&labels)?;
    if let Some(path) = &args.save {
        taste.save(path)?;
    }
    let found = &taste.cross_validation;
    ui.note(&format!(
        "learnt from {} good and {} bad pictures; told apart when left out: AUC {:.3} ({:.3} to {:.3}), accuracy {:.3}",
        found.n_same, found.n_different, found.auc.value, found.auc.low, found.auc.high, found.accuracy
    ));
    let judged = records.iter().filter_map(|record| Some((record, taste.judge(record.seen.as_ref()?).good)));
    let mut judged: Vec<(&Record, f64)> = judged.collect();
    judged.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (record, good) in judged {
        let is_labelled = known(record).is_some();
        let value = json!({ "file": record.file, "good": good, "labelled": is_labelled });
        ui.result(&format!("{good:.4} {}", record.file), value)?;
    }
    Ok(())
}

fn read_labels(args: &Args) -> Result<BTreeMap<String, Opinion>, Report> {
    let broken = |error: csv::Error| {
        let hint = "the first line is file,label; labels are good or bad";
        Report::input(format!("{}: {error}", args.labels.display()), Some(hint))
    };
    let mut reader = csv::Reader::from_path(&args.labels).map_err(broken)?;
    let rows: Result<Vec<LabelRow>, csv::Error> = reader.deserialize().collect();
    Ok(rows.map_err(broken)?.into_iter().map(|row| (row.file, row.label)).collect())
}
