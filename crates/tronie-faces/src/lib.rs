//! Seeing faces: detection, landmarks, alignment, recognition, attributes, quality.
//!
//! - [`ANNOTATORS`]: everything that can be said about faces, one row each; [`Analyzer`] opens some of them, [`Worker`]
//!   runs them on pictures, [`Face`] is the record they fill.
//! - [`NetworkFolders`], [`NetworkRow`], [`onnx`]: the files of networks, their contracts, and the checks that files of
//!   strangers go through.
//! - [`sweep()`], [`Record`]: a line of JSON for every picture of a folder, killed and continued.
//! - [`verify()`], [`calibrate()`], [`cluster()`]: who is who, with thresholds that say where they are from.
//! - [`compose()`]: one face of the best regions of several versions.
//! - [`Taste`]: which pictures a person would keep, learnt from labels.
//! - [`geometry`], [`crop`]: points, boxes, transforms named `a_from_b`, the ArcFace and FFHQ alignments.
//!
//! Small networks are inside the program ([`own`]); larger ones are files that users bring. A file that was chosen and is absent is
//! an error that says where to get it.

mod align;
mod analyzer;
mod annotators;
mod calibrate;
mod cluster;
mod composer;
mod error;
mod face;
pub mod geometry;
mod networks;
pub mod onnx;
mod overlay;
mod records;
mod sample;
mod solve;
mod sweep;
mod taste;
mod verify;

pub use align::{Aligned, AlignedFaces, Template, aligned, write_aligned};
pub use analyzer::{Analyzer, Worker, needed_for, with_defaults};
pub use annotators::{
    ANNOTATORS, AgeGender, AgeGroup, Annotator, AnnotatorRow, Attributes, CLASSES, Embedding, Expression,
    Feature, HairColor, HeadPose, Parsing, Part, Quality, Region, Source, annotator, own,
};
pub use calibrate::{Calibration, Estimate, Pair, Strict, calibrate};
pub use cluster::{Cluster, MAX_FACES, cluster};
pub use composer::{
    Blending, Choice, ComposedRegion, Composition, FACE_REGIONS, FaceRegion, Version, compose, face_region,
};
pub use error::FacesError;
pub use face::Face;
pub use networks::{ChannelOrder, InputContract, NetworkFile, NetworkFolders, NetworkRow};
pub use overlay::overlay;
pub use records::{Record, Seen, read_records, write_overlay};
pub use sample::{Outside, Sampling, crop, sample};
pub use sweep::{Sweep, SweepSummary, pictures_below, sweep};
pub use taste::{Judgement, Label, MIN_LABELS, Taste};
pub use verify::{
    Metric, THRESHOLDS, Threshold, ThresholdRow, Verdict, Verification, largest_known, threshold_of, verify,
};
