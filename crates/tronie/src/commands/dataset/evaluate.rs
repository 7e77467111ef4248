//! `tronie dataset evaluate`: beside `build` and `export`, because it is about a folder of pictures and what its metadata ask
//! for.

mod inputs;

use std::path::PathBuf;

use serde_json::json;
use tronie_base::{Progress as _, write_atomic};
use tronie_dataset::Collection;
use tronie_evaluate::{
    Evaluation, Resampling, SsimSettings, distribution, diversity, memorisation, page, ssim_matrix,
};
use tronie_faces::{Metric, read_records};

use crate::report::Report;
use crate::ui::Ui;
use inputs::{Asked, Table};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pictures: a dataset, or any folder that `export` reads
    folder: PathBuf,
    /// Folder for evaluation.json and evaluation.html
    #[arg(long, short)]
    out: PathBuf,
    /// What `tronie faces annotate` has written about the pictures: embeddings, expressions, ages
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: Option<PathBuf>,
    /// Features of the pictures, .npy or .safetensors, a row for each; the embeddings of --annotations when left out
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Features of real pictures, or annotations with embeddings: FID, KID, precision and recall
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Features of the pictures the model was trained on, or their annotations: memorisation
    #[arg(long, value_name = "FILE")]
    training: Option<PathBuf>,
    /// Annotations of pictures of one person: how often the pictures are taken for that person
    #[arg(long, value_name = "FILE.jsonl", requires = "annotations")]
    person: Option<PathBuf>,
    /// Field or attribute by which pictures belong together in the rates of --person
    #[arg(long, value_name = "FIELD", default_value = "text")]
    by: String,
    /// How distances of faces are measured: cosine, euclidean_l2 or angular
    #[arg(long, default_value = "cosine", value_parser = parse_metric)]
    metric: Metric,
    /// Largest distance of one person; the known one of the network when left out
    #[arg(long)]
    threshold: Option<f32>,
    /// Compare an attribute of the metadata with what was measured, such as emotion=expression or sex=sex
    #[arg(long, value_name = "ATTRIBUTE=expression|sex", requires = "annotations")]
    confusion: Vec<Asked>,
    /// Similarity of all pairs of pictures: standard or coursework
    #[arg(long, value_name = "SETTINGS", value_parser = parse_settings)]
    ssim: Option<SsimSettings>,
    /// Pictures of the matrix of similarities, spread over the folder
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=200))]
    ssim_pictures: u16,
    /// Resamples that intervals are made of, 0 for none
    #[arg(long, default_value_t = 200)]
    resamples: u16,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn parse_metric(text: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|(id, _)| *id == text);
    found.map(|(_, metric)| metric).ok_or_else(|| "expected cosine, euclidean_l2 or angular".to_owned())
}

fn parse_settings(text: &str) -> Result<SsimSettings, String> {
    let found = SsimSettings::ALL.into_iter().find(|(id, _)| *id == text);
    found.map(|(_, settings)| settings).ok_or_else(|| "expected standard or coursework".to_owned())
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let collection = Collection::open(&args.folder)?;
    let evaluation = evaluate(args, &collection, ui)?;
    ui.finish();
    if evaluation.diversity.is_none() && evaluation.confusions.is_empty() && evaluation.ssim.is_none() {
        let hint = "pass --annotations, --features or --ssim";
        return Err(Report::input("there is nothing to evaluate the pictures by", Some(hint)));
    }
    for warning in &evaluation.warnings {
        ui.note(&format!("warning: {warning}"));
    }
    let record = json!(evaluation);
    write_atomic(&args.out.join("evaluation.json"), format!("{record:#}\n").as_bytes())?;
    let html = args.out.join("evaluation.html");
    write_atomic(&html, page(&evaluation).as_bytes())?;
    ui.file(&html, json!({ "evaluation": record }))
}

fn evaluate(args: &Args, collection: &Collection, ui: &mut Ui) -> Result<Evaluation, Report> {
    let resampling = Resampling { n: usize::from(args.resamples), seed: args.seed };
    let records = args.annotations.as_deref().map(read_records).transpose()?.unwrap_or_default();
    let own = Table::of_pictures(args.features.as_deref(), &records, collection)?;
    let mut found = Evaluation {
        name: collection.about.name.clone(),
        n_pictures: collection.pictures.len(),
        features: own.as_ref().map(|table| table.source.clone()),
        resampling,
        warnings: own.as_ref().map(|table| table.warnings.clone()).unwrap_or_default(),
        distribution: None,
        diversity: None,
        memorisation: None,
        identity: None,
        confusions: Vec::new(),
        ssim: None,
    };
    if let Some(own) = &own {
        compare(args, own, &mut found, ui)?;
    }
    if let Some(person) = &args.person {
        let ruler = (args.metric, args.threshold);
        let (identity, warnings) =
            inputs::identity(&records, person, (collection, &args.by), ruler, resampling)?;
        found.identity = Some(identity);
        found.warnings.extend(warnings);
    }
    for asked in &args.confusion {
        let (confusion, warnings) = asked.confusion(collection, &records, resampling)?;
        found.confusions.push(confusion);
        found.warnings.extend(warnings);
    }
    if let Some(settings) = args.ssim {
        let pictures = inputs::spread(collection, usize::from(args.ssim_pictures))?;
        found.ssim = Some(ssim_matrix(&pictures, settings, ui)?);
    }
    Ok(found)
}

/// What features say, alone and against others.
fn compare(args: &Args, own: &Table, found: &mut Evaluation, ui: &mut Ui) -> Result<(), Report> {
    let resampling = found.resampling;
    let (spread, warnings) = diversity(&own.features, resampling)?;
    found.diversity = Some(spread);
    found.warnings.extend(warnings);
    if let Some(path) = &args.reference {
        let reference = Table::open("the reference", path)?;
        let (compared, warnings) = distribution(&own.features, &reference.features, resampling, ui)?;
        found.distribution = Some(compared);
        found.warnings.extend(reference.warnings);
        found.warnings.extend(warnings);
    }
    if let Some(path) = &args.training {
        let training = Table::open("the training pictures", path)?;
        let (repeated, warnings) =
            memorisation((&own.features, &own.names), (&training.features, &training.names), resampling)?;
        found.memorisation = Some(repeated);
        found.warnings.extend(training.warnings);
        found.warnings.extend(warnings);
    }
    Ok(())
}
