//! The grid: which cells there are, and how many images each gets.

use std::collections::{BTreeMap, BTreeSet};

use crate::SpecError;
use crate::file::{RowTable, SpecFile};
use crate::spec::{MAX_IMAGES, check_reference, conditions};

/// One cell of the grid: values that are fixed, and how many images show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Unique: the row's name and the values it is repeated over, joined by ` / `.
    pub name: String,
    /// What the spec groups the cell under, empty for none.
    pub group: String,
    /// Attribute → value.
    pub values: BTreeMap<String, String>,
    /// Number of images, at least 1.
    pub count: u64,
}

/// A cell that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Its name.
    pub cell: String,
    /// Its group.
    pub group: String,
    /// How many images it would have had.
    pub count: u64,
    /// Why, in the words of the spec.
    pub reason: String,
}

/// All cells in the order of the spec, and those that were left out.
pub(crate) fn expand(file: &SpecFile) -> Result<(Vec<Cell>, Vec<Excluded>), SpecError> {
    let mut cells = Vec::new();
    for row in rows(file)? {
        expand_row(file, &row, &mut cells)?;
    }
    let mut names = BTreeSet::new();
    if let Some(cell) = cells.iter().find(|cell| !names.insert(cell.name.clone())) {
        return Err(SpecError::RepeatedCell { cell: cell.name.clone() });
    }
    let (cells, excluded) = exclude(file, cells)?;
    if let Some(cell) = cells.iter().find(|cell| cell.count == 0) {
        return Err(SpecError::EmptyCell { cell: cell.name.clone() });
    }
    if cells.is_empty() {
        return Err(SpecError::NoCells);
    }
    let found = cells.iter().fold(0_u64, |sum, cell| sum.saturating_add(cell.count));
    if found > MAX_IMAGES {
        return Err(SpecError::TooManyImages { found });
    }
    match file.total {
        Some(expected) if expected != found => Err(SpecError::TotalDiffers { found, expected }),
        _ => Ok((cells, excluded)),
    }
}

/// The rows; a quota is one row without a name.
fn rows(file: &SpecFile) -> Result<Vec<RowTable>, SpecError> {
    match (&file.quota, file.rows.is_empty()) {
        (Some(quota), true) => Ok(vec![RowTable {
            name: String::new(),
            group: String::new(),
            set: BTreeMap::new(),
            for_each: quota.by.clone(),
            count: quota.per_cell,
        }]),
        (None, false) => Ok(file.rows.clone()),
        (quota, _) => Err(SpecError::QuotaOrRows { has_both: quota.is_some() }),
    }
}

fn expand_row(file: &SpecFile, row: &RowTable, cells: &mut Vec<Cell>) -> Result<(), SpecError> {
    let place = match row.name.as_str() {
        "" => "quota".to_owned(),
        name => format!("row \"{name}\""),
    };
    for (attribute, value) in &row.set {
        check_reference(file, &place, attribute, Some(value))?;
    }
    let mut used: BTreeSet<&str> = row.set.keys().map(String::as_str).collect();
    let mut product = vec![(row.name.clone(), row.set.clone())];
    for attribute in &row.for_each {
        check_reference(file, &place, attribute, None)?;
        if !used.insert(attribute) {
            return Err(SpecError::AttributeTwice { place, attribute: attribute.clone() });
        }
        let values = file.attributes.get(attribute).map(|table| table.values.as_slice());
        let values = values.unwrap_or_default();
        let found = product.len() as u64 * values.len() as u64;
        if found > MAX_IMAGES {
            return Err(SpecError::TooManyImages { found });
        }
        product = product
            .iter()
            .flat_map(|(name, fixed)| {
                values.iter().map(move |value| with_value(name, fixed, (attribute, &value.id)))
            })
            .collect();
    }
    cells.extend(product.into_iter().map(|(name, values)| Cell {
        name: if name.is_empty() { "all".to_owned() } else { name },
        group: row.group.clone(),
        values,
        count: row.count,
    }));
    Ok(())
}

fn with_value(
    name: &str,
    fixed: &BTreeMap<String, String>,
    (attribute, id): (&str, &str),
) -> (String, BTreeMap<String, String>) {
    let slash = if name.is_empty() { "" } else { " / " };
    let mut fixed = fixed.clone();
    fixed.insert(attribute.to_owned(), id.to_owned());
    (format!("{name}{slash}{id}"), fixed)
}

fn exclude(file: &SpecFile, cells: Vec<Cell>) -> Result<(Vec<Cell>, Vec<Excluded>), SpecError> {
    for rule in &file.exclude {
        for (attribute, value) in &rule.when {
            check_reference(file, "[[exclude]]", attribute, Some(value))?;
        }
        if !cells.iter().any(|cell| matches(cell, &rule.when)) {
            return Err(SpecError::UselessExclusion { when: conditions(&rule.when) });
        }
    }
    let mut kept = Vec::new();
    let mut excluded = Vec::new();
    for cell in cells {
        match file.exclude.iter().find(|rule| matches(&cell, &rule.when)) {
            Some(rule) => excluded.push(Excluded {
                cell: cell.name,
                group: cell.group,
                count: cell.count,
                reason: rule.reason.clone(),
            }),
            None => kept.push(cell),
        }
    }
    Ok((kept, excluded))
}

/// Whether the cell fixes every one of these values.
fn matches(cell: &Cell, when: &BTreeMap<String, String>) -> bool {
    when.iter().all(|(attribute, value)| cell.values.get(attribute) == Some(value))
}
