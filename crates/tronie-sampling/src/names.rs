//! Looking rows up by name.

use crate::UnknownName;

/// A row that can be asked for by several names.
pub(crate) trait Named {
    fn id(&self) -> &'static str;
    fn names(&self) -> impl Iterator<Item = &'static str>;
}

/// Lower case, letters and digits only, with `++` spelt `pp`: "DPM++ 2M" and "dpmpp_2m" become the same.
pub(crate) fn normalize(name: &str) -> String {
    let spelt = name.replace("++", "pp");
    spelt.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The row of that name.
pub(crate) fn find<T: Named>(
    kind: &'static str,
    rows: &'static [T],
    name: &str,
) -> Result<&'static T, UnknownName> {
    let wanted = normalize(name);
    let found = rows.iter().find(|row| row.names().any(|known| normalize(known) == wanted));
    found.ok_or_else(|| {
        let distance = |row: &&T| row.names().map(|known| edits(&normalize(known), &wanted)).min();
        let nearest = rows.iter().min_by_key(|row| distance(row).unwrap_or(usize::MAX));
        UnknownName {
            kind,
            name: name.to_owned(),
            nearest: nearest.map_or("", Named::id),
            known: rows.iter().map(Named::id).collect(),
        }
    })
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
