//! Where faces are: for each cell of a coarse map whether the middle of a face is near, and how far its sides are.
//!
//! Tian et al. 2019, "FCOS" (arXiv:1904.01355), on one map; the loss of the logits is the quality focal loss of Li et al. 2020
//! (arXiv:2006.04388) with a quality of 1, that of boxes the intersection over union of Yu et al. 2016 (arXiv:1608.01471).

use tronie_faces::geometry::Rect;
use tronie_faces::own::{DETECTOR_CELL_PX, DETECTOR_INPUT, DETECTOR_UNIT_PX};
use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::{relu, sigmoid};

use super::{Example, Task, normalized};
use crate::data::Draw;
use crate::faces::augment::spoil;
use crate::faces::gallery::Subject;
use crate::faces::graph::Answer;
use crate::faces::losses::logistic;
use crate::faces::scene::scene;

/// How far from the middle of a face, as part of its sides, cells answer for it.
const CORE: f32 = 0.2;
/// Cells farther out than the core, up to here, may answer or not.
const RIM: f32 = 0.35;
const SIDE_CELLS: usize = DETECTOR_INPUT.width_px / DETECTOR_CELL_PX;
/// Numbers of a target's cell: is a face, weight of that, left, top, right, bottom.
const N_TARGETS: usize = 6;
/// Weight of boxes against logits.
const BOX_WEIGHT: f64 = 2.0;

pub(super) const TASK: Task = Task {
    id: "detector",
    input: DETECTOR_INPUT,
    answer: Answer::Map { channels: 5, stride_px: DETECTOR_CELL_PX },
    has_masks: false,
    is_usable: |subject| !subject.faces.is_empty(),
    example,
    loss,
};

fn example(subjects: &[Subject], index: usize, draw: Draw) -> Option<Example> {
    let mut scene = scene(subjects, index, DETECTOR_INPUT.width_px, draw)?;
    spoil(&mut scene.rgb, DETECTOR_INPUT.width_px, draw);
    let cells = (0..SIDE_CELLS * SIDE_CELLS).flat_map(|index| {
        let middle = |index: usize| (index as f32 + 0.5) * DETECTOR_CELL_PX as f32;
        cell(&scene.faces, &scene.unsure, (middle(index % SIDE_CELLS), middle(index / SIDE_CELLS)))
    });
    let target = cells.collect();
    Some(Example { input: normalized(scene.rgb, &DETECTOR_INPUT), target })
}

/// What the cell with this middle should answer: for the smallest face whose core it lies in.
fn cell(faces: &[Rect], unsure: &[Rect], (x, y): (f32, f32)) -> [f32; N_TARGETS] {
    let lies_in = |face: &Rect, part: f32, least_px: f32| {
        let center = face.center();
        let reach = |side: f32| (side * part).max(least_px);
        (x - center.x).abs() <= reach(face.width()) && (y - center.y).abs() <= reach(face.height())
    };
    // However small a face is, the cell with its middle answers.
    let half_cell = DETECTOR_CELL_PX as f32 / 2.0;
    let own = faces.iter().filter(|face| lies_in(face, CORE, half_cell));
    if let Some(face) = own.min_by(|a, b| a.area().total_cmp(&b.area())) {
        let sides = [x - face.left, y - face.top, face.right - x, face.bottom - y];
        let [left, top, right, bottom] = sides.map(|px| (px / DETECTOR_UNIT_PX).max(0.01));
        return [1.0, 1.0, left, top, right, bottom];
    }
    let is_open = faces.iter().any(|face| lies_in(face, RIM, half_cell))
        || unsure.iter().any(|face| lies_in(face, 0.5, half_cell));
    [0.0, f32::from(!is_open), 1.0, 1.0, 1.0, 1.0]
}

fn loss(answers: Tensor<4>, targets: Tensor<2>) -> Tensor<1> {
    let [b, h, w, _] = answers.dims();
    let targets: Tensor<4> = targets.reshape([b, h, w, N_TARGETS]);
    let is_face = targets.clone().narrow(3, 0, 1);
    let weight = targets.clone().narrow(3, 1, 1);
    let logits = answers.clone().narrow(3, 0, 1);
    let n_faces = is_face.clone().sum().add_scalar(1.0);
    // How wrong the answer is, as a weight without a gradient of its own.
    let wrong = (sigmoid(logits.clone()).detach() - is_face.clone()).powi_scalar(2);
    let of_logits = (logistic(logits, is_face.clone()) * wrong * weight).sum() / n_faces.clone();

    // Limits keep the exponential of a new network in range.
    let found = answers.narrow(3, 1, 4).clamp(-4.0, 4.0).exp();
    let sides = targets.narrow(3, 2, 4);
    let smaller = found.clone() - relu(found.clone() - sides.clone());
    let area = |sides: &Tensor<4>| {
        let sum = sides.clone().narrow(3, 0, 2) + sides.clone().narrow(3, 2, 2); // width, height
        sum.clone().narrow(3, 0, 1) * sum.narrow(3, 1, 1)
    };
    let common = area(&smaller);
    let union = area(&found) + area(&sides) - common.clone();
    let of_boxes = ((common / union).log().neg() * is_face).sum() / n_faces;
    of_logits * 4.0 + of_boxes * BOX_WEIGHT
}
