//! Optimizers: how a parameter follows its gradient.
//!
//! An optimizer is plain data, its options. It steps one parameter at a time on f32 slices; what it remembers is a
//! [`State`] of named tensors beside each parameter and a [`Shared`] of named numbers for all of them, so that a checkpoint
//! holds everything and comes back bit for bit. [`step_all`] shows the order of the calls.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::TrainError;
use crate::ranges::{self, Ranged};

mod adafactor;
mod adamw;
mod adamw_8bit;
mod dynamic_map;
mod lion;
mod prodigy;
mod state;

pub use adafactor::Adafactor;
pub use adamw::AdamW;
pub use adamw_8bit::AdamW8bit;
pub use lion::Lion;
pub use prodigy::Prodigy;
pub use state::{Shared, State, StateTensor};

/// When a step is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepContext {
    /// Number of the step, from 1. A continued run counts on.
    pub step: u64,
    /// What the learning rate is multiplied with, from [`crate::LrSchedule::factor`].
    pub lr_factor: f64,
}

impl StepContext {
    /// `1 - decay^step`: the weight that an average has gathered which began at 0 (Kingma and Ba 2015, arXiv:1412.6980,
    /// section 3).
    fn gathered(self, decay: f64) -> f64 {
        1.0 - decay.powf(self.step as f64)
    }
}

/// A parameter in the hands of an optimizer.
#[derive(Debug)]
pub struct Parameter<'a> {
    name: &'a str,
    shape: &'a [usize],
    values: &'a mut [f32],
    gradient: &'a [f32],
    state: &'a mut State,
}

impl<'a> Parameter<'a> {
    /// Puts the parts together. `values` and `gradient` are in row-major order.
    ///
    /// # Errors
    /// [`TrainError::Length`] when they are not of that shape.
    pub fn new(
        name: &'a str,
        shape: &'a [usize],
        values: &'a mut [f32],
        gradient: &'a [f32],
        state: &'a mut State,
    ) -> Result<Self, TrainError> {
        for (part, found) in [("values", values.len()), ("gradients", gradient.len())] {
            if found != shape.iter().product::<usize>() {
                let (parameter, shape) = (name.to_owned(), shape.to_vec());
                return Err(TrainError::Length { parameter, part, found, shape });
            }
        }
        Ok(Self { name, shape, values, gradient, state })
    }
}

/// A rule by which parameters follow their gradients.
pub trait Optimizer: std::fmt::Debug + Send + Sync {
    /// The options that are numbers, and their ranges.
    fn ranges(&self) -> Vec<Ranged>;

    /// What is remembered about a parameter before its first step.
    fn new_state(&self, values: &[f32], shape: &[usize]) -> State;

    /// Memory that [`Optimizer::new_state`] of a parameter of this shape takes.
    fn state_bytes(&self, shape: &[usize]) -> usize;

    /// What is remembered about all parameters together before the first step.
    fn new_shared(&self) -> Shared {
        Shared::default()
    }

    /// The first pass of a step, over all parameters: for rules that look at all gradients before they move anything.
    ///
    /// # Errors
    /// [`TrainError::State`] when the state is not of this optimizer and parameter.
    fn observe(
        &self,
        _parameter: &mut Parameter<'_>,
        _shared: &mut Shared,
        _at: StepContext,
    ) -> Result<(), TrainError> {
        Ok(())
    }

    /// Between the passes.
    ///
    /// # Errors
    /// [`TrainError::State`] when `shared` is not of this optimizer.
    fn settle(&self, _shared: &mut Shared, _at: StepContext) -> Result<(), TrainError> {
        Ok(())
    }

    /// The second pass: moves one parameter.
    ///
    /// # Errors
    /// [`TrainError::State`] when the state is not of this optimizer and parameter.
    fn step(&self, parameter: &mut Parameter<'_>, shared: &Shared, at: StepContext)
    -> Result<(), TrainError>;
}

/// One step of all parameters.
///
/// # Errors
/// [`TrainError::State`] when what is remembered is not of this optimizer and these parameters.
pub fn step_all(
    optimizer: &dyn Optimizer,
    parameters: &mut [Parameter<'_>],
    shared: &mut Shared,
    at: StepContext,
) -> Result<(), TrainError> {
    for parameter in &mut *parameters {
        optimizer.observe(parameter, shared, at)?;
    }
    optimizer.settle(shared, at)?;
    parameters.iter_mut().try_for_each(|parameter| optimizer.step(parameter, shared, at))
}

/// One optimizer.
#[derive(Debug, Clone, Copy)]
pub struct OptimizerRow {
    /// Permanent name, stored in recipes and checkpoints.
    pub id: &'static str,
    /// Name for menus.
    pub title: &'static str,
    /// The paper it is from.
    pub paper: &'static str,
    build: fn(Value) -> Result<Box<dyn Optimizer>, serde_json::Error>,
}

impl OptimizerRow {
    /// Makes the optimizer from its options, a table; those left out have their defaults.
    ///
    /// # Errors
    /// [`TrainError::Options`] for an option it does not have, [`TrainError::OutOfRange`] for a value that makes no sense.
    pub fn make(&self, options: Value) -> Result<Box<dyn Optimizer>, TrainError> {
        let optimizer =
            (self.build)(options).map_err(|cause| TrainError::Options { owner: self.id, cause })?;
        ranges::check(self.id, &optimizer.ranges())?;
        Ok(optimizer)
    }
}

/// Every optimizer there is.
pub const OPTIMIZERS: &[OptimizerRow] = &[
    OptimizerRow {
        id: "adamw",
        title: "AdamW",
        paper: "Loshchilov and Hutter 2019, arXiv:1711.05101",
        build: build::<AdamW>,
    },
    OptimizerRow {
        id: "adamw_8bit",
        title: "AdamW, 8-bit state",
        paper: "Dettmers et al. 2022, arXiv:2110.02861",
        build: build::<AdamW8bit>,
    },
    OptimizerRow {
        id: "adafactor",
        title: "Adafactor",
        paper: "Shazeer and Stern 2018, arXiv:1804.04235",
        build: build::<Adafactor>,
    },
    OptimizerRow {
        id: "lion",
        title: "Lion",
        paper: "Chen et al. 2023, arXiv:2302.06675",
        build: build::<Lion>,
    },
    OptimizerRow {
        id: "prodigy",
        title: "Prodigy",
        paper: "Mishchenko and Defazio 2023, arXiv:2306.06101",
        build: build::<Prodigy>,
    },
];

fn build<O: Optimizer + DeserializeOwned + 'static>(
    options: Value,
) -> Result<Box<dyn Optimizer>, serde_json::Error> {
    Ok(Box::new(serde_json::from_value::<O>(options)?))
}

/// An optimizer by its id.
///
/// # Errors
/// [`TrainError::UnknownName`] with the ids there are.
pub fn find_optimizer(id: &str) -> Result<&'static OptimizerRow, TrainError> {
    OPTIMIZERS.iter().find(|row| row.id == id).ok_or_else(|| TrainError::UnknownName {
        kind: "optimizer",
        name: id.to_owned(),
        known: OPTIMIZERS.iter().map(|row| row.id).collect(),
    })
}

#[cfg(test)]
mod tests;
