//! Whether a model repeats what it was trained on.

use serde::Serialize;

use crate::linear::each_squared_distances;
use crate::sample::check;
use crate::{Estimate, EvaluateError, Features, Resampling};

/// Pairs that are listed.
const MAX_LISTED: usize = 20;

/// A picture and the training picture nearest to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nearest {
    /// The picture.
    pub picture: String,
    /// The training picture.
    pub training: String,
    /// Cosine of their features.
    pub cosine: f64,
    /// Cosine of the training picture and the training picture nearest to it.
    pub own_cosine: f64,
}

/// Pictures compared with those a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memorisation {
    /// Share of the pictures that are nearer to a training picture than any other training picture is: a model that has only learnt
    /// what its pictures have in common makes about as many as there would be among pictures it has not seen.
    pub repeated: Estimate,
    /// Mean cosine of each picture and its nearest training picture.
    pub nearest_cosine: Estimate,
    /// All cosines of pictures and their nearest, in the order of the pictures.
    pub cosines: Vec<f64>,
    /// The nearest pairs, the nearest first.
    pub nearest: Vec<Nearest>,
}

/// For each picture its nearest training picture, by the cosine of their features.
///
/// A picture counts as repeated when it is nearer to a training picture than that one is to its own nearest: the complement of
/// authenticity in Alaa et al. 2022 (arXiv:2102.08921), section 3.3.
///
/// # Errors
/// [`EvaluateError::TooFew`], [`EvaluateError::Incomparable`].
pub fn memorisation(
    (features, names): (&Features, &[String]),
    (training, training_names): (&Features, &[String]),
    resampling: Resampling,
) -> Result<(Memorisation, Vec<String>), EvaluateError> {
    features.check_comparable(training)?;
    check("memorisation", "training pictures", training.len())?;
    let warning = check("memorisation", "pictures", features.len())?;
    let (unit, training_unit) = (features.unit_rows(), training.unit_rows());
    let mut own = Vec::with_capacity(training.len());
    each_squared_distances(training_unit.as_ref(), training_unit.as_ref(), |row, distances| {
        own.push(smallest(distances, Some(row)).1);
    });
    let mut found = Vec::with_capacity(features.len());
    each_squared_distances(unit.as_ref(), training_unit.as_ref(), |row, distances| {
        found.push((row, smallest(distances, None)));
    });
    // Vectors of length 1: the squared distance is 2 - 2 cosine.
    let cosine = |squared: f64| 1.0 - squared / 2.0;
    let own_of = |index: usize| own.get(index).copied().unwrap_or(f64::INFINITY);
    let is_repeated =
        |&(_, (index, squared)): &(usize, (usize, f64))| if squared < own_of(index) { 1.0 } else { 0.0 };
    let repeated: Vec<f64> = found.iter().map(is_repeated).collect();
    let cosines: Vec<f64> = found.iter().map(|(_, (_, squared))| cosine(*squared)).collect();
    found.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let name =
        |names: &[String], index: usize| names.get(index).cloned().unwrap_or_else(|| index.to_string());
    let nearest = found.iter().take(MAX_LISTED).map(|&(row, (index, squared))| Nearest {
        picture: name(names, row),
        training: name(training_names, index),
        cosine: cosine(squared),
        own_cosine: cosine(own_of(index)),
    });
    let found = Memorisation {
        repeated: Estimate::share(&repeated, resampling, "repeated"),
        nearest_cosine: Estimate::mean(&cosines, resampling, "nearest"),
        nearest: nearest.collect(),
        cosines,
    };
    Ok((found, warning.into_iter().collect()))
}

/// The place of the smallest number and the number, without one place.
fn smallest(values: &[f64], without: Option<usize>) -> (usize, f64) {
    let others = values.iter().copied().enumerate().filter(|(index, _)| Some(*index) != without);
    others.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_training_picture_is_found_and_a_new_picture_is_not_called_one() {
        let at = |degrees: f64| vec![degrees.to_radians().cos(), degrees.to_radians().sin()];
        let training = Features::from_rows("training", &[at(0.0), at(20.0), at(60.0)]).unwrap();
        let made = Features::from_rows("test", &[at(1.0), at(95.0), at(59.9)]).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (found, warnings) = memorisation(
            (&made, &names(&["near", "far", "copy"])),
            (&training, &names(&["a", "b", "c"])),
            Resampling { n: 0, seed: 0 },
        )
        .unwrap();
        let listed: Vec<(&str, &str)> =
            found.nearest.iter().map(|pair| (pair.picture.as_str(), pair.training.as_str())).collect();
        assert_eq!(listed, [("copy", "c"), ("near", "a"), ("far", "c")]);
        // The one at 95 degrees is nearer to 60 than 20 is, but the nearest of 60 is 40 away.
        assert!((found.repeated.value - 1.0).abs() < 1e-12);
        assert!((found.nearest[0].own_cosine - 40.0_f64.to_radians().cos()).abs() < 1e-9);
        assert!((found.cosines[1] - 35.0_f64.to_radians().cos()).abs() < 1e-9);
        assert_eq!(warnings, ["memorisation of 3 pictures, better at least 50: few pictures say little"]);
    }
}
