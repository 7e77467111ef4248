//! Finding the name that was meant.

/// The candidate closest to `name` when it is close enough to be a slip: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.chars().count().div_ceil(3);
    let scored = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    let best = scored.min_by_key(|&(distance, _)| distance);
    best.filter(|&(distance, _)| distance <= limit).map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and replacements of characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (&to, &above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein() {
        for (a, b, expected) in [("", "", 0), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_slips_have_a_nearest_name() {
        assert_eq!(nearest("tempalte", ["name", "template"]), Some("template"));
        assert_eq!(nearest("hair", ["age", "sex"]), None);
    }
}
