//! How many pictures a number needs.

use crate::EvaluateError;

/// A metric and the sample it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minimum {
    /// The metric.
    pub metric: &'static str,
    /// Fewer are refused.
    pub refused_below: usize,
    /// Fewer are warned about.
    pub warned_below: usize,
    /// Why.
    pub why: &'static str,
}

/// Every metric with what it needs. FID is biased by the sample's size (Chong and Forsyth 2020, arXiv:1911.07023), so that scores
/// of different sizes cannot be compared; KID is not (Bińkowski et al. 2018, arXiv:1801.01401).
pub const MINIMA: &[Minimum] = &[
    Minimum { metric: "FID", refused_below: 50, warned_below: 10_000, why: "small samples raise it" },
    Minimum { metric: "KID", refused_below: 20, warned_below: 1_000, why: "it scatters widely" },
    Minimum {
        metric: "precision and recall",
        refused_below: 20,
        warned_below: 1_000,
        why: "the neighbors are far",
    },
    Minimum { metric: "diversity", refused_below: 3, warned_below: 50, why: "few pairs say little" },
    Minimum { metric: "memorisation", refused_below: 2, warned_below: 50, why: "few pictures say little" },
    Minimum {
        metric: "identity",
        refused_below: 1,
        warned_below: 20,
        why: "a rate of few pictures scatters widely",
    },
    Minimum {
        metric: "confusion",
        refused_below: 1,
        warned_below: 30,
        why: "a rate of few pictures scatters widely",
    },
];

/// Refuses what means nothing, and gives the warning for what means little.
pub(crate) fn check(
    metric: &'static str,
    of: &'static str,
    found: usize,
) -> Result<Option<String>, EvaluateError> {
    let Some(row) = MINIMA.iter().find(|row| row.metric == metric) else { return Ok(None) };
    if found < row.refused_below {
        return Err(EvaluateError::TooFew { metric, of, found, expected: row.refused_below, why: row.why });
    }
    let warning = || format!("{metric} of {found} {of}, better at least {}: {}", row.warned_below, row.why);
    Ok((found < row.warned_below).then(warning))
}
