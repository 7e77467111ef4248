//! Recognition by MobileFace V2, 256 numbers.

use super::recognition::Recognition;
use super::{AnnotatorRow, Part, Source};
use crate::networks::{InputContract, NetworkFile, NetworkRow};

const ID: &str = "mobileface";
/// The graph itself computes (v - 127.5) / 128.
const INPUT: InputContract = InputContract::square(112);

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: ID,
    title: "recognition, 256 numbers (MobileFace V2)",
    makes: &[Part::Embedding],
    reads: &[Part::Points],
    is_default: true,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile {
                name: "mobileface_v2.onnx",
                sha256: Some("9594ce6e9c68240a149aab5daf6c4e1d131ab8b2d1ea197ae4fe47aac16207cb"),
                n_bytes: Some(3_518_507),
            }],
            source_url: "https://github.com/becauseofAI/MobileFace/tree/128cea33b928dc9bb6d1963202b57a97f5661ccf/MobileFace_Identification (MobileFace_Identification_V2, converted to ONNX)",
            licence: "MIT",
            credit: "becauseofAI",
            input: INPUT,
            outputs: &["embedding"],
            n_outputs: 1,
        },
        |session| Box::new(Recognition { id: ID, input: INPUT, width: 256, session }),
    ),
};
