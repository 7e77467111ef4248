//! What can be wrong with a spec's sections about curation.

use tronie_base::{Fault, Faulty};
use tronie_faces::FacesError;

use super::MAX_ATTEMPTS;

/// Rules of curation that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CurationError {
    /// An annotator that does not exist.
    #[error("[measure]: {0}")]
    Annotator(#[from] FacesError),
    /// A measure that does not exist.
    #[error("{place} names the measure \"{found}\", which does not exist")]
    UnknownMeasure {
        /// The section.
        place: String,
        /// The name.
        found: String,
        /// The measure that was meant, if there is one close by.
        nearest: Option<&'static str>,
    },
    /// A measure that no chosen annotator makes.
    #[error("\"{wanted}\" is made by no annotator of [measure], expected one of: {makers}")]
    NotMade {
        /// What is wanted.
        wanted: String,
        /// The annotators that make it.
        makers: String,
    },
    /// A taste that was never named.
    #[error("{place} asks for \"taste\", but [measure] names no file of one")]
    NoTaste {
        /// The section.
        place: String,
    },
    /// A filter that does not go with its measure.
    #[error("filter of \"{measure}\": expected {expected}")]
    BadFilter {
        /// The measure.
        measure: &'static str,
        /// What a filter of it has.
        expected: String,
    },
    /// A verification that does not go with its measure.
    #[error("[verify.{attribute}] by \"{measure}\": expected {expected}")]
    BadVerification {
        /// The attribute.
        attribute: String,
        /// The measure.
        measure: &'static str,
        /// What a verification by it has.
        expected: String,
    },
    /// A number of attempts that is none.
    #[error("attempts.per_slot is {found}, expected 1 to {MAX_ATTEMPTS}")]
    BadAttempts {
        /// The number.
        found: u32,
    },
    /// A rate of success that is none.
    #[error("attempts.stop_below is {found}, expected a number between 0 and 1")]
    BadStop {
        /// The number.
        found: f64,
    },
    /// A distance of perceptual hashes at which everything is a duplicate.
    #[error(
        "duplicates.hash_bits is {found}, expected 0 to 32: unrelated pictures differ in about 32 of 64 bits"
    )]
    BadHashBits {
        /// The number.
        found: u32,
    },
    /// A cosine that is none.
    #[error("duplicates.cosine is {found}, expected above 0 and at most 1")]
    BadCosine {
        /// The number.
        found: f32,
    },
}

impl Faulty for CurationError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Annotator(error) => error.hint(),
            Self::UnknownMeasure { nearest: Some(name), .. } => Some(format!("did you mean \"{name}\"?")),
            Self::UnknownMeasure { nearest: None, .. } => Some("docs/measures.md lists all of them".into()),
            Self::NotMade { makers, .. } => {
                let first = makers.split(',').next().unwrap_or_default();
                Some(format!("add [measure], with annotators = [\"{first}\"] where it is no default one"))
            }
            Self::NoTaste { .. } => Some(
                "make one with `tronie faces judge --save taste.json` and write taste = \"taste.json\""
                    .into(),
            ),
            _ => None,
        }
    }
}
