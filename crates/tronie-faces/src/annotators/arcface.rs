//! Recognition by ArcFace as insightface distributes it (`buffalo_l`, ResNet-50 on WebFace600K), 512 numbers.
//!
//! Deng et al. 2019 (arXiv:1801.07698); input as in insightface's `model_zoo/arcface_onnx.py`.

use super::recognition::Recognition;
use super::{AnnotatorRow, Part, Source};
use crate::networks::{InputContract, NetworkFile, NetworkRow};

const ID: &str = "arcface";
const INPUT: InputContract =
    InputContract { mean: [127.5; 3], scale: [1.0 / 127.5; 3], ..InputContract::square(112) };

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: ID,
    title: "recognition, 512 numbers (ArcFace)",
    makes: &[Part::Embedding],
    reads: &[Part::Points],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("w600k_r50.onnx")],
            source_url: "https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
            licence: "non-commercial research only",
            credit: "insightface",
            input: INPUT,
            outputs: &[],
            n_outputs: 1,
        },
        |session| Box::new(Recognition { id: ID, input: INPUT, width: 512, session }),
    ),
};
