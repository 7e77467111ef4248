//! The detector inside the program.

use super::{DETECTOR_CELL_PX, DETECTOR_INPUT, DETECTOR_UNIT_PX, Own};
use crate::annotators::detector::{Candidate, Detector, DetectorContract, Fit, cells, n_cells};
use crate::annotators::{AnnotatorRow, Part};
use crate::geometry::Rect;
use crate::networks::NetworkFile;

const N_CELLS: usize = n_cells(DETECTOR_INPUT.width_px, DETECTOR_CELL_PX);

/// At a score of 0.5 misses and false finds on held-out pictures are about even.
pub(super) const CONTRACT: DetectorContract = DetectorContract {
    input: DETECTOR_INPUT,
    fit: Fit::Stretch,
    widths: &[5 * N_CELLS],
    min_score: 0.5,
    max_iou: 0.35,
    decode,
};

pub(in crate::annotators) const ROW: AnnotatorRow = Own {
    id: "tronie_detector",
    title: "face boxes (inside the program)",
    makes: &[Part::Box],
    reads: &[],
    is_default: true,
    files: &[NetworkFile::named("tronie-detector.onnx")],
    input: DETECTOR_INPUT,
    outputs: &["detector"],
    bytes: || include_bytes!("../../../../../models/tronie-faces/detector.onnx"),
    open: |session| Box::new(Detector { contract: CONTRACT, session }),
}
.row();

/// One candidate for each cell; the map has its five channels one after the other.
fn decode(values: &[&[f32]]) -> Vec<Candidate> {
    let planes: Vec<&[f32]> = values.iter().flat_map(|map| map.chunks_exact(N_CELLS)).collect();
    let candidate = |(index, (column, row)): (usize, (f32, f32))| {
        let mut channels = planes.iter().filter_map(|plane| plane.get(index).copied());
        let logit = channels.next()?;
        let sides: Vec<f32> = channels.map(|side| side.exp() * DETECTOR_UNIT_PX).collect();
        let [left, top, right, bottom] = *sides.as_slice() else { return None };
        let middle = |cell: f32| (cell + 0.5) * DETECTOR_CELL_PX as f32;
        let (x, y) = (middle(column), middle(row));
        let rect = Rect { left: x - left, top: y - top, right: x + right, bottom: y + bottom };
        Some(Candidate { rect, score: 1.0 / (1.0 + (-logit).exp()), points: None })
    };
    cells(DETECTOR_INPUT.width_px, DETECTOR_CELL_PX).enumerate().filter_map(candidate).collect()
}
