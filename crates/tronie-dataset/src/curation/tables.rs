//! The sections of a spec about curation, as they are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct CurationTables {
    pub(crate) measure: Option<MeasureTable>,
    pub(crate) filters: Vec<FilterTable>,
    pub(crate) verify: BTreeMap<String, VerifyTable>,
    pub(crate) attempts: Option<AttemptsTable>,
    pub(crate) duplicates: Option<DuplicatesTable>,
}

/// `[measure]`: who looks at the pictures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeasureTable {
    /// Annotators beside the default ones, or in place of those that make the same part.
    #[serde(default)]
    pub(crate) annotators: Vec<String>,
    /// File of a learnt taste, beside the spec.
    pub(crate) taste: Option<String>,
}

/// `[[filters]]`: what a picture must measure to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterTable {
    pub(crate) measure: String,
    pub(crate) min: Option<f32>,
    pub(crate) max: Option<f32>,
    #[serde(default)]
    pub(crate) is: Vec<String>,
}

/// `[verify.<attribute>]`: how the values of an attribute are recognized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyTable {
    pub(crate) measure: String,
    /// How far outside of its range a number may lie.
    #[serde(default)]
    pub(crate) tolerance: f32,
    pub(crate) values: BTreeMap<String, AcceptTable>,
}

/// What a value of an attribute is recognized by: `[from, below]`, or names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected [from, below] or a list of names")]
pub(crate) enum AcceptTable {
    Range([f32; 2]),
    Names(Vec<String>),
}

/// `[attempts]`: how long a place is tried to be filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptsTable {
    #[serde(default = "one")]
    pub(crate) per_slot: u32,
    pub(crate) stop_below: Option<f64>,
    #[serde(default)]
    pub(crate) rejected: Rejected,
}

fn one() -> u32 {
    1
}

/// What happens to pictures that are not kept; their records always stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rejected {
    #[default]
    Keep,
    Delete,
}

/// `[duplicates]`: which pictures count as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DuplicatesTable {
    pub(crate) hash_bits: Option<u32>,
    pub(crate) cosine: Option<f32>,
}
