//! Whether an adapter's module is one of a network.

use std::collections::BTreeMap;

use tronie_weights::{LoraModule, LoraTarget, WeightChange};

use super::change::Place;
use super::{LoraFitError, matrix_dims};
use crate::load::nearest;

/// The network's tensors by name.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// The network must have the tensor, in the shape of the change.
pub(super) fn check(
    lora: &str,
    (target, place): (&LoraTarget, Place),
    module: &LoraModule,
    shapes: &Shapes,
) -> Result<(), LoraFitError> {
    let Some(expected) = shapes.get(&place.name(target)) else {
        let weights = shapes.keys().filter_map(|name| name.strip_suffix(".weight"));
        let nearest = nearest(&target.path, weights.map(str::to_owned).collect());
        return Err(LoraFitError::Missing { lora: lora.to_owned(), target: target.clone(), nearest });
    };
    let wrong = |found: Vec<usize>| LoraFitError::Shape {
        lora: lora.to_owned(),
        target: target.clone(),
        found,
        expected: expected.clone(),
    };
    let (rows, columns) = matrix_dims(expected);
    let c_in = expected.get(1).copied().unwrap_or(1);
    if place == Place::Bias {
        let found = module.bias.as_ref().map(|bias| bias.meta.shape.clone());
        return found.filter(|found| found != expected).map_or(Ok(()), |found| Err(wrong(found)));
    }
    let along = |on_input: bool| if on_input { c_in } else { rows };
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    match &module.weight {
        Some(WeightChange::Scales(scales)) => {
            let found = count(&scales.values.meta.shape);
            if found != along(scales.on_input) {
                return Err(wrong(vec![found]));
            }
        }
        Some(change) => {
            let found = change.shape().unwrap_or_default();
            let [c_out, more @ ..] = found;
            let is_flat = more.iter().skip(1).all(|&side| side == 1);
            let [kh, kw] = super::kernel(expected);
            // Between a matrix and a kernel of the same numbers there is no difference but the name.
            let fits = c_out == rows && count(&more) == columns && (more == [c_in, kh, kw] || is_flat);
            if !fits {
                return Err(wrong(found.to_vec()));
            }
        }
        None => {}
    }
    match &module.magnitude {
        Some(magnitude) if count(&magnitude.values.meta.shape) != along(magnitude.on_input) => {
            Err(wrong(magnitude.values.meta.shape.clone()))
        }
        _ => Ok(()),
    }
}

impl Place {
    /// The tensor's name.
    pub(super) fn name(self, target: &LoraTarget) -> String {
        let ending = match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        };
        format!("{}.{ending}", target.path)
    }

    /// Whether the module changes this tensor. Only where it says so of a bias does the network need to have one.
    pub(super) fn is_in(self, target: &LoraTarget, module: &LoraModule, shapes: &Shapes) -> bool {
        match self {
            Self::Weight => module.weight.is_some(),
            Self::Bias => module.bias.is_some() || shapes.contains_key(&self.name(target)),
        }
    }
}
