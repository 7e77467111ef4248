//! What was asked for against what was measured.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::sample::check;
use crate::{Estimate, EvaluateError, Resampling};

/// Counts of pictures by what was asked for and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// What is compared, such as `sex`.
    pub attribute: String,
    /// What was asked for, one for each row.
    pub asked: Vec<String>,
    /// What can be measured, one for each column.
    pub measured: Vec<String>,
    /// Rows of counts.
    pub counts: Vec<Vec<usize>>,
    /// Pictures in which nothing could be measured, for each row.
    pub n_unmeasured: Vec<usize>,
    /// Share of the measured pictures that show what was asked for, where both go by one name; absent where no name is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Estimate>,
}

impl Confusion {
    /// From one pair for each picture: what was asked for, and which of `classes` was measured if anything could be.
    ///
    /// # Errors
    /// [`EvaluateError::TooFew`] without pictures.
    pub fn of(
        attribute: &str,
        classes: &[&str],
        pairs: &[(String, Option<String>)],
        resampling: Resampling,
    ) -> Result<(Self, Vec<String>), EvaluateError> {
        let warning = check("confusion", "pictures", pairs.len())?;
        let asked: BTreeSet<&String> = pairs.iter().map(|(asked, _)| asked).collect();
        let count = |asked: &str, measured: Option<&str>| {
            pairs.iter().filter(|(a, m)| a == asked && m.as_deref() == measured).count()
        };
        let shared = pairs.iter().filter_map(|(asked, measured)| Some((asked, measured.as_ref()?)));
        let shared = shared.filter(|(asked, _)| classes.contains(&asked.as_str()));
        let agrees: Vec<f64> =
            shared.map(|(asked, measured)| if asked == measured { 1.0 } else { 0.0 }).collect();
        let found = Self {
            attribute: attribute.to_owned(),
            counts: asked.iter().map(|a| classes.iter().map(|m| count(a, Some(m))).collect()).collect(),
            n_unmeasured: asked.iter().map(|a| count(a, None)).collect(),
            asked: asked.into_iter().cloned().collect(),
            measured: classes.iter().map(|class| (*class).to_owned()).collect(),
            agreement: (!agrees.is_empty()).then(|| Estimate::share(&agrees, resampling, attribute)),
        };
        Ok((found, warning.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_over_what_both_sides_have_a_name_for() {
        let pair = |asked: &str, measured: &str| {
            (asked.to_owned(), Some(measured.to_owned()).filter(|measured| !measured.is_empty()))
        };
        let pairs = [
            pair("happy", "happy"),
            pair("happy", "sad"),
            pair("happy", ""),
            pair("smug", "happy"),
            pair("sad", "sad"),
        ];
        let (found, _) =
            Confusion::of("emotion", &["happy", "sad", "angry"], &pairs, Resampling { n: 0, seed: 0 })
                .unwrap();
        assert_eq!(found.asked, ["happy", "sad", "smug"]);
        assert_eq!(found.counts, [[1, 1, 0], [0, 1, 0], [1, 0, 0]]);
        assert_eq!(found.n_unmeasured, [1, 0, 0]);
        assert!((found.agreement.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert!(Confusion::of("emotion", &[], &[], Resampling::default()).is_err());
    }
}
