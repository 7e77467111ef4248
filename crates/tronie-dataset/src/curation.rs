//! What a spec says about curation, checked: who looks, what is kept, how attributes are verified, when to stop.

mod error;
mod tables;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tronie_faces::{ANNOTATORS, AnnotatorRow, FacesError, NetworkFolders, Part, with_defaults};

pub use error::CurationError;
pub(crate) use tables::{
    AcceptTable, AttemptsTable, CurationTables, DuplicatesTable, FilterTable, MeasureTable, Rejected,
    VerifyTable,
};

use crate::file::SpecFile;
use crate::measures::{MEASURES, MeasureRow, Measured, Read, TASTE, measure};
use crate::names::nearest;
use crate::spec::check_reference;
use crate::{SpecError, canonical};

/// Most attempts for one place.
pub const MAX_ATTEMPTS: u32 = 1000;

/// The rules by which candidates are kept.
#[derive(Debug)]
pub struct Curation {
    pub(crate) meaning: Value,
    /// Hash of the meaning.
    pub(crate) identity: String,
    /// Those of a machine without networks of its own; with others the same parts of faces are known.
    annotators: Vec<&'static AnnotatorRow>,
    /// Ids of annotators beside the default ones; `None` when nobody looks.
    chosen: Option<Vec<String>>,
    /// File of the taste, beside the spec.
    pub(crate) taste: Option<PathBuf>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) verifications: Vec<Verification>,
    /// Attempts for one place, at least 1.
    pub(crate) n_attempts: u32,
    /// A cell is given up when its rate of success is surely below this.
    pub(crate) stop_below: Option<f64>,
    pub(crate) rejected: Rejected,
    pub(crate) duplicates: Option<DuplicatesTable>,
}

/// What a picture must measure.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) measure: &'static MeasureRow,
    pub(crate) accept: Accept,
}

/// Values that are accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Accept {
    /// From the first to the second; absent ends are open.
    Range(Option<f32>, Option<f32>),
    /// One of some names.
    Names(Vec<String>),
}

/// How one attribute is recognized.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) attribute: String,
    pub(crate) measure: &'static MeasureRow,
    /// Value and what it is recognized by, in the order of the attribute's values.
    pub(crate) values: Vec<(String, Known)>,
    tolerance: f32,
}

/// What a value is recognized by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// From the first, below the second.
    Range(f32, f32),
    /// One of some names.
    Names(Vec<String>),
}

impl Curation {
    /// The rules of a spec; `None` for one without any. Files are looked for in `folder`.
    pub(crate) fn of(file: &SpecFile, folder: &Path) -> Result<Option<Self>, SpecError> {
        let tables = &file.curation();
        if *tables == CurationTables::default() {
            return Ok(None);
        }
        let measure_table = tables.measure.as_ref();
        let annotators = match measure_table {
            Some(table) => {
                with_defaults(&table.annotators, &NetworkFolders::default()).map_err(CurationError::from)?
            }
            None => Vec::new(),
        };
        let eyes = Eyes {
            annotators: &annotators,
            has_taste: measure_table.is_some_and(|table| table.taste.is_some()),
        };
        let filters = tables.filters.iter().map(|table| filter(table, &eyes)).collect::<Result<_, _>>()?;
        let verify = |(name, table)| verification(file, (name, table), &eyes);
        let verifications = tables.verify.iter().map(verify).collect::<Result<_, _>>()?;
        let attempts = tables.attempts.clone().unwrap_or(AttemptsTable {
            per_slot: 1,
            stop_below: None,
            rejected: Rejected::Keep,
        });
        check_attempts(&attempts)?;
        tables.duplicates.as_ref().map_or(Ok(()), |table| check_duplicates(table, &eyes))?;
        let meaning = canonical::canonical(serde_json::to_value(tables).unwrap_or_default());
        Ok(Some(Self {
            identity: canonical::identity(&meaning),
            meaning,
            taste: measure_table.and_then(|table| Some(folder.join(table.taste.as_ref()?))),
            annotators,
            chosen: measure_table.map(|table| table.annotators.clone()),
            filters,
            verifications,
            n_attempts: attempts.per_slot,
            stop_below: attempts.stop_below,
            rejected: attempts.rejected,
            duplicates: tables.duplicates.clone(),
        }))
    }

    /// The annotators that look at every candidate where these networks are, in the order of running.
    ///
    /// # Errors
    /// Those of [`with_defaults`].
    pub fn annotators(&self, folders: &NetworkFolders) -> Result<Vec<&'static AnnotatorRow>, FacesError> {
        self.chosen.as_ref().map_or(Ok(Vec::new()), |chosen| with_defaults(chosen, folders))
    }

    /// Annotators that make the parts of faces that are measured.
    pub(crate) fn makers(&self) -> &[&'static AnnotatorRow] {
        &self.annotators
    }

    /// How many attempts a place has.
    #[must_use]
    pub fn n_attempts(&self) -> u32 {
        self.n_attempts
    }
}

impl Accept {
    pub(crate) fn accepts(&self, value: &Measured) -> bool {
        match (self, value) {
            (Self::Range(from, to), Measured::Number(value)) => {
                from.is_none_or(|from| *value >= from) && to.is_none_or(|to| *value <= to)
            }
            (Self::Names(names), Measured::Name(name)) => names.contains(name),
            _ => false,
        }
    }

    /// `at least 12`, `1 to 1`, `happy`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Range(Some(from), Some(to)) => format!("{from} to {to}"),
            Self::Range(Some(from), None) => format!("at least {from}"),
            Self::Range(None, Some(to)) => format!("at most {to}"),
            Self::Range(None, None) => "any number".to_owned(),
            Self::Names(names) => names.join(" or "),
        }
    }
}

impl Known {
    fn holds(&self, value: &Measured, tolerance: f32) -> bool {
        match (self, value) {
            (Self::Range(from, below), Measured::Number(value)) => {
                (from - tolerance..below + tolerance).contains(value)
            }
            (Self::Names(names), Measured::Name(name)) => names.contains(name),
            _ => false,
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Range(from, below) => format!("from {from}, below {below}"),
            Self::Names(names) => names.join(" or "),
        }
    }
}

impl Verification {
    /// What the value of an attribute is recognized by; `None` for values that are not verified.
    pub(crate) fn known(&self, id: &str) -> Option<&Known> {
        self.values.iter().find(|(value, _)| value == id).map(|(_, known)| known)
    }

    /// Whether a picture that was to show `id` shows it, to within the tolerance.
    pub(crate) fn accepts(&self, id: &str, value: &Measured) -> bool {
        self.known(id).is_none_or(|known| known.holds(value, self.tolerance))
    }

    /// The value that a measurement is recognized as; no two values share one.
    pub(crate) fn class(&self, value: &Measured) -> Option<&str> {
        let mut values = self.values.iter();
        values.find(|(_, known)| known.holds(value, 0.0)).map(|(id, _)| id.as_str())
    }
}

/// Who looks.
struct Eyes<'a> {
    annotators: &'a [&'static AnnotatorRow],
    has_taste: bool,
}

impl Eyes<'_> {
    fn makes(&self, part: Part) -> bool {
        self.annotators.iter().any(|row| row.makes.contains(&part))
    }

    /// The measure of an id, which somebody makes.
    fn measure(&self, place: &str, id: &str) -> Result<&'static MeasureRow, CurationError> {
        let row = measure(id).ok_or_else(|| CurationError::UnknownMeasure {
            place: place.to_owned(),
            found: id.to_owned(),
            nearest: nearest(id, MEASURES.iter().map(|row| row.id)),
        })?;
        self.check_made(id, row.part)?;
        if row.id == TASTE && !self.has_taste {
            return Err(CurationError::NoTaste { place: place.to_owned() });
        }
        Ok(row)
    }

    fn check_made(&self, wanted: &str, part: Part) -> Result<(), CurationError> {
        if self.makes(part) {
            return Ok(());
        }
        let makers = ANNOTATORS.iter().filter(|row| row.makes.contains(&part)).map(|row| row.id);
        Err(CurationError::NotMade {
            wanted: wanted.to_owned(),
            makers: makers.collect::<Vec<_>>().join(", "),
        })
    }
}

fn filter(table: &FilterTable, eyes: &Eyes<'_>) -> Result<Filter, CurationError> {
    let measure = eyes.measure("[[filters]]", &table.measure)?;
    let bad = |expected: String| CurationError::BadFilter { measure: measure.id, expected };
    let is_ordered = |from: f32, to: f32| from <= to;
    let accept = match measure.read {
        Read::Name(names, _) if table.min.is_some() || table.max.is_some() || table.is.is_empty() => {
            return Err(bad(format!("is = some of: {}", names.join(", "))));
        }
        Read::Name(names, _) => {
            check_names(&table.is, names).map_err(|expected| bad(format!("names of: {expected}")))?;
            Accept::Names(table.is.clone())
        }
        Read::Number(_) | Read::Taste => {
            let has_end = table.min.or(table.max).is_some();
            let is_range = table.min.zip(table.max).is_none_or(|(min, max)| is_ordered(min, max));
            let is_finite = [table.min, table.max].iter().flatten().all(|end| end.is_finite());
            if !has_end || !is_range || !is_finite || !table.is.is_empty() {
                return Err(bad("min, max or both, min <= max".to_owned()));
            }
            Accept::Range(table.min, table.max)
        }
    };
    Ok(Filter { measure, accept })
}

fn check_names(found: &[String], names: &[&str]) -> Result<(), String> {
    match found.iter().all(|name| names.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(names.join(", ")),
    }
}

fn verification(
    file: &SpecFile,
    (attribute, table): (&String, &VerifyTable),
    eyes: &Eyes<'_>,
) -> Result<Verification, SpecError> {
    let place = format!("[verify.{attribute}]");
    check_reference(file, &place, attribute, None)?;
    for id in table.values.keys() {
        check_reference(file, &place, attribute, Some(id))?;
    }
    let measure = eyes.measure(&place, &table.measure)?;
    let bad = |expected: &str| {
        SpecError::from(CurationError::BadVerification {
            attribute: attribute.clone(),
            measure: measure.id,
            expected: expected.to_owned(),
        })
    };
    if table.values.is_empty() {
        return Err(bad("at least one of values"));
    }
    if !(0.0..=f32::MAX).contains(&table.tolerance) {
        return Err(bad("a tolerance of 0 or more"));
    }
    let ids = file.attributes.get(attribute).into_iter().flat_map(|table| &table.values);
    let mut values = Vec::new();
    for (id, accept) in ids.filter_map(|value| Some((&value.id, table.values.get(&value.id)?))) {
        let known = match (accept, measure.read) {
            (AcceptTable::Range([from, below]), Read::Number(_) | Read::Taste) if from < below => {
                Known::Range(*from, *below)
            }
            (AcceptTable::Names(names), Read::Name(known, _)) if !names.is_empty() => {
                check_names(names, known).map_err(|expected| bad(&format!("names of: {expected}")))?;
                Known::Names(names.clone())
            }
            (_, Read::Name(known, _)) => {
                return Err(bad(&format!("lists of names of: {}", known.join(", "))));
            }
            _ => return Err(bad("ranges [from, below] with from < below")),
        };
        values.push((id.clone(), known));
    }
    if has_overlap(&values) {
        return Err(bad("values that do not overlap; tolerance is what widens a range"));
    }
    Ok(Verification { attribute: attribute.clone(), measure, values, tolerance: table.tolerance })
}

fn has_overlap(values: &[(String, Known)]) -> bool {
    let overlap = |a: &Known, b: &Known| match (a, b) {
        (Known::Range(a_from, a_below), Known::Range(b_from, b_below)) => {
            a_from < b_below && b_from < a_below
        }
        (Known::Names(a), Known::Names(b)) => a.iter().any(|name| b.contains(name)),
        _ => false,
    };
    let later = |index: usize| values.iter().skip(index + 1);
    values.iter().enumerate().any(|(index, (_, a))| later(index).any(|(_, b)| overlap(a, b)))
}

fn check_attempts(table: &AttemptsTable) -> Result<(), CurationError> {
    if !(1..=MAX_ATTEMPTS).contains(&table.per_slot) {
        return Err(CurationError::BadAttempts { found: table.per_slot });
    }
    match table.stop_below {
        Some(found) if !(found > 0.0 && found < 1.0) => Err(CurationError::BadStop { found }),
        _ => Ok(()),
    }
}

fn check_duplicates(table: &DuplicatesTable, eyes: &Eyes<'_>) -> Result<(), CurationError> {
    if let Some(found) = table.hash_bits.filter(|bits| *bits > 32) {
        return Err(CurationError::BadHashBits { found });
    }
    match table.cosine {
        Some(found) if !(found > 0.0 && found <= 1.0) => Err(CurationError::BadCosine { found }),
        Some(_) => eyes.check_made("[duplicates] cosine", Part::Embedding),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
