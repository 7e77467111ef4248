//! The recognition inside the program.

use super::{EMBEDDING_INPUT, EMBEDDING_WIDTH, Own};
use crate::annotators::recognition::Recognition;
use crate::annotators::{AnnotatorRow, Part};
use crate::networks::NetworkFile;

const ID: &str = "tronie_embedding";

pub(in crate::annotators) const ROW: AnnotatorRow = Own {
    id: ID,
    title: "recognition, 256 numbers (inside the program)",
    makes: &[Part::Embedding],
    reads: &[Part::Points],
    is_default: true,
    files: &[NetworkFile::named("tronie-embedding.onnx")],
    input: EMBEDDING_INPUT,
    outputs: &["embedding"],
    bytes: || include_bytes!("../../../../../models/tronie-faces/embedding.onnx"),
    open: |session| Box::new(Recognition { id: ID, input: EMBEDDING_INPUT, width: EMBEDDING_WIDTH, session }),
}
.row();
