//! What is evaluated, from files: features, faces, what was asked for.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use tronie_dataset::{Collection, Picture};
use tronie_evaluate::{Comparison, Confusion, Features, Identity, Resampling, identity as rates};
use tronie_faces::{
    Expression, Face, FacesError, Metric, Record, Seen, largest_known, read_records, threshold_of,
};
use tronie_image::Pixels;

use crate::report::Report;

/// Features and what they are of.
pub(super) struct Table {
    pub(super) features: Features,
    /// The pictures, row by row; numbers where a file does not name them.
    pub(super) names: Vec<String>,
    /// The file, or the network of embeddings.
    pub(super) source: String,
    pub(super) warnings: Vec<String>,
}

impl Table {
    /// The features of the pictures: those of a file, else the embeddings that were annotated, if any were.
    pub(super) fn of_pictures(
        file: Option<&Path>,
        records: &[Record],
        collection: &Collection,
    ) -> Result<Option<Self>, Report> {
        const SET: &str = "the pictures";
        if let Some(file) = file {
            let mut table = Self::open(SET, file)?;
            let n_pictures = collection.pictures.len();
            if table.features.len() != n_pictures {
                let message = format!(
                    "{} has {} rows, expected one for each of {n_pictures} pictures",
                    file.display(),
                    table.features.len()
                );
                return Err(Report::input(message, None));
            }
            table.names = collection.pictures.iter().map(|picture| picture.file_name.clone()).collect();
            return Ok(Some(table));
        }
        let of_folder: HashMap<&str, ()> =
            collection.pictures.iter().map(|picture| (picture.file_name.as_str(), ())).collect();
        let records = records.iter().filter(|record| of_folder.contains_key(record.file.as_str()));
        let records: Vec<&Record> = records.collect();
        let has_embeddings = records.iter().any(|record| embedding_of(record).is_some());
        if has_embeddings { Self::of_faces(SET, &records).map(Some) } else { Ok(None) }
    }

    /// From a file of features, or from annotations with embeddings.
    pub(super) fn open(set: &'static str, path: &Path) -> Result<Self, Report> {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let records = read_records(path)?;
            return Self::of_faces(set, &records.iter().collect::<Vec<_>>());
        }
        let features = Features::open(set, path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names = (0..features.len()).map(|row| row.to_string()).collect();
        Ok(Self { features, names, source: name, warnings: Vec::new() })
    }

    /// The embedding of the largest face of each picture.
    fn of_faces(set: &'static str, records: &[&Record]) -> Result<Self, Report> {
        let known = records.iter().filter_map(|record| Some((record, embedding_of(record)?)));
        let (mut names, mut rows, mut networks) = (Vec::new(), Vec::new(), Vec::new());
        for (record, (_, embedding)) in known {
            names.push(record.file.clone());
            rows.push(embedding.values.iter().copied().map(f64::from).collect());
            if !networks.contains(&embedding.network) {
                networks.push(embedding.network.clone());
            }
        }
        if networks.len() != 1 {
            let message = format!("{set}: embeddings of {} networks, expected one", networks.len());
            return Err(Report::input(message, Some("annotate them all with one recognition network")));
        }
        let n_without = records.len() - names.len();
        let warning = format!("{set}: {n_without} of {} have no face to compare", records.len());
        let warnings = if n_without > 0 { vec![warning] } else { Vec::new() };
        Ok(Self { features: Features::from_rows(set, &rows)?, names, source: networks.concat(), warnings })
    }
}

fn embedding_of(record: &Record) -> Option<(&Face, &tronie_faces::Embedding)> {
    largest_known(&record.seen.as_ref()?.faces)
}

/// How often the pictures are taken for the person of another file.
pub(super) fn identity(
    records: &[Record],
    person: &Path,
    (collection, by): (&Collection, &str),
    (metric, own): (Metric, Option<f32>),
    resampling: Resampling,
) -> Result<(Identity, Vec<String>), Report> {
    let references = Table::open("the person", person)?;
    let known = threshold_of(&references.source, metric).map(|row| row.threshold);
    let network = references.source.clone();
    let Some(threshold) = own.or(known) else { return Err(FacesError::NoThreshold { network }.into()) };
    let persons = read_records(person)?;
    let faces: Vec<&[f32]> =
        persons.iter().filter_map(|record| Some(embedding_of(record)?.1.values.as_slice())).collect();
    let by_name: HashMap<&str, &Record> =
        records.iter().map(|record| (record.file.as_str(), record)).collect();
    let comparison = |picture: &Picture| {
        let record = by_name.get(picture.file_name.as_str()).copied();
        let own = record.and_then(embedding_of).filter(|(_, embedding)| embedding.network == network);
        let distance = |values: &[f32], face: &&[f32]| f64::from(metric.distance(values, face));
        Comparison {
            picture: picture.file_name.clone(),
            prompt: picture.label(by).or_else(|| picture.caption.clone()).unwrap_or_default(),
            distances: own
                .map(|(_, own)| faces.iter().map(|face| distance(&own.values, face)).collect())
                .unwrap_or_default(),
        }
    };
    let comparisons: Vec<Comparison> = collection.pictures.iter().map(comparison).collect();
    let id =
        Metric::ALL.into_iter().find(|(_, other)| *other == metric).map(|(id, _)| id).unwrap_or_default();
    let ruler = format!("{network}, {id}");
    Ok(rates(&comparisons, (&ruler, f64::from(threshold), faces.len()), resampling)?)
}

/// An attribute and what of a face is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    attribute: String,
    measure: Measure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Expression,
    Sex,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let measure = |name: &str| match name {
            "expression" => Some(Measure::Expression),
            "sex" => Some(Measure::Sex),
            _ => None,
        };
        let parts =
            text.split_once('=').and_then(|(attribute, name)| Some((attribute.to_owned(), measure(name)?)));
        let (attribute, measure) = parts.ok_or("expected ATTRIBUTE=expression or ATTRIBUTE=sex")?;
        Ok(Self { attribute, measure })
    }
}

impl Measure {
    fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Expression => &["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"],
            Self::Sex => &["female", "male"],
        }
    }

    fn of(self, face: &Face) -> Option<&'static str> {
        match self {
            Self::Expression => {
                let Expression { neutral, happy, sad, angry, fearful, disgusted, surprised } =
                    face.expression?;
                let values = [neutral, happy, sad, angry, fearful, disgusted, surprised];
                let named = self.classes().iter().zip(values);
                named.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| *name)
            }
            Self::Sex => Some(if face.age_gender?.male >= 0.5 { "male" } else { "female" }),
        }
    }

    /// Words of specs for what the networks call otherwise.
    fn renamed(self, asked: String) -> String {
        let name = match asked.to_lowercase().as_str() {
            "smiling" | "smile" | "happiness" => "happy",
            "surprise" => "surprised",
            "anger" => "angry",
            "sadness" => "sad",
            "man" | "men" | "boy" => "male",
            "woman" | "women" | "girl" => "female",
            _ => return asked,
        };
        if self.classes().contains(&name) { name.to_owned() } else { asked }
    }
}

impl Asked {
    /// What the metadata ask for against what the largest face of each picture shows.
    pub(super) fn confusion(
        &self,
        collection: &Collection,
        records: &[Record],
        resampling: Resampling,
    ) -> Result<(Confusion, Vec<String>), Report> {
        let faces: HashMap<&str, &Seen> =
            records.iter().filter_map(|record| Some((record.file.as_str(), record.seen.as_ref()?))).collect();
        let largest = |seen: &&Seen| {
            seen.faces
                .iter()
                .max_by(|a, b| a.rect.area().total_cmp(&b.rect.area()))
                .and_then(|face| self.measure.of(face))
        };
        let pair = |picture: &Picture| {
            let asked = self.measure.renamed(picture.label(&self.attribute)?);
            let measured = faces.get(picture.file_name.as_str()).and_then(largest).map(str::to_owned);
            Some((asked, measured))
        };
        let pairs: Vec<(String, Option<String>)> = collection.pictures.iter().filter_map(pair).collect();
        if pairs.is_empty() {
            let message = format!("no picture has the attribute \"{}\"", self.attribute);
            return Err(Report::input(message, None));
        }
        Ok(Confusion::of(&self.attribute, self.measure.classes(), &pairs, resampling)?)
    }
}

/// At most `n` pictures, evenly spread over the collection.
pub(super) fn spread(collection: &Collection, n: usize) -> Result<Vec<(String, Pixels)>, Report> {
    let pictures = &collection.pictures;
    let n = n.min(pictures.len());
    let chosen = (0..n).filter_map(|index| pictures.get(index * pictures.len() / n));
    let open =
        |picture: &Picture| Ok((picture.file_name.clone(), tronie_image::open(&collection.path(picture))?));
    chosen.map(open).collect()
}
