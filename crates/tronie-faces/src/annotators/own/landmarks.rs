//! The 68 landmarks inside the program.

use super::{LANDMARKS_CROP, LANDMARKS_INPUT, Own};
use crate::annotators::landmarks68::Landmarks68;
use crate::annotators::{AnnotatorRow, Part};
use crate::networks::NetworkFile;

pub(in crate::annotators) const ROW: AnnotatorRow = Own {
    id: "tronie_landmarks68",
    title: "68 landmarks (inside the program)",
    makes: &[Part::Landmarks68, Part::Points],
    reads: &[Part::Box],
    is_default: true,
    files: &[NetworkFile::named("tronie-landmarks.onnx")],
    input: LANDMARKS_INPUT,
    outputs: &["landmarks"],
    bytes: || include_bytes!("../../../../../models/tronie-faces/landmarks.onnx"),
    open: |session| Box::new(Landmarks68 { session, input: LANDMARKS_INPUT, crop: LANDMARKS_CROP }),
}
.row();
