//! What can go wrong when faces are looked at.

use std::io;
use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty, WriteError};
use tronie_image::ImageError;

use crate::onnx::{MAX_FILE_BYTES, Refusal};
use crate::taste::MIN_LABELS;

/// Faces could not be found, measured or written.
#[derive(Debug, thiserror::Error)]
pub enum FacesError {
    /// The file of a network is in none of the model folders.
    #[error("no network for \"{annotator}\": {file} is in none of the model folders ({searched})")]
    MissingNetwork {
        /// Id of the annotator.
        annotator: &'static str,
        /// Name of the file, the first one when there are several.
        file: &'static str,
        /// Where it was looked for.
        searched: String,
        /// Where it comes from.
        source_url: &'static str,
    },
    /// A file with the name of a network and other content.
    #[error("{}: SHA-256 is {found}, expected {expected}", path.display())]
    WrongNetwork {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash of the network that is meant.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("{}: cannot read: {source}", path.display())]
    ReadNetwork {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file larger than any network this program runs.
    #[error("{}: larger than any face network, expected at most {MAX_FILE_BYTES} bytes", path.display())]
    NetworkTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file with something in it that a face network does not need.
    #[error("{}: refused: {refusal}", path.display())]
    RefusedNetwork {
        /// The file.
        path: PathBuf,
        /// What it contains.
        refusal: Refusal,
    },
    /// A graph that cannot be run.
    #[error("{}: cannot load: {reason}", path.display())]
    UnloadableNetwork {
        /// The file.
        path: PathBuf,
        /// What the loader found.
        reason: String,
    },
    /// Another input than the annotator feeds.
    #[error("{}: has {found}, expected {expected}", path.display())]
    WrongInput {
        /// The file.
        path: PathBuf,
        /// What it takes.
        found: String,
        /// What the annotator has.
        expected: String,
    },
    /// Other outputs than the annotator reads.
    #[error("{}: has the outputs {found:?}, expected {expected}", path.display())]
    WrongOutputs {
        /// The file.
        path: PathBuf,
        /// Their names.
        found: Vec<String>,
        /// What the annotator reads.
        expected: String,
    },
    /// An output of another shape than the annotator reads.
    #[error("{}: output {index} has shape {found:?}, expected {expected}", path.display())]
    WrongOutputShape {
        /// The file.
        path: PathBuf,
        /// Which output, from 0.
        index: usize,
        /// Its shape.
        found: Vec<usize>,
        /// What the annotator reads.
        expected: String,
    },
    /// A network failed while running.
    #[error("{}: cannot run: {reason}", path.display())]
    RunNetwork {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// An id that no annotator has.
    #[error("unknown annotator \"{found}\", expected one of: {expected}")]
    UnknownAnnotator {
        /// The id.
        found: String,
        /// All ids.
        expected: String,
    },
    /// A version of a face without 68 landmarks.
    #[error("{name} has no face with 68 landmarks")]
    NoLandmarks {
        /// The version.
        name: String,
    },
    /// A version that is not there.
    #[error("version {found} is asked for, there are {n_versions}")]
    NoVersion {
        /// Counted from 1.
        found: usize,
        /// Number of versions.
        n_versions: usize,
    },
    /// An id that no region has.
    #[error("unknown region \"{found}\", expected one of: {expected}")]
    UnknownRegion {
        /// The id.
        found: String,
        /// All ids.
        expected: String,
    },
    /// An annotator without the one it reads from.
    #[error("\"{annotator}\" needs {missing}, which no chosen annotator makes")]
    Incomplete {
        /// Id of the annotator.
        annotator: &'static str,
        /// What it reads.
        missing: &'static str,
    },
    /// A folder that cannot be listed.
    #[error("{}: cannot read the folder: {source}", path.display())]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder without pictures.
    #[error("no pictures in {}, expected files ending in jpg, jpeg, png or webp", folder.display())]
    NoPictures {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of lines that cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    ReadLines {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line that is not what this program writes.
    #[error("{}: line {line}: {source}", path.display())]
    BrokenLine {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Lines that other annotators or other networks made.
    #[error("{} was made by other annotators or networks than are chosen now", path.display())]
    OtherLines {
        /// The file.
        path: PathBuf,
    },
    /// A record that JSON cannot hold.
    #[error("{file}: cannot write its record: {source}")]
    Serialize {
        /// The picture.
        file: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A network without a threshold in the table.
    #[error("no known threshold for \"{network}\"")]
    NoThreshold {
        /// Id of the recognition annotator.
        network: String,
    },
    /// More faces than their distances have room for.
    #[error("{found} faces to cluster, expected at most {}", crate::cluster::MAX_FACES)]
    TooManyFaces {
        /// Number of faces.
        found: usize,
    },
    /// Pairs of which a threshold cannot be learnt.
    #[error("{n_same} pairs of one person and {n_different} of two, expected some of both")]
    OneKindOfPairs {
        /// Pairs of one person.
        n_same: usize,
        /// Pairs of two.
        n_different: usize,
    },
    /// Labels of which a taste cannot be learnt.
    #[error(
        "{n_good} good and {n_bad} bad pictures with a label and a record, expected at least {MIN_LABELS} of both"
    )]
    TooFewLabels {
        /// Good ones.
        n_good: usize,
        /// Bad ones.
        n_bad: usize,
    },
    /// A file that holds no taste.
    #[error("{}: not a taste of this program: {source}", path.display())]
    BadTaste {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A distance that is no number.
    #[error("a pair has the distance {found}, expected a finite number")]
    BadDistance {
        /// The distance.
        found: String,
    },
    /// A picture.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file that could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Faulty for FacesError {
    fn fault(&self) -> Fault {
        match self {
            Self::ReadFolder { source, .. } | Self::ReadLines { source, .. }
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Fault::Input
            }
            Self::MissingNetwork { .. }
            | Self::ReadNetwork { .. }
            | Self::ReadFolder { .. }
            | Self::ReadLines { .. } => Fault::Environment,
            Self::Image(error) => error.fault(),
            Self::Write(error) => error.fault(),
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Serialize { .. } => Fault::Bug,
            Self::WrongNetwork { .. }
            | Self::NetworkTooLarge { .. }
            | Self::RefusedNetwork { .. }
            | Self::UnloadableNetwork { .. }
            | Self::WrongInput { .. }
            | Self::WrongOutputs { .. }
            | Self::WrongOutputShape { .. }
            | Self::RunNetwork { .. }
            | Self::UnknownAnnotator { .. }
            | Self::Incomplete { .. }
            | Self::NoLandmarks { .. }
            | Self::NoVersion { .. }
            | Self::UnknownRegion { .. }
            | Self::NoPictures { .. }
            | Self::BrokenLine { .. }
            | Self::OtherLines { .. }
            | Self::NoThreshold { .. }
            | Self::TooManyFaces { .. }
            | Self::OneKindOfPairs { .. }
            | Self::TooFewLabels { .. }
            | Self::BadTaste { .. }
            | Self::BadDistance { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::MissingNetwork { file, source_url, .. } => Some(format!(
                "put {file} into a folder and name the folder with --models-dir or TRONIE_MODELS; the network is from {source_url}"
            )),
            Self::WrongNetwork { .. } => {
                Some("the file is cut short or another version; get it again".into())
            }
            Self::OtherLines { .. } => {
                Some("choose another file with --out, or --force to begin it again".into())
            }
            Self::BadTaste { .. } => Some("make one with `tronie faces judge --save FILE`".into()),
            Self::NoThreshold { .. } => {
                Some("give one with --threshold; `tronie faces calibrate` finds one from pairs".into())
            }
            Self::NoLandmarks { .. } => Some("choose a picture with one clear face".into()),
            Self::Image(error) => error.hint(),
            Self::Write(error) => error.hint(),
            _ => None,
        }
    }
}
