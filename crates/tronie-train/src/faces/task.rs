//! What the networks learn: one file and one row of [`TASKS`] each.

mod attributes;
mod detector;
mod embedding;
mod landmarks;
mod parsing;

use tronie_faces::geometry::Transform;
use tronie_faces::{InputContract, Outside, Sampling, sample};
use tronie_image::Pixels;
use tronie_tensor::Tensor;

use super::augment::{Jitter, jittered, spoil};
use super::gallery::Subject;
use super::graph::Answer;
use crate::TrainError;
use crate::data::Draw;

/// A picture as a network sees it, and what it should answer.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    /// The input: rows, columns, channels.
    pub(crate) input: Vec<f32>,
    /// What the task's loss compares with.
    pub(crate) target: Vec<f32>,
}

/// One network.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// What recipes call it, and the name of the network's output; permanent.
    pub(crate) id: &'static str,
    pub(crate) input: InputContract,
    pub(crate) answer: Answer,
    /// Whether it reads masks.
    pub(crate) has_masks: bool,
    /// Whether it can learn from a picture.
    pub(crate) is_usable: fn(&Subject) -> bool,
    /// The example that it makes of a picture; others may appear in it.
    pub(crate) example: fn(&[Subject], usize, Draw) -> Option<Example>,
    /// How far answers (as the network gives them) are from targets (b n).
    pub(crate) loss: fn(Tensor<4>, Tensor<2>) -> Tensor<1>,
}

/// Every network there is.
pub(crate) const TASKS: &[Task] =
    &[detector::TASK, landmarks::TASK, embedding::TASK, attributes::TASK, parsing::TASK];

/// The task of an id.
pub(crate) fn find_task(id: &str) -> Result<&'static Task, TrainError> {
    TASKS.iter().find(|task| task.id == id).ok_or_else(|| TrainError::UnknownName {
        kind: "network of faces",
        name: id.to_owned(),
        known: TASKS.iter().map(|task| task.id).collect(),
    })
}

/// A crop that was moved and spoiled.
struct Spoiled {
    input: Vec<f32>,
    image_from_crop: Transform,
    is_mirrored: bool,
}

/// Moves and spoils the crop that shows what a network should see.
fn spoiled(
    pixels: &Pixels,
    image_from_crop: &Transform,
    (contract, jitter): (&InputContract, Jitter),
    draw: Draw,
) -> Spoiled {
    let side_px = contract.width_px;
    let (crop_from_moved, is_mirrored) = jittered(draw, side_px, jitter);
    let image_from_crop = image_from_crop.after(&crop_from_moved);
    // Most of the time as annotators read crops, else averaged, as pictures are that were reduced before.
    let points_per_side = if draw.happens("smooth", 0.25) { 2 } else { 1 };
    let sampling =
        Sampling { width_px: side_px, height_px: side_px, outside: Outside::Black, points_per_side };
    let mut rgb = sample(pixels, &image_from_crop, sampling);
    spoil(&mut rgb, side_px, draw);
    Spoiled { input: normalized(rgb, contract), image_from_crop, is_mirrored }
}

/// Bytes as the network's input; all networks here have one mean and scale for all channels.
fn normalized(mut rgb: Vec<f32>, contract: &InputContract) -> Vec<f32> {
    let ([mean, ..], [scale, ..]) = (contract.mean, contract.scale);
    rgb.iter_mut().for_each(|value| *value = (*value - mean) * scale);
    rgb
}
