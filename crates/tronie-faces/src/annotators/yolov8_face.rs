//! YOLOv8-face: a YOLOv8 pose network of one class and five points of three numbers, exported by ultralytics at 640x640.
//!
//! One output of 20 rows by 8400 columns: center x, center y, width, height, score, then x, y and visibility of each
//! point, in pixels of the input.

use super::detector::{Candidate, Detector, DetectorContract, Fit};
use super::{AnnotatorRow, Part, Source};
use crate::geometry::{Point, Rect};
use crate::networks::{InputContract, NetworkFile, NetworkRow};

const N_CANDIDATES: usize = 8400;
const N_VALUES: usize = 20;
const INPUT: InputContract = InputContract { scale: [1.0 / 255.0; 3], ..InputContract::square(640) };

/// Thresholds of ultralytics' `predict`: score above 0.25, overlap up to 0.7; two faces overlap less than two objects do,
/// so the overlap is YOLOv5-face's 0.5.
pub(super) const CONTRACT: DetectorContract = DetectorContract {
    input: INPUT,
    fit: Fit::Middle,
    widths: &[N_VALUES * N_CANDIDATES],
    min_score: 0.25,
    max_iou: 0.5,
    decode,
};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "yolov8_face",
    title: "face boxes and five points (YOLOv8-face)",
    makes: &[Part::Box, Part::Points],
    reads: &[],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("yolov8n-face.onnx"), NetworkFile::named("yolov8s-face.onnx")],
            source_url: "https://github.com/derronqi/yolov8-face (export with ultralytics)",
            licence: "GPL-3.0", // of the repository and its weights; nothing of it is in this program
            credit: "derronqi",
            input: INPUT,
            outputs: &[],
            n_outputs: 1,
        },
        |session| Box::new(Detector { contract: CONTRACT, session }),
    ),
};

fn decode(outputs: &[&[f32]]) -> Vec<Candidate> {
    let rows: Vec<&[f32]> = outputs.iter().flat_map(|output| output.chunks_exact(N_CANDIDATES)).collect();
    let candidate = |index: usize| {
        let value = |row: usize| rows.get(row)?.get(index).copied();
        let point = |which: usize| Some(Point::new(value(5 + 3 * which)?, value(6 + 3 * which)?));
        Some(Candidate {
            rect: Rect::around(Point::new(value(0)?, value(1)?), value(2)?, value(3)?),
            score: value(4)?,
            points: Some([point(0)?, point(1)?, point(2)?, point(3)?, point(4)?]),
        })
    };
    (0..N_CANDIDATES).filter_map(candidate).collect()
}
