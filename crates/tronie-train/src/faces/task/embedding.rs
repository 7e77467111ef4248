//! Who somebody is: the teacher's direction for the clean picture, from a spoiled one.
//!
//! The loss is the distance of the two directions, and how badly the right one is told from those of the other pictures of
//! the batch (van den Oord et al. 2018, "InfoNCE", arXiv:1807.03748; with a teacher: Tian et al. 2019, arXiv:1910.10699).

use tronie_faces::geometry::templates::arcface_image_from_crop;
use tronie_faces::own::{EMBEDDING_INPUT, EMBEDDING_WIDTH};
use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::log_softmax;

use super::{Example, Task, spoiled};
use crate::data::Draw;
use crate::faces::augment::Jitter;
use crate::faces::gallery::Subject;
use crate::faces::graph::Answer;

const JITTER: Jitter = Jitter { turn_deg: 8.0, shift: 0.04, zoom: 1.08 };
/// What cosines are divided by before they are compared, as in Radford et al. 2021 (arXiv:2103.00020).
const TEMPERATURE: f64 = 0.07;
/// Weight of the distance to the teacher's direction.
const DISTANCE_WEIGHT: f64 = 4.0;

pub(super) const TASK: Task = Task {
    id: "embedding",
    input: EMBEDDING_INPUT,
    answer: Answer::Vector(EMBEDDING_WIDTH),
    has_masks: false,
    is_usable: |subject| subject.face().is_some_and(|face| face.embedding.is_some() && face.points.is_some()),
    example,
    loss,
};

fn example(subjects: &[Subject], index: usize, draw: Draw) -> Option<Example> {
    let subject = subjects.get(index)?;
    let face = subject.face()?;
    let image_from_crop = arcface_image_from_crop(&face.points?, EMBEDDING_INPUT.width_px)?;
    let crop = spoiled(&subject.pixels, &image_from_crop, (&EMBEDDING_INPUT, JITTER), draw);
    let target = face.embedding.as_ref()?.values.clone();
    (target.len() == EMBEDDING_WIDTH).then_some(Example { input: crop.input, target })
}

fn loss(answers: Tensor<4>, targets: Tensor<2>) -> Tensor<1> {
    let [b, width] = targets.dims();
    let answers = answers.reshape([b, width]);
    let length = (answers.clone() * answers.clone()).sum_dim(1).add_scalar(1e-6).sqrt();
    let cosines = (answers / length).matmul(targets.swap_dims(0, 1)); // b b
    let same = Tensor::<2>::eye(b, &cosines.device());
    let per_picture = 1.0 / b as f64;
    let distance = (cosines.clone() * same.clone()).sum() * -per_picture + 1.0;
    let mistaken = (log_softmax(cosines / TEMPERATURE, 1) * same).sum() * -per_picture;
    distance * DISTANCE_WEIGHT + mistaken
}
