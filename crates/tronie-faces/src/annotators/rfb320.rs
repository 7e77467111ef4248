//! Ultra-Light-Fast-Generic-Face-Detector, RFB, 320x240: the default detector, one millisecond of work.
//!
//! <https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB>: the graph decodes its own priors and answers
//! (background, face) probabilities and corners as parts of the picture's sides.

use super::detector::{Candidate, Detector, DetectorContract, Fit};
use super::{AnnotatorRow, Part, Source};
use crate::geometry::Rect;
use crate::networks::{ChannelOrder, InputContract, NetworkFile, NetworkRow};

const INPUT: InputContract = InputContract {
    height_px: 240,
    width_px: 320,
    order: ChannelOrder::Rgb,
    mean: [127.0; 3],
    scale: [1.0 / 128.0; 3],
};
const N_PRIORS: usize = 4420;

/// Thresholds of the authors' `run_video_face_detect_onnx.py`: score above 0.7, overlap up to 0.3.
const CONTRACT: DetectorContract = DetectorContract {
    input: INPUT,
    fit: Fit::Stretch,
    widths: &[N_PRIORS * 2, N_PRIORS * 4],
    min_score: 0.7,
    max_iou: 0.3,
    decode,
};

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "rfb320",
    title: "face boxes (Ultra-Light RFB-320)",
    makes: &[Part::Box],
    reads: &[],
    is_default: true,
    source: Source::Network(
        NetworkRow {
            files: &[
                NetworkFile {
                    name: "rfb320_opset13.onnx",
                    sha256: Some("2417aa50de506ae97abc8b57ca7369dbfe5192fcab693b4acebd929cc9e27688"),
                    n_bytes: Some(1_227_074),
                },
                NetworkFile {
                    name: "version-RFB-320.onnx",
                    sha256: Some("34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017"),
                    n_bytes: Some(1_270_727),
                },
            ],
            source_url: "https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB/blob/dffdddda9794a50607cba8f318507a28c1c27cab/models/onnx/version-RFB-320.onnx",
            licence: "MIT",
            credit: "linzai",
            input: INPUT,
            outputs: &["scores", "boxes"],
            n_outputs: 2,
        },
        |session| Box::new(Detector { contract: CONTRACT, session }),
    ),
};

fn decode(outputs: &[&[f32]]) -> Vec<Candidate> {
    let [scores, boxes] = outputs else { return Vec::new() };
    let ((scores, _), (boxes, _)) = (scores.as_chunks::<2>(), boxes.as_chunks::<4>());
    let (width, height) = (INPUT.width_px as f32, INPUT.height_px as f32);
    let candidate = |(&[_, score], &[left, top, right, bottom]): (&[f32; 2], &[f32; 4])| Candidate {
        rect: Rect { left: left * width, top: top * height, right: right * width, bottom: bottom * height },
        score,
        points: None,
    };
    scores.iter().zip(boxes).map(candidate).collect()
}
