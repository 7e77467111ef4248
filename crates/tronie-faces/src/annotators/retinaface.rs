//! RetinaFace with a MobileNet-0.25 or ResNet-50 backbone, as biubug6/Pytorch_Retinaface exports it at 640x640.
//!
//! Deng et al. 2019 (arXiv:1905.00641). Priors as in that repository's `layers/functions/prior_box.py` (two squares in the
//! middle of each cell), decoding as in `utils/box_utils.py` with variances 0.1 and 0.2.

use super::detector::{Candidate, Detector, DetectorContract, Fit, STRIDES, cells, n_cells};
use super::{AnnotatorRow, Part, Source};
use crate::geometry::{Point, Rect};
use crate::networks::{ChannelOrder, InputContract, NetworkFile, NetworkRow};

const SIDE_PX: usize = 640;
/// Sides of the priors of each stride, in pixels (`min_sizes`).
const PRIOR_SIDES_PX: [[f32; 2]; 3] = [[16.0, 32.0], [64.0, 128.0], [256.0, 512.0]];
const CENTER_VARIANCE: f32 = 0.1;
const SIDE_VARIANCE: f32 = 0.2;
const N_PRIORS: usize = (n_cells(SIDE_PX, 8) + n_cells(SIDE_PX, 16) + n_cells(SIDE_PX, 32)) * 2;
const INPUT: InputContract =
    InputContract { order: ChannelOrder::Bgr, mean: [104.0, 117.0, 123.0], ..InputContract::square(SIDE_PX) };

/// Thresholds of `detect.py`: score above 0.6, overlap up to 0.4.
pub(super) const CONTRACT: DetectorContract = DetectorContract {
    input: INPUT,
    fit: Fit::TopLeft,
    widths: &[N_PRIORS * 4, N_PRIORS * 2, N_PRIORS * 10],
    min_score: 0.6,
    max_iou: 0.4,
    decode,
};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "retinaface",
    title: "face boxes and five points (RetinaFace)",
    makes: &[Part::Box, Part::Points],
    reads: &[],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[
                NetworkFile::named("retinaface_mobile0.25.onnx"),
                NetworkFile::named("retinaface_resnet50.onnx"),
            ],
            source_url: "https://github.com/biubug6/Pytorch_Retinaface (convert_to_onnx.py --long_side 640)",
            licence: "MIT",
            credit: "biubug6",
            input: INPUT,
            outputs: &[], // exporters number them: boxes, scores, points
            n_outputs: 3,
        },
        |session| Box::new(Detector { contract: CONTRACT, session }),
    ),
};

fn decode(outputs: &[&[f32]]) -> Vec<Candidate> {
    let [boxes, scores, points] = outputs else { return Vec::new() };
    let (boxes, _) = boxes.as_chunks::<4>();
    let (scores, _) = scores.as_chunks::<2>();
    let (points, _) = points.as_chunks::<10>();
    let priors = STRIDES.iter().zip(PRIOR_SIDES_PX).flat_map(|(&stride, sides)| {
        let unit = stride as f32;
        cells(SIDE_PX, stride).flat_map(move |(column, row)| {
            sides.map(|side| (Point::new((column + 0.5) * unit, (row + 0.5) * unit), side))
        })
    });
    let values = boxes.iter().zip(scores).zip(points);
    let mut candidates = Vec::with_capacity(N_PRIORS);
    for ((center, side), ((&[x, y, width, height], &[_, score]), offsets)) in priors.zip(values) {
        let reach = CENTER_VARIANCE * side;
        let at = |x: f32, y: f32| Point::new(center.x + x * reach, center.y + y * reach);
        let grown = |size: f32| side * (size * SIDE_VARIANCE).exp();
        let [x0, y0, x1, y1, x2, y2, x3, y3, x4, y4] = *offsets;
        candidates.push(Candidate {
            rect: Rect::around(at(x, y), grown(width), grown(height)),
            score,
            points: Some([at(x0, y0), at(x1, y1), at(x2, y2), at(x3, y3), at(x4, y4)]),
        });
    }
    candidates
}
