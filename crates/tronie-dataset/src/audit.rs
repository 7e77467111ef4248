//! What was asked for against what was measured.
//!
//! Everything here is computed from the lines of `candidates.jsonl`; spare candidates, which the rules did not ask for, are
//! left out.

mod markdown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Serialize;

use crate::candidate::Candidate;
use crate::curation::{Curation, Verification};
use crate::folder::SPEC;
use crate::review::{Decided, Decision, decided};
use crate::statistics::{Counts, Interval, cramers_v, dependence, divergence, wilson};
use crate::{BuildError, Spec};

/// What is measured but is none of the values of an attribute.
const OTHER: &str = "other";
/// What could not be measured.
const NOT_MEASURED: &str = "not measured";

/// The report of a curated dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// Candidates that were decided.
    pub n_candidates: u64,
    /// Those that are kept.
    pub n_kept: u64,
    /// Every cell in the order of the spec.
    pub cells: Vec<CellAudit>,
    /// Rule → candidates that failed it; one candidate may fail several.
    pub reasons: BTreeMap<String, u64>,
    /// Every verified attribute.
    pub attributes: Vec<AttributeAudit>,
    /// All attributes together of which every value that was asked for is verified; absent without two of them.
    pub joint: Option<JointAudit>,
    /// Every two verified attributes.
    pub pairs: Vec<PairAudit>,
}

/// How a cell fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellAudit {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Pictures asked for.
    pub n_asked: u64,
    /// Candidates made.
    pub n_made: u64,
    /// Candidates kept.
    pub n_kept: u64,
    /// Kept candidates of those made.
    pub rate: Interval,
    /// Why no more were made.
    pub stop: Stop,
}

/// Why a cell gets no more candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Every place is filled.
    Full,
    /// The open places have used all their attempts.
    Attempts,
    /// Its rate of success is surely below `attempts.stop_below`.
    Hopeless,
}

/// How well an attribute was met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributeAudit {
    /// The attribute.
    pub attribute: String,
    /// What it is measured by.
    pub measure: String,
    /// What can be found: the values that are verified, then "other" and "not measured".
    pub columns: Vec<String>,
    /// One for each value that is verified.
    pub rows: Vec<ValueAudit>,
    /// How far the shares of what was measured are from those asked for.
    pub divergence: Divergence,
}

/// What was measured where a value was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueAudit {
    /// The value that was asked for.
    pub asked: String,
    /// Candidates that were to show it.
    pub n: u64,
    /// How many of them measure as each of the columns.
    pub found: Vec<u64>,
    /// Those that measure as what was asked for, without tolerance.
    pub right: Interval,
}

/// Jensen-Shannon divergence in bits of what was measured from what was asked for, 0 to 1; absent without pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Divergence {
    /// Of the first attempts: what the model makes when asked once.
    pub first_attempts: Option<f64>,
    /// Of the pictures that are kept.
    pub kept: Option<f64>,
}

/// A number about what was asked for, about first attempts, and about the pictures that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Three {
    /// What was asked for.
    pub asked: Option<f64>,
    /// First attempts, measured.
    pub first_attempts: Option<f64>,
    /// Kept pictures, measured.
    pub kept: Option<f64>,
}

/// The joint distribution of attributes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JointAudit {
    /// The attributes.
    pub attributes: Vec<String>,
    /// Places asked for.
    pub n_asked: u64,
    /// First attempts with a face to measure.
    pub n_first_attempts: u64,
    /// Kept pictures.
    pub n_kept: u64,
    /// Every combination that was asked for or measured.
    pub rows: Vec<JointRow>,
    /// How far measured combinations are from those asked for.
    pub divergence: Divergence,
    /// Total correlation in bits: how far the combinations are from independence.
    pub dependence: Three,
}

/// One combination of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JointRow {
    /// A value for each attribute.
    pub values: Vec<String>,
    /// Places asked for.
    pub n_asked: u64,
    /// First attempts that measure so.
    pub n_first_attempts: u64,
    /// Kept pictures that measure so.
    pub n_kept: u64,
}

/// What two attributes have to do with each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairAudit {
    /// The two.
    pub attributes: [String; 2],
    /// Mutual information in bits.
    pub mutual_information: Three,
    /// Cramér's V, 0 to 1.
    pub cramers_v: Three,
}

/// The report of the dataset in a folder, from its spec and its `candidates.jsonl`.
///
/// # Errors
/// [`BuildError::NotCurated`] where no build with rules has ended there.
pub fn report(folder: &Path) -> Result<(Audit, String), BuildError> {
    let decided = decided(folder)?;
    let spec = Spec::open(&folder.join(SPEC)).map_err(|source| BuildError::BadSpec(Box::new(source)))?;
    let curation = spec.curation().ok_or_else(|| BuildError::NotCurated { folder: folder.to_owned() })?;
    let audit = audit(&spec, curation, &decided);
    let text = audit.markdown();
    Ok((audit, text))
}

pub(crate) fn audit(spec: &Spec, curation: &Curation, decided: &[Decided]) -> Audit {
    let asked: Vec<&Decided> = decided.iter().filter(|decided| decided.decision != Decision::Spare).collect();
    let samples = Samples::of(spec, &curation.verifications, &asked);
    let mut reasons = BTreeMap::new();
    for decided in &asked {
        let rules: BTreeSet<&String> = decided.reasons.iter().map(|reason| &reason.rule).collect();
        rules.into_iter().for_each(|rule| *reasons.entry(rule.clone()).or_default() += 1);
    }
    let n_attributes = curation.verifications.len();
    let pairs = (0..n_attributes).flat_map(|a| (a + 1..n_attributes).map(move |b| [a, b]));
    Audit {
        n_candidates: asked.len() as u64,
        n_kept: asked.iter().filter(|decided| decided.decision == Decision::Kept).count() as u64,
        cells: cells(spec, curation, &asked),
        reasons,
        attributes: (0..).zip(&curation.verifications).map(|row| attribute(row, &asked, &samples)).collect(),
        joint: joint(&curation.verifications, &samples),
        pairs: pairs.map(|pair| samples.pair(&curation.verifications, pair)).collect(),
    }
}

fn cells(spec: &Spec, curation: &Curation, asked: &[&Decided]) -> Vec<CellAudit> {
    let mut tallies: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut attempts: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
    for decided in asked {
        let is_kept = decided.decision == Decision::Kept;
        let (n_made, n_kept) = tallies.entry(&decided.cell).or_default();
        *n_made += 1;
        *n_kept += u64::from(is_kept);
        if let Some(candidate) = Candidate::parse(&decided.candidate) {
            let (n_attempts, is_filled) = attempts.entry(candidate.slot).or_default();
            *n_attempts += 1;
            *is_filled |= is_kept;
        }
    }
    let is_given_up = |&(n_attempts, is_filled): &(u32, bool)| !is_filled && n_attempts < curation.n_attempts;
    let given_up = attempts.iter().filter(|(_, slot)| is_given_up(slot));
    let hopeless: BTreeSet<&str> =
        given_up.filter_map(|(&slot, _)| Some(spec.cell_of(slot)?.name.as_str())).collect();
    let audit = |cell: &crate::Cell| {
        let (n_made, n_kept) = tallies.get(cell.name.as_str()).copied().unwrap_or_default();
        let stop = match cell.count {
            count if count == n_kept => Stop::Full,
            _ if hopeless.contains(cell.name.as_str()) => Stop::Hopeless,
            _ => Stop::Attempts,
        };
        let (name, group) = (cell.name.clone(), cell.group.clone());
        CellAudit { name, group, n_asked: cell.count, n_made, n_kept, rate: wilson(n_kept, n_made), stop }
    };
    spec.cells().iter().map(audit).collect()
}

/// What a candidate measures as.
fn class(verification: &Verification, decided: &Decided) -> String {
    match decided.measures.get(verification.measure.id) {
        None => NOT_MEASURED.to_owned(),
        Some(value) => verification.class(value).unwrap_or(OTHER).to_owned(),
    }
}

fn attribute(
    (index, verification): (usize, &Verification),
    asked: &[&Decided],
    samples: &Samples,
) -> AttributeAudit {
    let values = verification.values.iter().map(|(id, _)| id.clone());
    let columns: Vec<String> = values.chain([OTHER.to_owned(), NOT_MEASURED.to_owned()]).collect();
    let row = |id: &String| {
        let shown =
            asked.iter().filter(|decided| decided.attributes.get(&verification.attribute) == Some(id));
        let classes: Vec<String> = shown.map(|decided| class(verification, decided)).collect();
        let count = |column: &String| classes.iter().filter(|class| *class == column).count() as u64;
        let n = classes.len() as u64;
        ValueAudit {
            asked: id.clone(),
            n,
            found: columns.iter().map(count).collect(),
            right: wilson(count(id), n),
        }
    };
    AttributeAudit {
        attribute: verification.attribute.clone(),
        measure: verification.measure.id.to_owned(),
        rows: verification.values.iter().map(|(id, _)| row(id)).collect(),
        divergence: samples.divergence(&[index]),
        columns,
    }
}

/// The values of every attribute in a picture; absent where they are not verified or not measured.
type Row = Vec<Option<String>>;

/// Values asked for and measured, one row for each picture.
struct Samples {
    asked: Vec<Row>,
    first_attempts: Vec<Row>,
    kept: Vec<Row>,
}

impl Samples {
    fn of(spec: &Spec, verifications: &[Verification], decided: &[&Decided]) -> Self {
        let wanted = |attributes: &BTreeMap<String, String>| -> Row {
            let known = |verification: &Verification| {
                attributes.get(&verification.attribute).filter(|id| verification.known(id).is_some()).cloned()
            };
            verifications.iter().map(known).collect()
        };
        let measured = |decided: &Decided| -> Row {
            let wanted = wanted(&decided.attributes).into_iter().zip(verifications);
            let class = |(wanted, verification): (Option<String>, &Verification)| {
                wanted.map(|_| class(verification, decided)).filter(|class| class != NOT_MEASURED)
            };
            wanted.map(class).collect()
        };
        let is_first = |decided: &&&Decided| {
            Candidate::parse(&decided.candidate).is_some_and(|candidate| candidate.attempt == 0)
        };
        let is_kept = |decided: &&&Decided| decided.decision == Decision::Kept;
        let items = (0..spec.n_images()).filter_map(|index| spec.item(index));
        Self {
            asked: items.map(|item| wanted(&item.attributes)).collect(),
            first_attempts: decided.iter().filter(is_first).map(|decided| measured(decided)).collect(),
            kept: decided.iter().filter(is_kept).map(|decided| measured(decided)).collect(),
        }
    }

    /// Counts of combinations of some attributes, in the pictures that have all of them.
    fn counts(&self, indices: &[usize]) -> [Counts<Vec<String>>; 3] {
        [&self.asked, &self.first_attempts, &self.kept].map(|rows| {
            let mut counts = Counts::new();
            for row in rows {
                let values = indices.iter().map(|&index| row.get(index).cloned().flatten());
                if let Some(values) = values.collect::<Option<Vec<String>>>() {
                    *counts.entry(values).or_default() += 1;
                }
            }
            counts
        })
    }

    fn divergence(&self, indices: &[usize]) -> Divergence {
        let [asked, first_attempts, kept] = self.counts(indices);
        Divergence { first_attempts: divergence(&asked, &first_attempts), kept: divergence(&asked, &kept) }
    }

    fn pair(&self, verifications: &[Verification], indices: [usize; 2]) -> PairAudit {
        let counts = self.counts(&indices);
        let name = |index: usize| verifications.get(index).map(|row| row.attribute.clone());
        PairAudit {
            attributes: indices.map(|index| name(index).unwrap_or_default()),
            mutual_information: three(&counts, dependence),
            cramers_v: three(&counts, cramers_v),
        }
    }
}

fn three(
    [asked, first_attempts, kept]: &[Counts<Vec<String>>; 3],
    measure: fn(&Counts<Vec<String>>) -> Option<f64>,
) -> Three {
    Three { asked: measure(asked), first_attempts: measure(first_attempts), kept: measure(kept) }
}

fn joint(verifications: &[Verification], samples: &Samples) -> Option<JointAudit> {
    let is_always_known =
        |index: &usize| samples.asked.iter().all(|row| row.get(*index).is_some_and(Option::is_some));
    let indices: Vec<usize> = (0..verifications.len()).filter(is_always_known).collect();
    if indices.len() < 2 {
        return None;
    }
    let counts = samples.counts(&indices);
    let [asked, first_attempts, kept] = &counts;
    let keys: BTreeSet<&Vec<String>> = counts.iter().flat_map(BTreeMap::keys).collect();
    let of = |counts: &Counts<Vec<String>>, key: &Vec<String>| counts.get(key).copied().unwrap_or(0);
    let row = |key: &Vec<String>| JointRow {
        values: key.clone(),
        n_asked: of(asked, key),
        n_first_attempts: of(first_attempts, key),
        n_kept: of(kept, key),
    };
    let name = |index: &usize| verifications.get(*index).map(|row| row.attribute.clone());
    Some(JointAudit {
        attributes: indices.iter().filter_map(name).collect(),
        n_asked: asked.values().sum(),
        n_first_attempts: first_attempts.values().sum(),
        n_kept: kept.values().sum(),
        rows: keys.into_iter().map(row).collect(),
        divergence: samples.divergence(&indices),
        dependence: three(&counts, dependence),
    })
}

#[cfg(test)]
mod tests;
