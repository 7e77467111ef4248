//! What optimizers remember between steps, in a form that a checkpoint can hold.

use std::collections::BTreeMap;

use crate::TrainError;

/// A tensor of an optimizer's state, in row-major order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateTensor<T> {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<T>,
}

impl<T: Clone + Default> StateTensor<T> {
    /// Zeros.
    pub(super) fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: vec![T::default(); shape.iter().product()] }
    }
}

/// What is remembered about one parameter: tensors by names that the optimizer chose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Moments, and the scales of quantised ones.
    pub floats: BTreeMap<String, StateTensor<f32>>,
    /// Quantised moments.
    pub codes: BTreeMap<String, StateTensor<u8>>,
}

impl State {
    /// Zeros of these names and shapes.
    pub(super) fn zeros<const N: usize>(floats: [(&str, &[usize]); N]) -> Self {
        let floats = floats.map(|(name, shape)| (name.to_owned(), StateTensor::zeros(shape)));
        Self { floats: floats.into(), codes: BTreeMap::new() }
    }
}

/// The values of several tensors at once, which must be there with these lengths.
pub(super) fn slices<'s, T, const N: usize>(
    tensors: &'s mut BTreeMap<String, StateTensor<T>>,
    parameter: &str,
    expected: [(&str, usize); N],
) -> Result<[&'s mut [T]; N], TrainError> {
    let mut found: [&mut [T]; N] = std::array::from_fn(|_| &mut [] as &mut [T]);
    for (name, tensor) in tensors {
        if let Some((_, slot)) = expected.iter().zip(&mut found).find(|((wanted, _), _)| wanted == name) {
            *slot = &mut tensor.values;
        }
    }
    match expected.iter().zip(&found).find(|((_, n), slot)| slot.len() != *n) {
        None => Ok(found),
        Some(((tensor, n), slot)) => Err(TrainError::State {
            parameter: parameter.to_owned(),
            tensor: (*tensor).to_owned(),
            found: slot.len(),
            expected: *n,
        }),
    }
}

/// What is remembered about all parameters together: numbers by names that the optimizer chose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shared {
    /// The numbers. They are f64 and have to be stored as such.
    pub numbers: BTreeMap<String, f64>,
}

impl Shared {
    pub(super) fn get(&self, owner: &str, name: &str) -> Result<f64, TrainError> {
        self.numbers.get(name).copied().ok_or_else(|| missing(owner, name))
    }

    pub(super) fn get_mut(&mut self, owner: &str, name: &str) -> Result<&mut f64, TrainError> {
        self.numbers.get_mut(name).ok_or_else(|| missing(owner, name))
    }
}

fn missing(owner: &str, name: &str) -> TrainError {
    TrainError::State { parameter: owner.to_owned(), tensor: name.to_owned(), found: 0, expected: 1 }
}
