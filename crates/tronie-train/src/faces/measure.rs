//! How good annotators of faces are, on held-out pictures with labels.
//!
//! Labels are mostly what larger networks said, so the figures are agreement with those; where a prompt says what a picture
//! shows, they are agreement with the prompt.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tronie_base::Progress;
use tronie_faces::geometry::{Point, Rect, Transform};
use tronie_faces::own::{N_PARTS, part_of};
use tronie_faces::{
    AgeGroup, Analyzer, Calibration, Face, Metric, Outside, Pair, Sampling, Worker, calibrate, crop,
};
use tronie_image::Pixels;
use tronie_tensor::lanes;

use super::augment::{Jitter, jittered, spoil};
use super::gallery::{self, Half, Labels, Sex, Subject};
use super::scene;
use crate::TrainError;
use crate::data::Draw;

/// Overlap from which a found face is the labelled one.
const SAME_BOX: f32 = 0.5;
/// Side of pictures made to be looked at.
const SIDE_PX: usize = 256;
/// Largest turn, shift and zoom of the pictures of one person that are compared.
const JITTER: Jitter = Jitter { turn_deg: 12.0, shift: 0.05, zoom: 1.15 };
/// Places across a face at which its parts are compared.
const PARTS_SIDE: usize = 512;
const PARTS: [&str; N_PARTS] = ["background", "skin", "brows", "eyes", "nose", "mouth", "hair"];

/// Figures of a set of annotators. Shares are 0 to 1.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FacesFigures {
    /// Held-out pictures.
    pub n_pictures: usize,
    /// Share of labelled faces that were found, at an intersection over union of 0.5.
    pub recall: f64,
    /// Found faces that have no label, for each picture.
    pub extra_per_picture: f64,
    /// Share of pictures without a face in which none was found.
    pub quiet: f64,
    /// Mean distance of the 68 landmarks from the labelled ones over the distance of the outer corners of the eyes.
    pub landmark_error: f64,
    /// How well two spoiled pictures of one person are told from those of two.
    pub verification: Option<Verified>,
    /// Mean difference in age, in years.
    pub age_error_years: f64,
    /// For each attribute and value how often it was recognized, and how many pictures have it.
    pub attributes: BTreeMap<String, Share>,
    /// Intersection over union of each part of the face.
    pub parts: BTreeMap<&'static str, f64>,
}

/// How often something was right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Share {
    /// Pictures in which it was.
    pub n_right: usize,
    /// All pictures.
    pub n: usize,
}

/// Verification of held-out people.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Verified {
    /// Area under the curve of true over false matches.
    pub auc: f64,
    /// Pairs of one person.
    pub n_same: usize,
    /// Pairs of two.
    pub n_different: usize,
    /// Largest cosine distance of one person at which 1 pair in 100 of two people is taken for one.
    pub threshold: f32,
    /// Share of pairs of one person that are recognized at that threshold.
    pub recognized: f64,
}

/// What was seen of a held-out picture.
struct Look {
    found: Vec<Face>,
    is_quiet: bool,
    embeddings: [Option<Vec<f32>>; 2],
    /// Common and united places of each part.
    parts: [[usize; 2]; N_PARTS],
}

/// Measures annotators on the held-out pictures of a file of labels.
///
/// # Errors
/// [`TrainError`] for labels or pictures that cannot be read, and networks that fail.
pub fn measure_faces(
    (labels, folder): (&Path, &Path),
    analyzer: &Analyzer,
    progress: &mut dyn Progress,
) -> Result<FacesFigures, TrainError> {
    let subjects = gallery::read((labels, folder), Half::HeldOut, true, progress)?;
    if subjects.is_empty() {
        return Err(TrainError::Nothing { reason: "no line of the labels is held out" });
    }
    progress.begin("measuring", subjects.len() as u64);
    let mut looks = Vec::with_capacity(subjects.len());
    let all: Vec<(usize, &Subject)> = subjects.iter().enumerate().collect();
    let mut workers: Vec<Worker> = (0..lanes::n_available()).map(|_| analyzer.worker()).collect();
    for some in all.chunks(workers.len()) {
        progress.check()?;
        let jobs: Vec<_> = some.iter().zip(workers.drain(..)).collect();
        let seen =
            lanes::side_by_side(jobs, |(&(index, subject), worker)| (look(index, subject, &worker), worker));
        for (look, worker) in seen {
            looks.push(look?);
            workers.push(worker);
        }
        workers.extend((workers.len()..lanes::n_available()).map(|_| analyzer.worker()));
        progress.advance(some.len() as u64);
    }
    figures(&subjects, &looks)
}

fn look(index: usize, subject: &Subject, worker: &Worker) -> Result<Look, TrainError> {
    let draw = Draw::new(MEASURING_SEED, index as u64);
    let found = worker.faces(&subject.pixels)?;
    let empty = picture(scene::empty(subject, SIDE_PX, draw))?;
    let embedding = |part: u64| -> Result<Option<Vec<f32>>, TrainError> {
        let faces = worker.faces(&spoiled(&subject.pixels, draw.of(part))?)?;
        let largest = faces.into_iter().max_by(|a, b| a.rect.area().total_cmp(&b.rect.area()));
        Ok(largest.and_then(|face| face.embedding).map(|embedding| embedding.values))
    };
    let embeddings = if subject.face().is_some() { [embedding(0)?, embedding(1)?] } else { [None, None] };
    let is_quiet = worker.faces(&empty)?.is_empty();
    Ok(Look { parts: parts(subject, &found), found, is_quiet, embeddings })
}

/// Pictures that each one is compared with, itself first.
const N_COMPARED: usize = 60;
/// Seed of the choices of pictures that are looked at.
const MEASURING_SEED: u64 = 1;

fn picture(rgb: Vec<f32>) -> Result<Pixels, TrainError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to bytes")]
    let bytes = rgb.into_iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect();
    let side = u32::try_from(SIDE_PX).unwrap_or(u32::MAX);
    Ok(Pixels::new(side, side, bytes)?)
}

/// The whole picture, stretched to a square, moved and spoiled.
fn spoiled(pixels: &Pixels, draw: Draw) -> Result<Pixels, TrainError> {
    let whole =
        Rect { left: 0.0, top: 0.0, right: pixels.width_px() as f32, bottom: pixels.height_px() as f32 };
    let (crop_from_moved, _) = jittered(draw, SIDE_PX, JITTER);
    let image_from_crop: Transform = whole.image_from_crop(SIDE_PX, SIDE_PX).after(&crop_from_moved);
    let sampling =
        Sampling { width_px: SIDE_PX, height_px: SIDE_PX, outside: Outside::Edge, points_per_side: 1 };
    let square = crop(pixels, &image_from_crop, sampling)?;
    let mut rgb: Vec<f32> = square.rgb().iter().map(|&byte| f32::from(byte)).collect();
    spoil(&mut rgb, SIDE_PX, draw);
    picture(rgb)
}

fn parts(subject: &Subject, found: &[Face]) -> [[usize; 2]; N_PARTS] {
    let mut counts = [[0; 2]; N_PARTS];
    let labelled = subject.face();
    let face = found.iter().find(|face| labelled.is_some_and(|label| label.rect.iou(&face.rect) >= SAME_BOX));
    let Some(parsing) = face.and_then(|face| face.parsing.as_ref()) else { return counts };
    let expected = subject.classes(&parsing.transform(), PARTS_SIDE);
    for (expected, &class) in expected.into_iter().zip(&parsing.classes) {
        let (Some(expected), Some(seen)) = (expected, part_of(class)) else { continue };
        for (part, [common, united]) in counts.iter_mut().enumerate() {
            let (is_expected, is_seen) = (usize::from(expected) == part, usize::from(seen) == part);
            *common += usize::from(is_expected && is_seen);
            *united += usize::from(is_expected || is_seen);
        }
    }
    counts
}

fn figures(subjects: &[Subject], looks: &[Look]) -> Result<FacesFigures, TrainError> {
    let mut figures = FacesFigures { n_pictures: subjects.len(), ..FacesFigures::default() };
    let (mut n_found, mut n_labelled, mut n_extra) = (0, 0, 0);
    let (mut landmark_errors, mut age_errors) = (Vec::new(), Vec::new());
    for (subject, look) in subjects.iter().zip(looks) {
        let is_same = |a: &Face, b: &Face| a.rect.iou(&b.rect) >= SAME_BOX;
        n_labelled += subject.faces.len();
        n_extra +=
            look.found.iter().filter(|face| !subject.faces.iter().any(|own| is_same(face, own))).count();
        for label in &subject.faces {
            let Some(face) = look.found.iter().find(|face| is_same(face, label)) else { continue };
            n_found += 1;
            landmark_errors.extend(landmark_error(face, label));
            if subject.face().is_some() {
                let ages = face.age_gender.zip(label.age_gender);
                age_errors.extend(ages.map(|(a, b)| f64::from((a.age_years - b.age_years).abs())));
                attributes(&mut figures.attributes, face, (label, &subject.labels));
            }
        }
    }
    let n = subjects.len() as f64;
    figures.recall = n_found as f64 / (n_labelled as f64).max(1.0);
    figures.extra_per_picture = n_extra as f64 / n;
    figures.quiet = looks.iter().filter(|look| look.is_quiet).count() as f64 / n;
    figures.landmark_error = mean(&landmark_errors);
    figures.age_error_years = mean(&age_errors);
    figures.verification = verification(subjects, looks)?;
    for (part, name) in PARTS.into_iter().enumerate() {
        let counts = looks.iter().filter_map(|look| look.parts.get(part));
        let [common, united] = counts.fold([0, 0], |sum, count| [sum[0] + count[0], sum[1] + count[1]]);
        if united > 0 {
            figures.parts.insert(name, common as f64 / united as f64);
        }
    }
    Ok(figures)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

fn landmark_error(face: &Face, label: &Face) -> Option<f64> {
    let (found, expected) = (face.landmarks_68.as_ref()?, label.landmarks_68.as_ref()?);
    let eyes = expected.get(36)?.distance(*expected.get(45)?);
    let distances = found.iter().zip(expected).map(|(a, b): (&Point, &Point)| f64::from(a.distance(*b)));
    Some(distances.sum::<f64>() / found.len() as f64 / f64::from(eyes))
}

/// Counts what was recognized of the attributes of a face.
fn attributes(counts: &mut BTreeMap<String, Share>, face: &Face, (label, labels): (&Face, &Labels)) {
    let mut count = |name: String, is_right: bool| {
        let Share { n_right, n } = counts.entry(name).or_default();
        *n += 1;
        *n_right += usize::from(is_right);
    };
    if let Some((sex, found)) = labels.sex.zip(face.age_gender) {
        count(format!("sex {sex:?}").to_lowercase(), (found.male > 0.5) == (sex == Sex::Male));
    }
    if let Some((found, expected)) = face.expression.zip(label.expression) {
        let (name, expected) = largest(&EXPRESSIONS, &expected.probabilities());
        if expected > CLEAR {
            count(format!("expression {name}"), largest(&EXPRESSIONS, &found.probabilities()).0 == name);
        }
    }
    let Some(found) = face.attributes else { return };
    if let Some(expected) = label.age_gender {
        let group = AgeGroup::of(expected.age_years);
        count(format!("age {group:?}").to_lowercase(), found.age_group == group);
    }
    if let Some(glasses) = labels.glasses {
        count(format!("glasses {}", in_words(glasses)), (found.glasses > 0.5) == glasses);
    }
    if let Some(smile) = labels.smile {
        count(format!("smile {}", in_words(smile)), (found.smile > 0.5) == smile);
    }
    if let Some(hair) = labels.hair {
        let name = format!("{hair:?}").to_lowercase();
        let is_right = largest(&HAIR, &found.hair.probabilities()).0 == name;
        count(format!("hair {name}"), is_right);
    }
}

const EXPRESSIONS: [&str; 7] = ["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"];
const HAIR: [&str; 6] = ["dark", "blond", "red", "gray", "colored", "bald"];
/// Probability from which the label of an expression counts.
const CLEAR: f32 = 0.6;

fn in_words(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn largest<'a>(names: &[&'a str], values: &[f32]) -> (&'a str, f32) {
    let pairs = names.iter().copied().zip(values.iter().copied());
    pairs.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

/// Every picture's first spoiled form against the second of itself and of those that follow.
fn verification(subjects: &[Subject], looks: &[Look]) -> Result<Option<Verified>, TrainError> {
    let of = |form: usize| {
        let rows = subjects.iter().zip(looks).filter(|(_, look)| look.embeddings.iter().all(Option::is_some));
        rows.filter_map(move |(subject, look)| {
            Some((&subject.labels.person, look.embeddings.get(form)?.as_ref()?))
        })
    };
    let mut pairs = Vec::new();
    for (index, (person, a)) in of(0).enumerate() {
        let others = of(1).cycle().skip(index).take(N_COMPARED.min(looks.len()));
        pairs.extend(
            others
                .map(|(other, b)| Pair { distance: Metric::Cosine.distance(a, b), is_same: person == other }),
        );
    }
    let n_same = pairs.iter().filter(|pair| pair.is_same).count();
    if n_same == 0 || n_same == pairs.len() {
        return Ok(None);
    }
    let Calibration { auc, .. } = calibrate(&pairs)?;
    let mut different: Vec<f32> =
        pairs.iter().filter(|pair| !pair.is_same).map(|pair| pair.distance).collect();
    different.sort_by(f32::total_cmp);
    let threshold = different.get(different.len() / 100).copied().unwrap_or_default();
    let n_recognized = pairs.iter().filter(|pair| pair.is_same && pair.distance < threshold).count();
    Ok(Some(Verified {
        auc: auc.value,
        n_same,
        n_different: different.len(),
        threshold,
        recognized: n_recognized as f64 / n_same as f64,
    }))
}
