//! `tronie faces verify`, `cluster` and `calibrate`: who is who.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tronie_base::Progress;
use tronie_faces::{
    Face, Metric, Pair, Part, Threshold, Verdict, Worker, largest_known, pictures_below, read_records,
    threshold_of,
};

use super::Eyes;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// A picture
    a: PathBuf,
    /// Another picture
    b: PathBuf,
    #[command(flatten)]
    ruler: Ruler,
    #[command(flatten)]
    eyes: Eyes,
}

#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// A folder of pictures, or the file that `faces annotate` has made of one
    source: PathBuf,
    #[command(flatten)]
    ruler: Ruler,
    #[command(flatten)]
    eyes: Eyes,
}

#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArgs {
    /// A CSV file with a column `same` (1 or 0) and either a column `distance` or columns `a` and `b` of picture files
    pairs: PathBuf,
    #[arg(long, default_value = "cosine", value_parser = parse_metric, help = METRICS)]
    metric: Metric,
    #[command(flatten)]
    eyes: Eyes,
}

/// How distances are measured and judged.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Ruler {
    #[arg(long, default_value = "cosine", value_parser = parse_metric, help = METRICS)]
    metric: Metric,
    /// Largest distance of one person; the published one of network and metric when left out
    #[arg(long)]
    threshold: Option<f32>,
}

const METRICS: &str = "How distances are measured: cosine, euclidean_l2 or angular";

fn parse_metric(text: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|(id, _)| *id == text);
    found.map(|(_, metric)| metric).ok_or_else(|| "expected cosine, euclidean_l2 or angular".to_owned())
}

fn faces_of(worker: &Worker, path: &Path) -> Result<Vec<Face>, Report> {
    Ok(worker.faces(&tronie_image::open(path)?)?)
}

pub(super) fn verify(args: &VerifyArgs, ui: &mut Ui) -> Result<(), Report> {
    let (analyzer, maker) = args.eyes.open_for(Part::Embedding)?;
    let worker = analyzer.worker();
    let (a, b) = (faces_of(&worker, &args.a)?, faces_of(&worker, &args.b)?);
    let threshold = Threshold { metric: args.ruler.metric, own: args.ruler.threshold };
    let found = tronie_faces::verify(maker.map_or("", |row| row.id), [&a, &b], threshold)?;
    let answer = match found.verdict {
        Verdict::Same => "same person",
        Verdict::Different => "different people",
        Verdict::NoFace => "no face in one of the pictures",
    };
    let distance = found.distance.map_or("-".to_owned(), |distance| format!("{distance:.4}"));
    let text = format!(
        "{answer}: distance {distance}, threshold {} ({}, {})",
        found.threshold, found.network, found.threshold_origin
    );
    ui.result(&text, json!(found))
}

/// A face of a folder.
struct Known {
    file: String,
    face_index: usize,
    values: Vec<f32>,
}

pub(super) fn cluster(args: &ClusterArgs, ui: &mut Ui) -> Result<(), Report> {
    let (network, known) =
        if args.source.is_dir() { known_in_folder(args, ui)? } else { known_in_records(&args.source)? };
    let published = || threshold_of(&network, args.ruler.metric).map(|row| row.threshold);
    let Some(threshold) = args.ruler.threshold.or_else(published) else {
        return Err(tronie_faces::FacesError::NoThreshold { network }.into());
    };
    let vectors: Vec<&[f32]> = known.iter().map(|face| face.values.as_slice()).collect();
    for (index, cluster) in tronie_faces::cluster(&vectors, args.ruler.metric, threshold)?.iter().enumerate()
    {
        let members: Vec<&Known> = cluster.members.iter().filter_map(|&member| known.get(member)).collect();
        let names: Vec<String> =
            members.iter().map(|face| format!("  {} {}", face.file, face.face_index)).collect();
        let text = format!(
            "{index}: {} faces, up to {:.3} apart\n{}",
            names.len(),
            cluster.diameter,
            names.join("\n")
        );
        let members: Vec<Value> =
            members.iter().map(|face| json!({ "file": face.file, "face": face.face_index })).collect();
        ui.result(&text, json!({ "cluster": index, "diameter": cluster.diameter, "members": members }))?;
    }
    Ok(())
}

fn known_in_folder(args: &ClusterArgs, ui: &mut Ui) -> Result<(String, Vec<Known>), Report> {
    let (analyzer, maker) = args.eyes.open_for(Part::Embedding)?;
    let worker = analyzer.worker();
    let names = pictures_below(&args.source)?;
    ui.begin("looking", names.len() as u64);
    let mut known = Vec::new();
    for file in names {
        ui.check().map_err(tronie_faces::FacesError::from)?;
        match tronie_image::open(&args.source.join(&file)) {
            Ok(pixels) => known.extend(of_faces(&file, worker.faces(&pixels)?)),
            Err(error) => ui.note(&format!("left out: {error}")),
        }
        ui.advance(1);
    }
    ui.finish();
    Ok((maker.map_or("", |row| row.id).to_owned(), known))
}

fn known_in_records(path: &Path) -> Result<(String, Vec<Known>), Report> {
    let records = read_records(path)?;
    let faces = records.iter().filter_map(|record| record.seen.as_ref()).flat_map(|seen| &seen.faces);
    let network =
        faces.filter_map(|face| face.embedding.as_ref()).map(|embedding| embedding.network.clone()).next();
    let Some(network) = network else {
        let hint = "make the file with `tronie faces annotate`";
        return Err(Report::input(format!("{}: no face with an embedding", path.display()), Some(hint)));
    };
    let known = records
        .into_iter()
        .flat_map(|record| of_faces(&record.file, record.seen.map(|seen| seen.faces).unwrap_or_default()));
    Ok((network, known.collect()))
}

fn of_faces(file: &str, faces: Vec<Face>) -> Vec<Known> {
    let known = |(face_index, face): (usize, Face)| {
        Some(Known { file: file.to_owned(), face_index, values: face.embedding?.values })
    };
    faces.into_iter().enumerate().filter_map(known).collect()
}

/// A row of the file of pairs.
#[derive(Debug, Deserialize)]
struct PairRow {
    a: Option<PathBuf>,
    b: Option<PathBuf>,
    distance: Option<f32>,
    same: u8,
}

pub(super) fn calibrate(args: &CalibrateArgs, ui: &mut Ui) -> Result<(), Report> {
    let broken = |error: csv::Error| {
        let hint = "the first line names the columns: distance,same or a,b,same";
        Report::input(format!("{}: {error}", args.pairs.display()), Some(hint))
    };
    let mut reader = csv::Reader::from_path(&args.pairs).map_err(broken)?;
    let rows: Vec<PairRow> = reader.deserialize().collect::<Result<_, _>>().map_err(broken)?;
    let (pairs, n_without) = measure(args, &rows, ui)?;
    let found = tronie_faces::calibrate(&pairs)?;
    let mut text = format!(
        "{} pairs of one person, {} of two; AUC {:.4} ({:.4} to {:.4})\nthreshold {:.4} ({:.4} to {:.4}): accuracy {:.4}, equal error rate {:.4}",
        found.n_same,
        found.n_different,
        found.auc.value,
        found.auc.low,
        found.auc.high,
        found.threshold.value,
        found.threshold.low,
        found.threshold.high,
        found.accuracy,
        found.equal_error_rate,
    );
    if let Some(strict) = found.strict {
        let share = 100.0 * strict.recall;
        text.push_str(&format!(
            "\nat 1 false match in 1000: threshold {:.4}, {share:.1} % recall",
            strict.threshold
        ));
    }
    if n_without > 0 {
        ui.note(&format!("{n_without} pairs left out: no face in one of the pictures"));
    }
    ui.result(&text, json!({ "calibration": found, "n_without_face": n_without }))
}

/// Distances of the pairs, and how many have none because a picture shows no face.
fn measure(args: &CalibrateArgs, rows: &[PairRow], ui: &mut Ui) -> Result<(Vec<Pair>, usize), Report> {
    let mut known: BTreeMap<&Path, Option<Vec<f32>>> = BTreeMap::new();
    let files: Vec<&PathBuf> =
        rows.iter().flat_map(|row| [row.a.as_ref(), row.b.as_ref()]).flatten().collect();
    if !files.is_empty() {
        let (analyzer, _) = args.eyes.open_for(Part::Embedding)?;
        let worker = analyzer.worker();
        let folder = args.pairs.parent().unwrap_or(Path::new(""));
        ui.begin("looking", files.len() as u64);
        for file in files {
            ui.check().map_err(tronie_faces::FacesError::from)?;
            if !known.contains_key(file.as_path()) {
                let faces = faces_of(&worker, &folder.join(file))?;
                known.insert(file, largest_known(&faces).map(|(_, embedding)| embedding.values.clone()));
            }
            ui.advance(1);
        }
        ui.finish();
    }
    let mut pairs = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let values = |file: &Option<PathBuf>| known.get(file.as_deref()?).and_then(Option::as_deref);
        let distance = match (row.distance, &row.a, &row.b) {
            (Some(distance), _, _) => Some(distance),
            (None, Some(_), Some(_)) => {
                values(&row.a).zip(values(&row.b)).map(|(a, b)| args.metric.distance(a, b))
            }
            _ => {
                let message = format!(
                    "{}: pair {} has neither a distance nor two files",
                    args.pairs.display(),
                    index + 1
                );
                return Err(Report::input(message, None));
            }
        };
        pairs.extend(distance.map(|distance| Pair { distance, is_same: row.same != 0 }));
    }
    let n_without = rows.len() - pairs.len();
    Ok((pairs, n_without))
}
