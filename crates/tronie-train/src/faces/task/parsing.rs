//! Which part of a face every pixel is.

use tronie_faces::geometry::Transform;
use tronie_faces::geometry::templates::ffhq_image_from_crop;
use tronie_faces::own::{N_PARTS, PARSING_CELL_PX, PARSING_INPUT};
use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::log_softmax;

use super::{Example, Task, spoiled};
use crate::data::Draw;
use crate::faces::augment::Jitter;
use crate::faces::gallery::Subject;
use crate::faces::graph::Answer;

const JITTER: Jitter = Jitter { turn_deg: 12.0, shift: 0.06, zoom: 1.15 };
/// Weights of background, skin, brows, eyes, nose, mouth, hair: small parts count more for a pixel.
const WEIGHTS: [f32; N_PARTS] = [1.0, 1.0, 3.0, 4.0, 1.5, 2.0, 1.0];

pub(super) const TASK: Task = Task {
    id: "parsing",
    input: PARSING_INPUT,
    answer: Answer::Map { channels: N_PARTS, stride_px: PARSING_CELL_PX },
    has_masks: true,
    is_usable: |subject| subject.has_mask() && subject.face().is_some_and(|face| face.points.is_some()),
    example,
    loss,
};

/// For each cell the weight of its class in that class's place, zeros where nothing is known.
fn example(subjects: &[Subject], index: usize, draw: Draw) -> Option<Example> {
    let subject = subjects.get(index)?;
    let image_from_crop = ffhq_image_from_crop(&subject.face()?.points?, PARSING_INPUT.width_px)?;
    let crop = spoiled(&subject.pixels, &image_from_crop, (&PARSING_INPUT, JITTER), draw);
    let cell = PARSING_CELL_PX as f64;
    let crop_from_map = Transform { x: [cell, 0.0, 0.0], y: [0.0, cell, 0.0] };
    let image_from_map = crop.image_from_crop.after(&crop_from_map);
    let classes = subject.classes(&image_from_map, PARSING_INPUT.width_px / PARSING_CELL_PX);
    let weights = |class: Option<u8>| {
        let mut row = [0.0; N_PARTS];
        let place = class.map(usize::from);
        if let Some((weight, value)) = place.and_then(|class| WEIGHTS.get(class).zip(row.get_mut(class))) {
            *value = *weight;
        }
        row
    };
    Some(Example { input: crop.input, target: classes.into_iter().flat_map(weights).collect() })
}

/// Weighted cross entropy of every cell.
fn loss(answers: Tensor<4>, targets: Tensor<2>) -> Tensor<1> {
    let dims = answers.dims();
    let weights: Tensor<4> = targets.reshape(dims); // b h w c
    let total = weights.clone().sum().add_scalar(1e-6);
    (log_softmax(answers, 3) * weights).sum().neg() / total
}
