//! Recognition by SFace of OpenCV's model zoo, 128 numbers.
//!
//! Zhong et al. 2021 (arXiv:2205.12010); input as in OpenCV's `FaceRecognizerSF`, which swaps OpenCV's blue and red.

use super::recognition::Recognition;
use super::{AnnotatorRow, Part, Source};
use crate::networks::{InputContract, NetworkFile, NetworkRow};

const ID: &str = "sface";
const INPUT: InputContract = InputContract::square(112);

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: ID,
    title: "recognition, 128 numbers (SFace)",
    makes: &[Part::Embedding],
    reads: &[Part::Points],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("face_recognition_sface_2021dec.onnx")],
            source_url: "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
            licence: "Apache-2.0",
            credit: "Yaoyao Zhong, OpenCV China",
            input: INPUT,
            outputs: &[],
            n_outputs: 1,
        },
        |session| Box::new(Recognition { id: ID, input: INPUT, width: 128, session }),
    ),
};
