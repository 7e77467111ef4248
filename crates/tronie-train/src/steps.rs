//! The loop of every run: steps of the optimizer over batches of whatever is trained, with checkpoints in between.

use std::path::Path;

use tronie_base::Progress;
use tronie_tensor::lanes;

use crate::optimizer::{self, Parameter, StepContext};
use crate::parameters::{GradientsByName, Parameters};
use crate::recipe::Checkpoints;
use crate::run_folder::{Log, StepReport};
use crate::stored::Progressed;
use crate::{Ema, EmaOptions, LrSchedule, Optimizer, TrainError, clip, global_norm};

/// What is trained on: the batches of a step, and what one of them says about the parameters.
pub(crate) trait Lessons: Sync {
    /// What goes through the networks at once.
    type Batch: Send;

    /// How many passes run side by side.
    fn n_lanes(&self) -> usize;

    /// The batches of a step (counted from 0), each with the weight of its loss.
    fn batches(&self, step: u64) -> Vec<(f64, Self::Batch)>;

    /// Loss and gradients of a batch.
    fn pass(
        &self,
        parameters: &Parameters,
        batch: &Self::Batch,
    ) -> Result<(f64, GradientsByName), TrainError>;
}

/// What recipes of every kind say about their steps.
pub(crate) struct Pace<'a> {
    pub(crate) n_steps: u64,
    pub(crate) max_grad_norm: f64,
    pub(crate) optimizer: Box<dyn Optimizer>,
    pub(crate) lr_schedule: &'a LrSchedule,
    pub(crate) ema: Option<EmaOptions>,
    pub(crate) checkpoints: &'a Checkpoints,
}

impl Pace<'_> {
    /// The state before the first step.
    pub(crate) fn begin(&self, parameters: Parameters) -> Result<Progressed, TrainError> {
        let states = parameters.0.iter();
        let states = states
            .map(|(name, row)| (name.clone(), self.optimizer.new_state(&row.values, &row.shape)))
            .collect();
        let slices = || parameters.0.iter().map(|(name, row)| (name.as_str(), row.values.as_slice()));
        let average = self.ema.map(|options| Ema::new(options, slices())).transpose()?;
        let shared = self.optimizer.new_shared();
        Ok(Progressed { step: 0, states, shared, average, parameters })
    }

    /// The newest state of a run folder, or the one before the first step.
    pub(crate) fn resume(&self, folder: &Path, parameters: Parameters) -> Result<Progressed, TrainError> {
        let first = self.begin(parameters)?;
        match Progressed::newest(folder, self.ema)? {
            Some(stored) if stored.parameters.is_like(&first.parameters) => Ok(stored),
            Some(_) => Err(TrainError::Networks { path: folder.to_owned() }),
            None => Ok(first),
        }
    }

    /// Takes all steps that are left. `after` sees the state after each of them, before it is kept.
    pub(crate) fn walk(
        &self,
        (state, lessons): (&mut Progressed, &impl Lessons),
        folder: &Path,
        progress: &mut dyn Progress,
        after: impl Fn(&Progressed) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut log = Log::open(folder, state.step)?;
        progress.begin("training", self.n_steps);
        progress.advance(state.step);
        while state.step < self.n_steps {
            progress.check()?;
            let report = self.step(state, lessons)?;
            log.write(&report)?;
            progress.show(&format!("loss {:.4}", report.loss));
            progress.advance(1);
            after(state)?;
            // Last, so that a run killed at any moment makes again what the step had not made yet.
            if state.step == self.n_steps || state.step.is_multiple_of(self.checkpoints.every) {
                state.save(folder, self.checkpoints.keep)?;
            }
        }
        Ok(())
    }

    /// One step of the optimizer.
    pub(crate) fn step(
        &self,
        state: &mut Progressed,
        lessons: &impl Lessons,
    ) -> Result<StepReport, TrainError> {
        let step = state.step + 1;
        let (loss, mut sum) = gradients(state, lessons)?;
        let mut slices: Vec<&mut [f32]> = sum.values_mut().map(Vec::as_mut_slice).collect();
        let grad_norm = clip(&mut slices, self.max_grad_norm);
        let lr_factor = self.lr_schedule.factor(state.step, self.n_steps)?;
        let at = StepContext { step, lr_factor };
        let Progressed { parameters, states, shared, average, .. } = state;
        let mut moved: Vec<Parameter<'_>> = Vec::with_capacity(sum.len());
        let rows = parameters.0.iter_mut().zip(states.values_mut()).zip(sum.values());
        for (((name, row), state), gradient) in rows {
            moved.push(Parameter::new(name, &row.shape, &mut row.values, gradient, state)?);
        }
        optimizer::step_all(self.optimizer.as_ref(), &mut moved, shared, at)?;
        drop(moved);
        if let Some(average) = average {
            average.step(parameters.0.iter().map(|(name, row)| (name.as_str(), row.values.as_slice())))?;
        }
        state.step = step;
        Ok(StepReport { step, loss, lr_factor, grad_norm })
    }
}

/// Loss and gradients of a step, over all its batches.
fn gradients(state: &Progressed, lessons: &impl Lessons) -> Result<(f64, GradientsByName), TrainError> {
    let step = state.step + 1;
    let mut batches = lessons.batches(state.step);
    let mut sum = GradientsByName::new();
    let mut loss = 0.0;
    // In the order of the batches, however many run at a time, so that the sum is the same to the bit.
    while !batches.is_empty() {
        let now: Vec<_> = batches.drain(..lessons.n_lanes().min(batches.len())).collect();
        let run = |(share, batch)| (share, lessons.pass(&state.parameters, &batch));
        for (share, result) in lanes::side_by_side(now, run) {
            let (part_loss, gradients) = result?;
            if !part_loss.is_finite() {
                let what = "the loss".to_owned();
                return Err(TrainError::NotFinite { step, what, found: part_loss });
            }
            loss += part_loss * share;
            add(&mut sum, gradients, share);
        }
    }
    for (name, gradient) in &sum {
        let norm = global_norm([gradient.as_slice()]);
        if !norm.is_finite() {
            let what = format!("the gradient of \"{name}\"");
            return Err(TrainError::NotFinite { step, what, found: norm });
        }
    }
    Ok((loss, sum))
}

/// Adds `gradients * share`.
#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn add(sum: &mut GradientsByName, gradients: GradientsByName, share: f64) {
    let share = share as f32;
    for (name, mut gradient) in gradients {
        gradient.iter_mut().for_each(|value| *value *= share);
        match sum.get_mut(&name) {
            None => _ = sum.insert(name, gradient),
            Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value),
        }
    }
}

/// What a run has learned: the moving average where there is one.
pub(crate) fn result_of(state: &Progressed) -> Parameters {
    let mut result = state.parameters.clone();
    for (name, average) in state.average.iter().flat_map(|ema| &ema.averages) {
        if let Some(row) = result.0.get_mut(name) {
            row.values.clone_from(average);
        }
    }
    result
}
