//! What can be said about faces, and the table of everything that says it.
//!
//! An annotator is one file of this folder, one field of [`Face`] and one row of [`ANNOTATORS`]. Those with a network
//! state its contract in a [`NetworkRow`]: files, hashes, source, licence, input and outputs.

mod age_gender;
mod arcface;
mod crops;
mod detector;
mod expression;
mod facemesh468;
mod head_pose;
mod landmarks106;
mod landmarks110;
mod landmarks68;
mod mobileface;
pub mod own;
mod parsing;
mod quality;
mod recognition;
mod retinaface;
mod rfb320;
mod scrfd;
mod sface;
mod yolov8_face;
mod yolov8_seg;
mod yunet;

use tronie_image::Pixels;

pub use age_gender::AgeGender;
pub use expression::Expression;
pub use head_pose::HeadPose;
pub use own::attributes::{AgeGroup, Attributes, HairColor};
pub use parsing::{CLASSES, Parsing};
pub(crate) use quality::Luma;
pub use quality::Quality;
pub use recognition::Embedding;
pub use yolov8_seg::{Feature, Region};

use crate::networks::NetworkRow;
use crate::onnx::Session;
use crate::{Face, FacesError};

/// Part of a [`Face`] that an annotator makes or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The faces themselves: boxes and scores.
    Box,
    /// Eyes, nose tip, mouth corners.
    Points,
    /// `landmarks_68`.
    Landmarks68,
    /// `landmarks_106`.
    Landmarks106,
    /// `mesh_468`.
    Mesh468,
    /// `parsing`.
    Parsing,
    /// `regions`.
    Regions,
    /// `landmarks_110`.
    Landmarks110,
    /// `embedding`.
    Embedding,
    /// `age_gender`.
    AgeGender,
    /// `expression`.
    Expression,
    /// `attributes`.
    Attributes,
    /// `head_pose`.
    HeadPose,
    /// `quality`.
    Quality,
}

impl Part {
    /// The field of the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Points => "points",
            Self::Landmarks68 => "landmarks_68",
            Self::Landmarks106 => "landmarks_106",
            Self::Mesh468 => "mesh_468",
            Self::Parsing => "parsing",
            Self::Regions => "regions",
            Self::Landmarks110 => "landmarks_110",
            Self::Embedding => "embedding",
            Self::AgeGender => "age_gender",
            Self::Expression => "expression",
            Self::Attributes => "attributes",
            Self::HeadPose => "head_pose",
            Self::Quality => "quality",
        }
    }
}

/// Adds to what is known about the faces of a picture. Each thread has its own.
pub trait Annotator: Send {
    /// Finds the faces (a detector), or fills one part of every face that is there.
    ///
    /// # Errors
    /// [`FacesError`] when a network fails or has other outputs than its contract says.
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError>;
}

/// How an annotator comes to be.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// From a network.
    Network(NetworkRow, fn(Session) -> Box<dyn Annotator>),
    /// From a network that is part of the program; a file of the row's goes before it.
    Embedded(NetworkRow, fn() -> &'static [u8], fn(Session) -> Box<dyn Annotator>),
    /// From arithmetic on pixels and on what others found.
    Arithmetic(fn() -> Box<dyn Annotator>),
}

impl Source {
    /// Everything about its network but the weights, where it has one.
    #[must_use]
    pub fn network(&self) -> Option<&NetworkRow> {
        match self {
            Self::Network(row, _) | Self::Embedded(row, ..) => Some(row),
            Self::Arithmetic(_) => None,
        }
    }
}

/// One annotator.
#[derive(Debug, Clone, Copy)]
pub struct AnnotatorRow {
    /// What it is called on the command line and in records; permanent.
    pub id: &'static str,
    /// One line on what it is.
    pub title: &'static str,
    /// Parts it makes, the one it is chosen for first.
    pub makes: &'static [Part],
    /// Parts it reads.
    pub reads: &'static [Part],
    /// Whether it runs when nothing is chosen. Of several that make the same part the first one that is here runs.
    pub is_default: bool,
    /// How it comes to be.
    pub source: Source,
}

/// Every annotator there is, in the order in which they run; those inside the program after all others of their kind. Command line, records, documentation and tests read this.
pub const ANNOTATORS: &[AnnotatorRow] = &[
    rfb320::ROW,
    scrfd::ROW,
    yunet::ROW,
    retinaface::ROW,
    yolov8_face::ROW,
    own::detector::ROW,
    landmarks68::ROW,
    own::landmarks::ROW,
    landmarks106::ROW,
    facemesh468::ROW,
    parsing::ROW,
    parsing::CELEBA_ROW,
    own::parsing::ROW,
    landmarks110::ROW,
    yolov8_seg::ROW,
    mobileface::ROW,
    arcface::ROW,
    sface::ROW,
    own::embedding::ROW,
    age_gender::ROW,
    expression::ROW,
    own::attributes::ROW,
    head_pose::ROW,
    quality::ROW,
];

/// The annotator of an id.
///
/// # Errors
/// [`FacesError::UnknownAnnotator`] with all ids.
pub fn annotator(id: &str) -> Result<&'static AnnotatorRow, FacesError> {
    ANNOTATORS.iter().find(|row| row.id == id).ok_or_else(|| FacesError::UnknownAnnotator {
        found: id.to_owned(),
        expected: ANNOTATORS.iter().map(|row| row.id).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests;
