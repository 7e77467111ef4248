//! Which pictures a step sees, and every random choice about them, as pure functions of the seed and the step.
//!
//! Nothing is carried from step to step, so a run that continues makes the choices it would have made.

use tronie_base::derive_seed;
use tronie_tensor::noise::{Mt19937, Philox4x32};

/// Random choices of one step, each from a generator of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    seed: u64,
    index: u64,
}

impl Draw {
    /// `index` counts pictures over the whole run: (step * accumulation + part) * batch + place.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        Self { seed, index }
    }

    fn seed_of(self, purpose: &str) -> u64 {
        derive_seed(&format!("train/{}/{purpose}", self.seed), self.index)
    }

    /// `n` standard normal numbers.
    pub(crate) fn normal(self, purpose: &str, n: usize) -> Vec<f32> {
        Philox4x32::new(self.seed_of(purpose)).randn(n)
    }

    /// A number in 0..n, evenly.
    pub(crate) fn below(self, purpose: &str, n: u64) -> u64 {
        below(&mut Mt19937::new(self.seed_of(purpose)), n)
    }

    /// Whether something happens that happens in this share of cases.
    pub(crate) fn happens(self, purpose: &str, share: f64) -> bool {
        self.between(purpose, 0.0, 1.0) < share
    }

    /// A number in low..high, evenly.
    pub(crate) fn between(self, purpose: &str, low: f64, high: f64) -> f64 {
        // 53 bits: every f64 in [0, 1) on an even grid.
        let unit = (Mt19937::new(self.seed_of(purpose)).next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        low + (high - low) * unit
    }

    /// The choices of one of several parts.
    pub(crate) fn of(self, part: u64) -> Self {
        Self { seed: derive_seed(&format!("train/{}/part {part}", self.seed), self.index), index: self.index }
    }

    /// The words `0..n` in another order, the first `keep` in their places.
    pub(crate) fn shuffled(self, purpose: &str, n: usize, keep: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        if let Some(rest) = order.get_mut(keep..) {
            shuffle(rest, &mut Mt19937::new(self.seed_of(purpose)));
        }
        order
    }
}

/// The order in which the entries of a set come, epoch after epoch, in batches of one group each (a size).
#[derive(Debug, Clone)]
pub(crate) struct Order {
    seed: u64,
    /// Entries by group; an entry that repeats is there several times.
    groups: Vec<Vec<usize>>,
    batch: usize,
}

impl Order {
    pub(crate) fn new(seed: u64, groups: Vec<Vec<usize>>, batch: usize) -> Self {
        Self { seed, groups, batch: batch.max(1) }
    }

    /// Batches of an epoch. A group's last batch is filled up from its beginning.
    pub(crate) fn n_batches(&self) -> u64 {
        self.groups.iter().map(|group| group.len().div_ceil(self.batch) as u64).sum()
    }

    /// Entries of the batch with this number, counted over all epochs.
    pub(crate) fn batch(&self, index: u64) -> Vec<usize> {
        let n_batches = self.n_batches().max(1);
        let (epoch, place) = (index / n_batches, index % n_batches);
        let mut random = Mt19937::new(derive_seed(&format!("train/{}/order", self.seed), epoch));
        let mut batches = Vec::new();
        for group in &self.groups {
            let mut group = group.clone();
            shuffle(&mut group, &mut random);
            let filled = group.iter().cycle().take(group.len().next_multiple_of(self.batch));
            let filled: Vec<usize> = filled.copied().collect();
            batches.extend(filled.chunks(self.batch).map(<[usize]>::to_vec));
        }
        shuffle(&mut batches, &mut random);
        usize::try_from(place).ok().and_then(|place| batches.into_iter().nth(place)).unwrap_or_default()
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], random: &mut Mt19937) {
    for i in (1..items.len()).rev() {
        let j = usize::try_from(below(random, i as u64 + 1)).unwrap_or_default();
        items.swap(i, j);
    }
}

/// A number in 0..n, evenly: draws that would favour small numbers are thrown away.
fn below(random: &mut Mt19937, n: u64) -> u64 {
    let limit = u64::MAX - u64::MAX % n.max(1);
    loop {
        let value = random.next_u64();
        if value < limit {
            return value % n.max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_entry_and_the_next_in_another_order() {
        let order = Order::new(7, vec![vec![0, 0, 1, 2, 3, 4, 5], vec![6, 7, 8]], 2);
        assert_eq!(order.n_batches(), 6);
        let epoch = |epoch: u64| (0..6).map(|i| order.batch(6 * epoch + i)).collect::<Vec<_>>();
        let (first, second) = (epoch(0), epoch(1));
        for entry in 0..9 {
            assert!(first.iter().flatten().any(|&seen| seen == entry), "{entry} is not seen");
        }
        assert_ne!(first, second);
        assert!(
            first.iter().all(|batch| batch.len() == 2 && (batch[0] < 6) == (batch[1] < 6)),
            "one size per batch"
        );
        assert_eq!(order.batch(9), Order::new(7, order.groups.clone(), 2).batch(9));
    }

    #[test]
    fn draws_depend_on_seed_index_and_purpose_alone() {
        let draw = Draw::new(1, 5);
        assert_eq!(draw.normal("noise", 8), Draw::new(1, 5).normal("noise", 8));
        assert_ne!(draw.normal("noise", 8), draw.normal("latents", 8));
        assert_ne!(draw.normal("noise", 8), Draw::new(1, 6).normal("noise", 8));
        let hits = (0..1000).filter(|&i| Draw::new(2, i).happens("flip", 0.3)).count();
        assert!((250..350).contains(&hits), "{hits} of 1000 at a share of 0.3");
        assert_eq!(draw.shuffled("words", 5, 2)[..2], [0, 1]);
    }
}
