//! Training of the networks that see faces and are part of the program: detector, landmarks, embedding, attributes, parsing.
//!
//! ```text
//! labels       gallery.rs: lines of `tronie faces annotate` by larger networks, with what prompts say
//!   task/*     a picture, moved and spoiled (augment.rs, scene.rs), and what to answer; the loss
//!   graph.rs   the network as a list of operations: weights, training
//!   onnx.rs    the same list as an ONNX file
//! measure.rs   annotators on what was held out
//! ```

mod augment;
mod gallery;
mod graph;
mod losses;
mod measure;
mod onnx;
mod recipe;
mod scene;
mod task;

use std::path::Path;

use tronie_base::{FolderLock, Progress, write_atomic};
use tronie_tensor::{Device, Tensor, TensorData, lanes};

use crate::data::{Draw, Order};
use crate::parameters::{GradientsByName, Parameters};
use crate::run_folder::{compare_recipe, leave_recipe, remove_unfinished};
use crate::steps::{Lessons, result_of};
use crate::stored::Progressed;
use crate::{EmaOptions, Outcome, TrainError};

use gallery::{Half, Subject};
use graph::Graph;
use task::{Example, Task, find_task};

pub use graph::Trunk;
pub use measure::{FacesFigures, Share, Verified, measure_faces};
pub use recipe::FacesRecipe;

/// Trains a network of faces, or continues training, until the recipe's last step.
///
/// # Errors
/// [`TrainError`]; checkpoints written before stay.
pub fn train_faces(
    recipe: &FacesRecipe,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Outcome, TrainError> {
    recipe.check()?;
    compare_recipe(folder, recipe)?;
    let pace = recipe.pace()?;
    let task = find_task(&recipe.task)?;
    let graph = Graph::new(&recipe.network, task.input.width_px, task.answer);
    let mut subjects =
        gallery::read((&recipe.labels, &recipe.folder), Half::Training, task.has_masks, progress)?;
    subjects.retain(task.is_usable);
    if subjects.is_empty() {
        return Err(TrainError::Nothing { reason: "no line of the labels says what this network learns" });
    }
    let _lock = FolderLock::take(folder)?;
    let mut state = pace.resume(folder, first_parameters(&graph, recipe)?)?;
    let continued_from = state.step;
    remove_unfinished(folder);
    leave_recipe(folder, recipe)?;
    let order = Order::new(recipe.seed, vec![(0..subjects.len()).collect()], recipe.batch);
    let lessons = Course { task, graph: &graph, subjects: &subjects, order, recipe };
    pace.walk((&mut state, &lessons), folder, progress, |_| Ok(()))?;
    let note = format!("{} steps on {} pictures", state.step, subjects.len());
    let path = folder.join(format!("{}.onnx", task.id));
    write_atomic(&path, &onnx::write(&graph, &result_of(&state), task.id, &note))?;
    Ok(Outcome { n_steps: state.step, continued_from, skipped: Vec::new(), results: vec![path] })
}

/// New weights, or those that another run has learned.
fn first_parameters(graph: &Graph, recipe: &FacesRecipe) -> Result<Parameters, TrainError> {
    let new = graph.parameters(recipe.seed);
    let Some(run) = &recipe.start_from else { return Ok(new) };
    let stored = Progressed::newest(run, Some(EmaOptions::default()))?.ok_or_else(|| {
        TrainError::data(
            run,
            "has no checkpoint".to_owned(),
            "name the folder of a run of tronie train faces",
        )
    })?;
    let learned = result_of(&stored);
    if learned.is_like(&new) { Ok(learned) } else { Err(TrainError::Networks { path: run.clone() }) }
}

/// The pictures of a recipe as the batches of its steps.
struct Course<'a> {
    task: &'a Task,
    graph: &'a Graph,
    subjects: &'a [Subject],
    order: Order,
    recipe: &'a FacesRecipe,
}

impl Lessons for Course<'_> {
    /// Pictures, each with its draw.
    type Batch = Vec<(usize, Draw)>;

    fn n_lanes(&self) -> usize {
        lanes::n_available()
    }

    fn batches(&self, step: u64) -> Vec<(f64, Self::Batch)> {
        let FacesRecipe { accumulate, batch, seed, .. } = *self.recipe;
        let share = 1.0 / accumulate as f64;
        let of_part = |part: u64| {
            let index = step * accumulate as u64 + part;
            let places = self.order.batch(index).into_iter().zip(index * batch as u64..);
            (share, places.map(|(i, place)| (i, Draw::new(seed, place))).collect())
        };
        (0..accumulate as u64).map(of_part).collect()
    }

    fn pass(
        &self,
        parameters: &Parameters,
        batch: &Self::Batch,
    ) -> Result<(f64, GradientsByName), TrainError> {
        let example = |&(i, draw): &(usize, Draw)| (self.task.example)(self.subjects, i, draw);
        let examples: Vec<Example> = batch.iter().filter_map(example).collect();
        let Some(Example { target, .. }) = examples.first() else {
            return Err(TrainError::Nothing { reason: "a batch has no face" });
        };
        let device = Device::flex().autodiff();
        let (b, side) = (examples.len(), self.graph.side_px);
        let targets: Vec<f32> = examples.iter().flat_map(|example| example.target.iter().copied()).collect();
        let targets = Tensor::from_data(TensorData::new(targets, [b, target.len()]), &device);
        let pictures: Vec<f32> = examples.iter().flat_map(|example| example.input.iter().copied()).collect();
        let pictures = Tensor::from_data(TensorData::new(pictures, [b, side, side, 3]), &device);
        let leaves = parameters.leaves(&device);
        let loss = (self.task.loss)(self.graph.forward(&leaves, pictures), targets);
        let by_name = leaves.gradients(&mut loss.backward());
        let loss = loss.into_data().try_to_vec::<f32>().ok().and_then(|loss| loss.first().copied());
        Ok((f64::from(loss.unwrap_or(f32::NAN)), by_name))
    }
}

#[cfg(test)]
mod tests;
