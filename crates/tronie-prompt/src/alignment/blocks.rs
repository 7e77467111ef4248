//! Python's `difflib.SequenceMatcher` on places: Ratcliff and Obershelp's "gestalt pattern matching" (Dr. Dobb's Journal, July
//! 1988). <https://github.com/python/cpython/blob/v3.13.0/Lib/difflib.py>. Its heuristic for sequences of 200 and more
//! (`autojunk`) is left out: one row of a prompt has 77.

use std::ops::Range;

use super::{Alignment, Place, Places};

/// Blocks of equal places take the attention they had; blocks between them that are equally long in both prompts take each
/// other's; all other places keep their own.
#[must_use]
pub fn align_blocks(old: &Places, new: &Places) -> Alignment {
    let (a, b) = (old.all(), new.all());
    let mut alignment = Alignment::own(new.len());
    let (mut a_done, mut b_done) = (0, 0);
    let mut equal = matching_blocks(a, b);
    equal.push((a.len()..a.len(), b.len()..b.len()));
    for (a_block, b_block) in equal {
        let (a_between, b_between) = (a_done..a_block.start, b_done..b_block.start);
        if a_between.len() == b_between.len() {
            a_between.zip(b_between).for_each(|(from, to)| alignment.take(from, to));
        }
        (a_done, b_done) = (a_block.end, b_block.end);
        a_block.zip(b_block).for_each(|(from, to)| alignment.take(from, to));
    }
    alignment
}

/// The longest common block, then those left and right of it, and so on; in order.
fn matching_blocks(a: &[Place], b: &[Place]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut open = vec![(0..a.len(), 0..b.len())];
    let mut found = Vec::new();
    while let Some((a_range, b_range)) = open.pop() {
        let (a_block, b_block) = longest_match((a, a_range.clone()), (b, b_range.clone()));
        if a_block.is_empty() {
            continue;
        }
        open.push((a_range.start..a_block.start, b_range.start..b_block.start));
        open.push((a_block.end..a_range.end, b_block.end..b_range.end));
        found.push((a_block, b_block));
    }
    found.sort_by_key(|(a_block, b_block)| (a_block.start, b_block.start));
    found
}

/// The longest block both ranges have; of equally long ones the first in `a`, and of those the first in `b`.
fn longest_match(
    (a, a_range): (&[Place], Range<usize>),
    (b, b_range): (&[Place], Range<usize>),
) -> (Range<usize>, Range<usize>) {
    let (mut best_a, mut best_b, mut best_len) = (a_range.start, b_range.start, 0);
    // lengths of the blocks that end at each place of b, and at the place of a before
    let mut before = vec![0_usize; b.len() + 1];
    for i in a_range {
        let mut here = vec![0; b.len() + 1];
        for j in b_range.clone() {
            if a.get(i) != b.get(j) {
                continue;
            }
            let length = before.get(j).copied().unwrap_or_default() + 1;
            if let Some(slot) = here.get_mut(j + 1) {
                *slot = length;
            }
            if length > best_len {
                (best_a, best_b, best_len) = (i + 1 - length, j + 1 - length, length);
            }
        }
        before = here;
    }
    (best_a..best_a + best_len, best_b..best_b + best_len)
}
