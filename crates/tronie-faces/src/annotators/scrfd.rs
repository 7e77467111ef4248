//! SCRFD with five points, as insightface distributes it (`det_10g.onnx` of `buffalo_l`).
//!
//! Guo et al. 2021 (arXiv:2105.04714). Nine outputs: scores, box distances and point offsets of three strides; two
//! anchors lie on each cell's corner, all lengths are in strides. Decoding as in insightface's `model_zoo/scrfd.py`.

use super::detector::{Candidate, Detector, DetectorContract, Fit, STRIDES, cells, n_cells};
use super::{AnnotatorRow, Part, Source};
use crate::geometry::{Point, Rect};
use crate::networks::{InputContract, NetworkFile, NetworkRow};

const SIDE_PX: usize = 640;
const ANCHORS_PER_CELL: usize = 2;
const INPUT: InputContract =
    InputContract { mean: [127.5; 3], scale: [1.0 / 128.0; 3], ..InputContract::square(SIDE_PX) };

const fn n_anchors(stride: usize) -> usize {
    n_cells(SIDE_PX, stride) * ANCHORS_PER_CELL
}

/// Thresholds of `scrfd.py`: score above 0.5, overlap up to 0.4.
pub(super) const CONTRACT: DetectorContract = DetectorContract {
    input: INPUT,
    fit: Fit::TopLeft,
    widths: &[
        n_anchors(8),
        n_anchors(16),
        n_anchors(32),
        n_anchors(8) * 4,
        n_anchors(16) * 4,
        n_anchors(32) * 4,
        n_anchors(8) * 10,
        n_anchors(16) * 10,
        n_anchors(32) * 10,
    ],
    min_score: 0.5,
    max_iou: 0.4,
    decode,
};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "scrfd",
    title: "face boxes and five points (SCRFD)",
    makes: &[Part::Box, Part::Points],
    reads: &[],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("det_10g.onnx")],
            source_url: "https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
            licence: "non-commercial research only",
            credit: "insightface",
            input: INPUT,
            outputs: &[],
            n_outputs: 9,
        },
        |session| Box::new(Detector { contract: CONTRACT, session }),
    ),
};

fn decode(outputs: &[&[f32]]) -> Vec<Candidate> {
    let (maps, _) = outputs.as_chunks::<3>();
    let [scores, boxes, points] = maps else { return Vec::new() };
    let mut candidates = Vec::new();
    for (((&stride, scores), boxes), points) in STRIDES.iter().zip(scores).zip(boxes).zip(points) {
        let unit = stride as f32;
        let ((boxes, _), (points, _)) = (boxes.as_chunks::<4>(), points.as_chunks::<10>());
        let anchors = cells(SIDE_PX, stride).flat_map(|cell| [cell; ANCHORS_PER_CELL]);
        for ((((column, row), &score), &[left, top, right, bottom]), offsets) in
            anchors.zip(*scores).zip(boxes).zip(points)
        {
            let at = |x: f32, y: f32| Point::new((column + x) * unit, (row + y) * unit);
            let (low, high) = (at(-left, -top), at(right, bottom));
            let [x0, y0, x1, y1, x2, y2, x3, y3, x4, y4] = *offsets;
            candidates.push(Candidate {
                rect: Rect { left: low.x, top: low.y, right: high.x, bottom: high.y },
                score,
                points: Some([at(x0, y0), at(x1, y1), at(x2, y2), at(x3, y3), at(x4, y4)]),
            });
        }
    }
    candidates
}
