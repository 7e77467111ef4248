//! One renaming: a pattern on either side, and what happens to the numbers.

use super::view::{Operation, Recipe};

/// What happens to the numbers on the way from a single file to diffusers; the way back undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transform {
    /// Nothing.
    Rename,
    /// A 1x1 convolution `[c_out, c_in, 1, 1]` becomes a linear layer `[c_out, c_in]`.
    Reshape,
    /// One of several equal bands of rows.
    SplitRows {
        /// Which, from 0.
        part: usize,
        /// Of how many.
        of: usize,
    },
    /// Rows and columns are exchanged.
    Transpose,
}

/// A renaming. In a pattern `#` stands for a number and a final `*` for any rest; they mean the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Pattern of the single file's names, without prefix.
    pub original: String,
    /// Pattern of diffusers' names.
    pub diffusers: String,
    /// What happens to the numbers.
    pub transform: Transform,
}

/// A row of a rule table: original pattern, diffusers pattern, transform.
pub(super) type Row = (&'static str, &'static str, Transform);

/// A table of rows as rules.
pub(super) fn table(rows: &[Row]) -> Vec<Rule> {
    rows.iter().map(|row| prefixed(row, "", "")).collect()
}

/// A row below a prefix on either side.
pub(super) fn prefixed(row: &Row, original: &str, diffusers: &str) -> Rule {
    Rule {
        original: format!("{original}{}", row.0),
        diffusers: format!("{diffusers}{}", row.1),
        transform: row.2,
    }
}

impl Rule {
    /// The diffusers name of an original one, and how its tensor is made from the tensor `source`.
    pub(super) fn forward(&self, original: &str, source: &str) -> Option<(String, Recipe)> {
        let name = rewrite(&self.original, &self.diffusers, original)?;
        let operation = match self.transform {
            Transform::Rename => Operation::Copy,
            Transform::Reshape => Operation::Squeeze,
            Transform::SplitRows { part, of } => Operation::Rows { part, of },
            Transform::Transpose => Operation::Transpose,
        };
        let sources = vec![source.to_owned()];
        Some((name, Recipe { sources, operation }))
    }

    /// The original name of a diffusers one, and the transform to undo.
    pub(super) fn backward(&self, diffusers: &str) -> Option<(String, Transform)> {
        Some((rewrite(&self.diffusers, &self.original, diffusers)?, self.transform))
    }
}

/// Whether a name fits any of these patterns.
pub(crate) fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| captures(pattern, name).is_some())
}

/// `name` with the shape of `from` given the shape of `to`; `None` when it does not have the shape of `from`.
fn rewrite(from: &str, to: &str, name: &str) -> Option<String> {
    let mut found = captures(from, name)?.into_iter();
    let mut renamed = String::with_capacity(name.len() + 16);
    for letter in to.chars() {
        match letter {
            '#' | '*' => renamed.push_str(found.next()?),
            literal => renamed.push(literal),
        }
    }
    Some(renamed)
}

/// What `#` and `*` stand for in `name`.
fn captures<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let (mut pattern, mut name) = (pattern, name);
    while let Some(at) = pattern.find(['#', '*']) {
        let (literal, wild) = pattern.split_at(at);
        name = name.strip_prefix(literal)?;
        let Some(rest) = wild.strip_prefix('#') else {
            found.push(name);
            return (wild == "*" && !name.is_empty()).then_some(found);
        };
        let n_digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = name.split_at(n_digits);
        if number.is_empty() {
            return None;
        }
        found.push(number);
        (pattern, name) = (rest, after);
    }
    (pattern == name).then_some(found)
}
