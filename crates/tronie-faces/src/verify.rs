//! Whether two pictures show the same person.

use std::f32::consts::PI;

use serde::{Deserialize, Serialize};

use crate::annotators::Embedding;
use crate::{Face, FacesError};

/// How far two embeddings are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// 1 minus the cosine of the angle between them, 0 to 2.
    #[default]
    Cosine,
    /// Length of the difference of the unit vectors, 0 to 2.
    EuclideanL2,
    /// The angle between them over pi, 0 to 1.
    Angular,
}

impl Metric {
    /// All of them with their ids.
    pub const ALL: [(&'static str, Self); 3] =
        [("cosine", Self::Cosine), ("euclidean_l2", Self::EuclideanL2), ("angular", Self::Angular)];

    /// The distance of two vectors of length 1.
    #[must_use]
    pub fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0);
        match self {
            Self::Cosine => 1.0 - cosine,
            Self::EuclideanL2 => (2.0 - 2.0 * cosine).sqrt(),
            Self::Angular => cosine.acos() / PI,
        }
    }
}

/// Up to which distance a network's embeddings are taken for one person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// Id of the recognition annotator.
    pub network: &'static str,
    /// The metric.
    pub metric: Metric,
    /// Largest distance of one person.
    pub threshold: f32,
    /// Where the number is from.
    pub origin: &'static str,
}

const DEEPFACE_BUFFALO_L: &str = "deepface, config/threshold.py at 243209fd, Buffalo_L";
const DEEPFACE_SFACE: &str = "deepface, config/threshold.py at 243209fd, SFace";

/// Measured with `tronie faces calibrate`: at these distances 1 pair in 100 of different people is taken for one person,
/// and 94 in 100 pairs of one person are recognized.
const SDXL_WOMEN: &str = "1 false match in 100 among 100 women made by SDXL, three augmented pictures of each (tobecwb/facial-features-yolo8x-seg)";

/// Measured with `tronie faces selftest`: spoiled pictures of held-out people of `models/tronie-faces/README.md`, found, aligned
/// and compared by the networks inside the program.
const HELD_OUT: &str = "1 false match in 100 among held-out synthetic people, pictures turned, lit, blurred and covered in part (tronie faces selftest)";

const fn row(network: &'static str, metric: Metric, threshold: f32, origin: &'static str) -> ThresholdRow {
    ThresholdRow { network, metric, threshold, origin }
}

/// Known thresholds, one for each network and metric. A threshold belongs to one file of weights: where another file
/// of the same network is used, `tronie faces calibrate` finds its own.
pub const THRESHOLDS: &[ThresholdRow] = &[
    row("mobileface", Metric::Cosine, 0.30, SDXL_WOMEN),
    row("mobileface", Metric::EuclideanL2, 0.775, SDXL_WOMEN),
    row("mobileface", Metric::Angular, 0.253, SDXL_WOMEN),
    row("tronie_embedding", Metric::Cosine, 0.32, HELD_OUT),
    row("tronie_embedding", Metric::EuclideanL2, 0.8, HELD_OUT),
    row("tronie_embedding", Metric::Angular, 0.262, HELD_OUT),
    row("arcface", Metric::Cosine, 0.55, DEEPFACE_BUFFALO_L),
    row("arcface", Metric::EuclideanL2, 1.1, DEEPFACE_BUFFALO_L),
    row("arcface", Metric::Angular, 0.45, DEEPFACE_BUFFALO_L),
    row("sface", Metric::Cosine, 0.593, DEEPFACE_SFACE),
    row("sface", Metric::EuclideanL2, 1.055, DEEPFACE_SFACE),
    row("sface", Metric::Angular, 0.36, DEEPFACE_SFACE),
];

/// The threshold of a network and metric.
#[must_use]
pub fn threshold_of(network: &str, metric: Metric) -> Option<&'static ThresholdRow> {
    THRESHOLDS.iter().find(|row| row.network == network && row.metric == metric)
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The distance is at most the threshold.
    Same,
    /// It is larger.
    Different,
    /// A picture shows no face, which is neither.
    NoFace,
}

/// Two pictures compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The answer.
    pub verdict: Verdict,
    /// Distance of the two faces; absent without two faces.
    pub distance: Option<f32>,
    /// Largest distance of one person.
    pub threshold: f32,
    /// Where the threshold is from.
    pub threshold_origin: String,
    /// The metric.
    pub metric: Metric,
    /// Id of the recognition annotator.
    pub network: String,
    /// Number of faces in each picture; the largest of each is compared.
    pub n_faces: [usize; 2],
}

/// The threshold that somebody gives, or the known one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The metric.
    pub metric: Metric,
    /// A number of one's own; the known one when absent.
    pub own: Option<f32>,
}

/// The largest face with an embedding.
#[must_use]
pub fn largest_known(faces: &[Face]) -> Option<(&Face, &Embedding)> {
    let known = faces.iter().filter_map(|face| Some((face, face.embedding.as_ref()?)));
    known.max_by(|a, b| a.0.rect.area().total_cmp(&b.0.rect.area()))
}

/// Compares the largest faces of two pictures with embeddings of `network`.
///
/// # Errors
/// [`FacesError::NoThreshold`] where neither a number of one's own nor a known one is there.
pub fn verify(
    network: &str,
    faces: [&[Face]; 2],
    Threshold { metric, own }: Threshold,
) -> Result<Verification, FacesError> {
    let known = threshold_of(network, metric);
    let (threshold, threshold_origin) = match (own, known) {
        (Some(own), _) => (own, "given"),
        (None, Some(row)) => (row.threshold, row.origin),
        (None, None) => return Err(FacesError::NoThreshold { network: network.to_owned() }),
    };
    let [a, b] = faces.map(largest_known);
    let distance = a.zip(b).map(|((_, a), (_, b))| metric.distance(&a.values, &b.values));
    let verdict = match distance {
        None => Verdict::NoFace,
        Some(distance) if distance <= threshold => Verdict::Same,
        Some(_) => Verdict::Different,
    };
    Ok(Verification {
        verdict,
        distance,
        threshold,
        threshold_origin: threshold_origin.to_owned(),
        metric,
        network: network.to_owned(),
        n_faces: faces.map(<[Face]>::len),
    })
}

#[cfg(test)]
mod tests;
