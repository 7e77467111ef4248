//! One request in many variants, for sheets to compare: up to three axes of values, or all combinations of parts of a prompt.

use crate::{GenerateError, GenerateRequest};

mod axes;

pub use axes::{AXES, AxisRow};

/// Most variants of one grid.
pub const MAX_VARIANTS: usize = 1000;

/// One picture of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// What makes it.
    pub request: GenerateRequest,
    /// What is special about it.
    pub label: String,
}

/// The pictures of one sheet, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// The pictures.
    pub variants: Vec<Variant>,
    /// How many stand in a row.
    pub columns: usize,
}

/// Something that varies, and its values.
#[derive(Debug, Clone)]
pub struct Axis {
    row: &'static AxisRow,
    values: Vec<String>,
}

/// Up to three axes: columns, rows, sheets.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    x: Option<Axis>,
    y: Option<Axis>,
    z: Option<Axis>,
}

impl Grid {
    /// Adds an axis as it is typed: `x=sampler:euler,ddim`. A value with a comma stands in quotation marks.
    ///
    /// # Errors
    /// [`GenerateError::Value`] for what is not of that form, names nothing that varies, or names an axis again.
    pub fn add(&mut self, text: &str) -> Result<(), GenerateError> {
        let wrong = |expected: String| GenerateError::Value { field: "grid", found: quoted(text), expected };
        let form = || wrong("x, y or z, what varies, and its values: x=sampler:euler,ddim".to_owned());
        let (place, rest) = text.split_once('=').ok_or_else(form)?;
        let (name, values) = rest.split_once(':').ok_or_else(form)?;
        let slot = match place.trim() {
            "x" => &mut self.x,
            "y" => &mut self.y,
            "z" => &mut self.z,
            _ => return Err(form()),
        };
        let row = AXES.iter().find(|row| row.id == name.trim()).ok_or_else(|| {
            let ids: Vec<&str> = AXES.iter().map(|row| row.id).collect();
            wrong(format!("one of {} to vary", ids.join(", ")))
        })?;
        let values = split(values);
        if values.iter().any(String::is_empty) {
            return Err(wrong("a value between all commas".to_owned()));
        }
        match slot.replace(Axis { row, values }) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("{} only once", place.trim()))),
        }
    }

    /// Whether nothing varies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x.is_none() && self.y.is_none() && self.z.is_none()
    }

    /// The sheets of a request: one for each value of z.
    ///
    /// # Errors
    /// [`GenerateError::Value`] for a value that makes no sense, or too many of them.
    pub fn sheets(&self, base: &GenerateRequest) -> Result<Vec<Sheet>, GenerateError> {
        let choices = |axis: &Option<Axis>| axis.as_ref().map_or(1, |axis| axis.values.len());
        let [columns, rows, depth] = [&self.x, &self.y, &self.z].map(choices);
        check_number(columns.saturating_mul(rows).saturating_mul(depth))?;
        let mut sheets = Vec::with_capacity(depth);
        for z in 0..depth {
            let mut variants = Vec::with_capacity(rows * columns);
            for y in 0..rows {
                for x in 0..columns {
                    variants.push(self.variant(base, [x, y, z])?);
                }
            }
            sheets.push(Sheet { variants, columns });
        }
        Ok(sheets)
    }

    fn variant(&self, base: &GenerateRequest, place: [usize; 3]) -> Result<Variant, GenerateError> {
        let mut variant = Variant { request: base.clone(), label: String::new() };
        for (axis, index) in [&self.x, &self.y, &self.z].into_iter().zip(place) {
            let Some(Axis { row, values }) = axis else { continue };
            let (Some(value), Some(first)) = (values.get(index), values.first()) else { continue };
            if (row.set)(&mut variant.request, value, first).is_none() {
                return Err(GenerateError::Value {
                    field: row.id,
                    found: quoted(value),
                    expected: format!("{} in a grid", row.expected),
                });
            }
            let separator = if variant.label.is_empty() { "" } else { ", " };
            variant.label.push_str(&format!("{separator}{} {value}", row.id));
        }
        variant.request.check()?;
        Ok(variant)
    }
}

/// The sheet of a prompt `face|glasses|smile`: its first part with every combination of the others, which follow after commas.
///
/// Bars in square brackets are A1111's alternation and divide nothing.
///
/// # Errors
/// [`GenerateError::Value`] when there are no parts, or too many.
pub fn matrix(base: &GenerateRequest) -> Result<Sheet, GenerateError> {
    let parts = parts(&base.prompt);
    let (first, others) = match parts.split_first() {
        Some((first, others)) if !others.is_empty() => (first, others),
        _ => {
            return Err(GenerateError::Value {
                field: "matrix",
                found: "a prompt without parts".to_owned(),
                expected: "parts divided by bars: a face|glasses|smiling".to_owned(),
            });
        }
    };
    let n = 1_usize.checked_shl(u32::try_from(others.len()).unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
    check_number(n)?;
    let variants = (0..n).map(|chosen| {
        let taken =
            others.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1).map(|row| row.1.as_str());
        let taken: Vec<&str> = taken.collect();
        let prompt = [&[first.as_str()], taken.as_slice()].concat().join(", ");
        let request = GenerateRequest { prompt, ..base.clone() };
        request.check()?;
        let label = if taken.is_empty() { first.clone() } else { taken.join(", ") };
        Ok(Variant { request, label })
    });
    // The first half of the parts goes along rows, as in A1111's script.
    let columns = 1 << others.len().div_ceil(2);
    Ok(Sheet { variants: variants.collect::<Result<_, GenerateError>>()?, columns })
}

fn check_number(n: usize) -> Result<(), GenerateError> {
    if n <= MAX_VARIANTS {
        return Ok(());
    }
    Err(GenerateError::Value {
        field: "grid",
        found: format!("{n} images"),
        expected: format!("at most {MAX_VARIANTS}"),
    })
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Values between commas, without the spaces around them; commas between quotation marks are part of one.
fn split(text: &str) -> Vec<String> {
    let mut is_quoted = false;
    let is_comma = |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    let values = text.split(is_comma).map(|value| {
        let value = value.trim();
        value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).to_owned()
    });
    values.collect()
}

/// Parts between bars outside square brackets, without the spaces around them.
fn parts(prompt: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let is_bar = |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '|' && depth == 0
    };
    let parts = prompt.split(is_bar).map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests;
