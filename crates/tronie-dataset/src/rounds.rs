//! Which candidates are kept, and which are needed next: a function of the records alone.
//!
//! Round r looks at attempt r of every place that is still open, in the order of the places. A candidate that passes all
//! rules fills its place; a place whose candidate fails is open in the next round, until its attempts are used up or its
//! cell is given up. A cell is given up after a round when the rate of success of its candidates is surely too low: when
//! the upper end of Wilson's 95 % interval is below `attempts.stop_below`.
//!
//! A candidate that nobody has made yet is waited for, and nothing that could depend on it is decided: no duplicate that
//! would come after it, no next round of a cell that could be given up. What is asked for in the meantime is therefore
//! what a build without interruptions asks for too. So shards make only what the whole needs, and their union is the whole.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::Spec;
use crate::annotations::Looked;
use crate::candidate::Candidate;
use crate::curation::Curation;
use crate::judge::{Judge, Reason};
use crate::review::Hands;
use crate::statistics::wilson;

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// It fills its place.
    Kept,
    /// It does not, for all these reasons.
    Dropped(Vec<Reason>),
    /// Its place is filled or given up without it: other rules once asked for it.
    Spare,
}

/// How a cell fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CellTally {
    /// Candidates that were decided.
    pub(crate) n_made: u64,
    /// Those that are kept.
    pub(crate) n_kept: u64,
}

/// Everything that follows from the records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decisions {
    pub(crate) fates: BTreeMap<Candidate, Fate>,
    pub(crate) cells: Vec<CellTally>,
    /// Candidates to make next, in the order of rounds and places.
    pub(crate) needed: Vec<Candidate>,
    /// Candidates that are waited for, those of other shards included.
    pub(crate) n_waiting: u64,
}

impl Decisions {
    /// The candidates that fill their places, by place.
    pub(crate) fn kept(&self) -> impl Iterator<Item = Candidate> {
        self.fates.iter().filter(|(_, fate)| **fate == Fate::Kept).map(|(&candidate, _)| candidate)
    }
}

/// What decisions depend on.
pub(crate) struct Known<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) curation: &'a Curation,
    pub(crate) hands: &'a Hands,
    pub(crate) looked: BTreeMap<Candidate, &'a Looked>,
    /// The places that this build makes candidates for.
    pub(crate) range: Range<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Open,
    Filled,
    /// A candidate, or a decision about one, is waited for.
    Waiting,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// The first round in which something is waited for.
    waits_since: Option<u32>,
    is_hopeless: bool,
}

/// Decides everything that can be decided.
pub(crate) fn decide(known: &Known<'_>) -> Decisions {
    let n_slots = usize::try_from(known.spec.n_images()).unwrap_or(usize::MAX);
    let mut rounds = Rounds {
        known,
        judge: Judge::new(known.curation),
        slots: vec![Slot::Open; n_slots],
        cells: vec![Cell::default(); known.spec.cells().len()],
        chosen: known.hands.chosen(),
        is_certain: true,
        decisions: Decisions {
            fates: BTreeMap::new(),
            cells: vec![CellTally::default(); known.spec.cells().len()],
            needed: Vec::new(),
            n_waiting: 0,
        },
    };
    let mut attempt = 0;
    while rounds.round(attempt) {
        attempt += 1;
    }
    rounds.finish()
}

struct Rounds<'a> {
    known: &'a Known<'a>,
    judge: Judge<'a>,
    slots: Vec<Slot>,
    cells: Vec<Cell>,
    /// The attempt that somebody has chosen for a place.
    chosen: &'a HashMap<u64, u32>,
    /// Whether nothing was waited for until now, so that the pictures that are kept are known.
    is_certain: bool,
    decisions: Decisions,
}

impl<'a> Rounds<'a> {
    /// One round; `false` when no place takes part in it.
    fn round(&mut self, attempt: u32) -> bool {
        let mut has_any = false;
        for index in 0..self.slots.len() {
            let slot = index as u64;
            let Some(cell) = self.known.spec.cell_number_of(slot) else { continue };
            if self.takes_part(slot, (index, cell), attempt) {
                has_any = true;
                let state = self.try_slot(Candidate { slot, attempt }, cell);
                if let Some(place) = self.slots.get_mut(index) {
                    *place = state;
                }
            }
        }
        let stop_below = self.known.curation.stop_below;
        for (cell, tally) in self.cells.iter_mut().zip(&self.decisions.cells) {
            let is_low = stop_below.is_some_and(|bound| wilson(tally.n_kept, tally.n_made).high < bound);
            cell.is_hopeless |= is_low && cell.waits_since.is_none();
        }
        has_any
    }

    fn takes_part(&self, slot: u64, (index, cell): (usize, usize), attempt: u32) -> bool {
        if self.slots.get(index) != Some(&Slot::Open) {
            return false;
        }
        let Cell { waits_since, is_hopeless } = self.cells.get(cell).copied().unwrap_or_default();
        // Attempts up to the one that somebody has chosen are made whatever the rules say.
        if let Some(&chosen) = self.chosen.get(&slot) {
            return attempt <= chosen;
        }
        let is_waiting = waits_since.is_some_and(|since| since < attempt);
        let could_stop = is_waiting && self.known.curation.stop_below.is_some();
        attempt < self.known.curation.n_attempts && !is_hopeless && !could_stop
    }

    fn try_slot(&mut self, candidate: Candidate, cell: usize) -> Slot {
        let Some(looked) = self.known.looked.get(&candidate).copied() else {
            if self.known.range.contains(&candidate.slot) {
                self.decisions.needed.push(candidate);
            }
            return self.wait(cell, candidate.attempt);
        };
        let Some(reasons) = self.reasons(candidate, looked) else {
            return self.wait(cell, candidate.attempt);
        };
        let is_kept = reasons.is_empty();
        if let Some(tally) = self.decisions.cells.get_mut(cell) {
            tally.n_made += 1;
            tally.n_kept += u64::from(is_kept);
        }
        let fate = if is_kept { Fate::Kept } else { Fate::Dropped(reasons) };
        self.decisions.fates.insert(candidate, fate);
        if is_kept { Slot::Filled } else { Slot::Open }
    }

    /// Why a candidate is not kept, empty when it is; `None` while that depends on what is waited for.
    fn reasons(&mut self, candidate: Candidate, looked: &'a Looked) -> Option<Vec<Reason>> {
        let spec = self.known.spec;
        let name = candidate.name(spec);
        let chosen = self.chosen.get(&candidate.slot).copied();
        if chosen == Some(candidate.attempt) {
            self.judge.remember(&name, looked);
            return Some(Vec::new());
        }
        if let Some(because) = self.known.hands.dropped(candidate) {
            return Some(vec![Reason::by_hand(because)]);
        }
        let reasons = self.judge.reasons(&spec.candidate(candidate)?, looked);
        if !reasons.is_empty() {
            return Some(reasons);
        }
        if chosen.is_some() {
            return Some(vec![Reason::superseded()]);
        }
        if self.known.curation.duplicates.is_some() && !self.is_certain {
            return None;
        }
        let reasons = self.judge.duplicate_of_kept(looked);
        if reasons.is_empty() {
            self.judge.remember(&name, looked);
        }
        Some(reasons)
    }

    fn wait(&mut self, cell: usize, round: u32) -> Slot {
        self.is_certain = false;
        self.decisions.n_waiting += 1;
        if let Some(cell) = self.cells.get_mut(cell) {
            cell.waits_since.get_or_insert(round);
        }
        Slot::Waiting
    }

    fn finish(mut self) -> Decisions {
        for candidate in self.known.looked.keys() {
            self.decisions.fates.entry(*candidate).or_insert(Fate::Spare);
        }
        self.decisions
    }
}

#[cfg(test)]
mod tests;
