//! How often the pictures of a prompt are taken for the person they should show.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sample::check;
use crate::{Estimate, EvaluateError, Resampling};

/// One picture compared with pictures of the person.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The picture.
    pub picture: String,
    /// What it was asked to show, such as the prompt or the age in it.
    pub prompt: String,
    /// Distances of its face to the faces of the person; none where it has no face.
    pub distances: Vec<f64>,
}

/// The rate of one prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptRate {
    /// The prompt; empty for all together.
    pub prompt: String,
    /// Its pictures.
    pub n_pictures: usize,
    /// Those without a face, which count as not recognized.
    pub n_without_face: usize,
    /// Share of pairs of a picture and one of the person that are taken for one person; the interval is over pictures.
    pub rate: Estimate,
    /// Mean distance of the pairs; absent where no picture has a face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_distance: Option<f64>,
}

/// Rates of prompts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identity {
    /// Up to which distance two faces are taken for one person.
    pub threshold: f64,
    /// Network and metric of the distances.
    pub network: String,
    /// Pictures of the person.
    pub n_references: usize,
    /// All prompts together.
    pub all: PromptRate,
    /// Each prompt, in the order of their names.
    pub prompts: Vec<PromptRate>,
}

/// Rates of recognition, prompt by prompt.
///
/// `threshold` and `network` say what made the distances; `n_references` is how many there are for a picture with a face.
///
/// # Errors
/// [`EvaluateError::TooFew`] without pictures.
pub fn identity(
    comparisons: &[Comparison],
    (network, threshold, n_references): (&str, f64, usize),
    resampling: Resampling,
) -> Result<(Identity, Vec<String>), EvaluateError> {
    let mut warnings: Vec<String> = check("identity", "pictures", comparisons.len())?.into_iter().collect();
    let mut prompts: BTreeMap<&str, Vec<&Comparison>> = BTreeMap::new();
    for comparison in comparisons {
        prompts.entry(&comparison.prompt).or_default().push(comparison);
    }
    let smallest = prompts.values().map(Vec::len).min().unwrap_or(0);
    if prompts.len() > 1 {
        warnings.extend(check("identity", "pictures in the smallest prompt", smallest)?);
    }
    let rate = |prompt: &str, rows: &[&Comparison]| rate(prompt, rows, threshold, resampling);
    let found = Identity {
        threshold,
        network: network.to_owned(),
        n_references,
        all: rate("", &comparisons.iter().collect::<Vec<_>>()),
        prompts: prompts.iter().map(|(prompt, rows)| rate(prompt, rows)).collect(),
    };
    Ok((found, warnings))
}

fn rate(prompt: &str, rows: &[&Comparison], threshold: f64, resampling: Resampling) -> PromptRate {
    let share = |row: &&Comparison| {
        let n_near = row.distances.iter().filter(|distance| **distance <= threshold).count();
        n_near as f64 / row.distances.len().max(1) as f64
    };
    let shares: Vec<f64> = rows.iter().map(share).collect();
    let distances: Vec<f64> = rows.iter().flat_map(|row| row.distances.iter().copied()).collect();
    PromptRate {
        prompt: prompt.to_owned(),
        n_pictures: rows.len(),
        n_without_face: rows.iter().filter(|row| row.distances.is_empty()).count(),
        rate: Estimate::share(&shares, resampling, &format!("identity {prompt}")),
        mean_distance: (!distances.is_empty())
            .then(|| distances.iter().sum::<f64>() / distances.len() as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_without_a_face_are_not_recognized_and_are_counted() {
        let row = |prompt: &str, distances: &[f64]| Comparison {
            picture: "p".to_owned(),
            prompt: prompt.to_owned(),
            distances: distances.to_vec(),
        };
        let rows = [row("30", &[0.2, 0.6]), row("30", &[]), row("8", &[0.5, 0.5])];
        let (found, warnings) =
            identity(&rows, ("arcface, cosine", 0.5, 2), Resampling { n: 0, seed: 0 }).unwrap();
        let rates: Vec<(&str, f64, usize)> = found
            .prompts
            .iter()
            .map(|row| (row.prompt.as_str(), row.rate.value, row.n_without_face))
            .collect();
        assert_eq!(rates, [("30", 0.25, 1), ("8", 1.0, 0)]);
        assert!((found.all.rate.value - 0.5).abs() < 1e-12);
        assert!((found.all.mean_distance.unwrap() - 0.45).abs() < 1e-12);
        assert_eq!(warnings.len(), 2);
    }
}
