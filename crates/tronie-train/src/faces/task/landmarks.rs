//! 68 landmarks of a face, as parts of the side of its crop.

use tronie_faces::geometry::Point;
use tronie_faces::own::{LANDMARKS_CROP, LANDMARKS_INPUT};
use tronie_tensor::Tensor;

use super::{Example, Task, spoiled};
use crate::data::Draw;
use crate::faces::augment::Jitter;
use crate::faces::gallery::Subject;
use crate::faces::graph::Answer;

const N: usize = 68;
/// The landmark that each one is in the mirror (iBUG 300-W).
const MIRRORED: [usize; N] = [
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, // jaw
    26, 25, 24, 23, 22, 21, 20, 19, 18, 17, // brows
    27, 28, 29, 30, 35, 34, 33, 32, 31, // nose
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, // eyes
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, // outer lips
    64, 63, 62, 61, 60, 67, 66, 65, // inner lips
];
const JITTER: Jitter = Jitter { turn_deg: 30.0, shift: 0.08, zoom: 1.2 };

pub(super) const TASK: Task = Task {
    id: "landmarks",
    input: LANDMARKS_INPUT,
    answer: Answer::Vector(2 * N),
    has_masks: false,
    is_usable: |subject| subject.faces.iter().any(|face| face.landmarks_68.is_some()),
    example,
    loss,
};

fn example(subjects: &[Subject], index: usize, draw: Draw) -> Option<Example> {
    let subject = subjects.get(index)?;
    let face = subject.faces.iter().find(|face| face.landmarks_68.is_some())?;
    let side_px = LANDMARKS_INPUT.width_px;
    let image_from_crop = face.rect.square(LANDMARKS_CROP).image_from_crop(side_px, side_px);
    let crop = spoiled(&subject.pixels, &image_from_crop, (&LANDMARKS_INPUT, JITTER), draw);
    let crop_from_image = crop.image_from_crop.inverse()?;
    let landmarks = face.landmarks_68.as_ref().filter(|landmarks| landmarks.len() == N)?;
    let place = |index: usize| {
        let index = if crop.is_mirrored { MIRRORED.get(index).copied()? } else { index };
        let Point { x, y } = crop_from_image.apply(*landmarks.get(index)?);
        Some([x / side_px as f32, y / side_px as f32])
    };
    let target: Option<Vec<[f32; 2]>> = (0..N).map(place).collect();
    Some(Example { input: crop.input, target: target?.concat() })
}

/// Mean absolute difference in percent of the side; absolute, because the teacher's slips shall not weigh squared.
fn loss(answers: Tensor<4>, targets: Tensor<2>) -> Tensor<1> {
    let dims = targets.dims();
    (answers.reshape(dims) - targets).abs().mean() * 100.0
}
