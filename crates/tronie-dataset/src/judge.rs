//! Whether a candidate passes the rules, and all the reasons why not.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::Item;
use crate::annotations::{Look, Looked};
use crate::curation::Curation;
use crate::measures::Measured;

/// Why a candidate is not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The rule, as reports count it: a measure, `verify age`, `duplicate`, `by hand`.
    pub rule: String,
    /// What was found and what was expected.
    pub says: String,
}

impl Reason {
    fn new(rule: impl Into<String>, says: impl Into<String>) -> Self {
        Self { rule: rule.into(), says: says.into() }
    }

    pub(crate) fn by_hand(because: &str) -> Self {
        let says = if because.is_empty() { "dropped by hand" } else { because };
        Self::new("by hand", says)
    }

    /// Another attempt was chosen for its place.
    pub(crate) fn superseded() -> Self {
        Self::new("superseded", "another attempt is kept by hand")
    }
}

/// The rules, and the pictures that are kept so far.
pub(crate) struct Judge<'a> {
    curation: &'a Curation,
    kept: Vec<KeptPicture<'a>>,
    /// Position in `kept` by hash of the pixels.
    by_pixels: HashMap<&'a str, usize>,
}

struct KeptPicture<'a> {
    name: String,
    hash: u64,
    embedding: Option<&'a [f32]>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(curation: &'a Curation) -> Self {
        Self { curation, kept: Vec::new(), by_pixels: HashMap::new() }
    }

    /// Every filter that a candidate fails and every attribute that it does not show; duplicates are another question.
    pub(crate) fn reasons(&self, item: &Item, looked: &Looked) -> Vec<Reason> {
        let look = match looked {
            Looked::Seen(look) => look,
            Looked::Broken(error) => return vec![Reason::new("unreadable", error)],
        };
        let filters = self.curation.filters.iter().filter_map(|filter| {
            let found = look.measures.get(filter.measure.id);
            let passes = found.is_some_and(|value| filter.accept.accepts(value));
            let says =
                || format!("{} {}, expected {}", filter.measure.id, words(found), filter.accept.words());
            (!passes).then(|| Reason::new(filter.measure.id, says()))
        });
        let verifications = self.curation.verifications.iter().filter_map(|verification| {
            let id = item.attributes.get(&verification.attribute)?;
            let known = verification.known(id)?;
            let found = look.measures.get(verification.measure.id);
            let passes = found.is_some_and(|value| verification.accepts(id, value));
            let says = || {
                let (attribute, measure) = (&verification.attribute, verification.measure.id);
                format!(
                    "{attribute} \"{id}\" asked for, {measure} {}, expected {}",
                    words(found),
                    known.words()
                )
            };
            (!passes).then(|| Reason::new(format!("verify {}", verification.attribute), says()))
        });
        filters.chain(verifications).collect()
    }

    /// The kept pictures that a candidate repeats, the first one by each way of comparing.
    pub(crate) fn duplicate_of_kept(&self, looked: &Looked) -> Vec<Reason> {
        let (Some(rule), Looked::Seen(look)) = (&self.curation.duplicates, looked) else { return Vec::new() };
        let twin = self.by_pixels.get(look.fingerprint.pixels_sha256.as_str());
        if let Some(twin) = twin.and_then(|&index| self.kept.get(index)) {
            return vec![Reason::new("duplicate", format!("the pixels of {}", twin.name))];
        }
        let by_hash = rule.hash_bits.and_then(|limit| self.nearest_hash(look, limit));
        let by_cosine = rule.cosine.and_then(|limit| self.nearest_face(look, limit));
        by_hash.into_iter().chain(by_cosine).collect()
    }

    fn nearest_hash(&self, look: &Look, limit: u32) -> Option<Reason> {
        let differ = |kept: &KeptPicture<'_>| (kept.hash ^ look.fingerprint.hash).count_ones();
        let twin = self.kept.iter().find(|kept| differ(kept) <= limit)?;
        let says = format!("{} of 64 bits from {}, expected more than {limit}", differ(twin), twin.name);
        Some(Reason::new("duplicate", says))
    }

    fn nearest_face(&self, look: &Look, limit: f32) -> Option<Reason> {
        let embedding = look.embedding.as_deref()?;
        let cosines = self.kept.iter().filter_map(|kept| Some((dot(kept.embedding?, embedding), &kept.name)));
        let (cosine, name) = cosines.into_iter().find(|(cosine, _)| *cosine > limit)?;
        Some(Reason::new("duplicate", format!("cosine {cosine:.4} to {name}, expected at most {limit}")))
    }

    /// Candidates are compared with this one from now on.
    pub(crate) fn remember(&mut self, name: &str, looked: &'a Looked) {
        if let (Some(_), Looked::Seen(look)) = (&self.curation.duplicates, looked) {
            self.by_pixels.entry(&look.fingerprint.pixels_sha256).or_insert(self.kept.len());
            let (hash, embedding) = (look.fingerprint.hash, look.embedding.as_deref());
            self.kept.push(KeptPicture { name: name.to_owned(), hash, embedding });
        }
    }
}

/// The cosine of two vectors of length 1, in sixteen sums that the compiler keeps side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn words(found: Option<&Measured>) -> String {
    match found {
        None => "not measured".to_owned(),
        Some(Measured::Number(number)) => format!("{number}"),
        Some(Measured::Name(name)) => name.clone(),
    }
}

#[cfg(test)]
mod tests;
