//! YuNet of OpenCV's model zoo, 2023 March, with five points.
//!
//! Wu et al. 2023, "YuNet: a tiny millisecond-level face detector". Decoding as in OpenCV's
//! `modules/objdetect/src/face_detect.cpp`: the score is the geometric mean of class and object scores, the center lies
//! within the cell, sides are exponentials, all in strides.

use super::detector::{Candidate, Detector, DetectorContract, Fit, STRIDES, cells, n_cells};
use super::{AnnotatorRow, Part, Source};
use crate::geometry::{Point, Rect};
use crate::networks::{ChannelOrder, InputContract, NetworkFile, NetworkRow};

const SIDE_PX: usize = 640;
const INPUT: InputContract = InputContract { order: ChannelOrder::Bgr, ..InputContract::square(SIDE_PX) };

/// Overlap of `FaceDetectorYN`'s default; its default score of 0.9 is meant for video, 0.6 is that of OpenCV's zoo.
pub(super) const CONTRACT: DetectorContract = DetectorContract {
    input: INPUT,
    fit: Fit::TopLeft,
    widths: &[
        n_cells(SIDE_PX, 8),
        n_cells(SIDE_PX, 16),
        n_cells(SIDE_PX, 32),
        n_cells(SIDE_PX, 8),
        n_cells(SIDE_PX, 16),
        n_cells(SIDE_PX, 32),
        n_cells(SIDE_PX, 8) * 4,
        n_cells(SIDE_PX, 16) * 4,
        n_cells(SIDE_PX, 32) * 4,
        n_cells(SIDE_PX, 8) * 10,
        n_cells(SIDE_PX, 16) * 10,
        n_cells(SIDE_PX, 32) * 10,
    ],
    min_score: 0.6,
    max_iou: 0.3,
    decode,
};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "yunet",
    title: "face boxes and five points (YuNet)",
    makes: &[Part::Box, Part::Points],
    reads: &[],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("face_detection_yunet_2023mar.onnx")],
            source_url: "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
            licence: "MIT",
            credit: "Shiqi Yu, OpenCV China",
            input: INPUT,
            outputs: &[
                "cls_8", "cls_16", "cls_32", "obj_8", "obj_16", "obj_32", "bbox_8", "bbox_16", "bbox_32",
                "kps_8", "kps_16", "kps_32",
            ],
            n_outputs: 12,
        },
        |session| Box::new(Detector { contract: CONTRACT, session }),
    ),
};

fn decode(outputs: &[&[f32]]) -> Vec<Candidate> {
    let (maps, _) = outputs.as_chunks::<3>();
    let [classes, objects, boxes, points] = maps else { return Vec::new() };
    let mut candidates = Vec::new();
    for (((&stride, classes), objects), (boxes, points)) in
        STRIDES.iter().zip(classes).zip(objects).zip(boxes.iter().zip(points))
    {
        let unit = stride as f32;
        let ((boxes, _), (points, _)) = (boxes.as_chunks::<4>(), points.as_chunks::<10>());
        let scores = classes.iter().zip(*objects);
        let scores = scores.map(|(class, object)| (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt());
        for ((((column, row), score), &[x, y, width, height]), offsets) in
            cells(SIDE_PX, stride).zip(scores).zip(boxes).zip(points)
        {
            let at = |x: f32, y: f32| Point::new((column + x) * unit, (row + y) * unit);
            let [x0, y0, x1, y1, x2, y2, x3, y3, x4, y4] = *offsets;
            candidates.push(Candidate {
                rect: Rect::around(at(x, y), width.exp() * unit, height.exp() * unit),
                score,
                points: Some([at(x0, y0), at(x1, y1), at(x2, y2), at(x3, y3), at(x4, y4)]),
            });
        }
    }
    candidates
}
