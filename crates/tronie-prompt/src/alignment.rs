//! Which places of one prompt's context take the attention of which places of another's.
//!
//! Hertz et al. 2022 (arXiv:2208.01626) edit a picture by giving the words of a new prompt the attention maps that the words
//! of the old one had. What corresponds to what is decided here, on tokens alone, in three ways: word by word
//! ([`align_words`], the paper's replacement), along the common tokens ([`align_common`], its refinement), and by Python's
//! difflib ([`align_blocks`], as the program `CrossAttentionControl` does).

mod blocks;

use tronie_base::{Fault, Faulty};

use crate::{Chunked, Tokenizer};
pub use blocks::align_blocks;

/// One place of a context: a token, or a vector of an embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    id: u32,
    /// Name and row of an embedding's vector; the id means nothing then.
    vector: Option<(String, usize)>,
}

/// The places of a prompt's context, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    places: Vec<Place>,
    /// Where each word begins and ends; start, end and fill are words of one place.
    words: Vec<std::ops::Range<usize>>,
    /// Places in use: behind them is only fill.
    n_used: usize,
}

impl Places {
    /// The places of a prompt that was laid out.
    #[must_use]
    pub fn of(chunked: &Chunked, tokenizer: &Tokenizer) -> Self {
        let (mut places, mut words) = (Vec::new(), Vec::new());
        let mut n_used = 0;
        for chunk in &chunked.chunks {
            let ends = chunk.tokens.iter().skip(1).position(|&id| id == tokenizer.eos());
            let end = ends.map_or(chunk.tokens.len(), |end| end + 1);
            for (position, &id) in chunk.tokens.iter().enumerate() {
                if !chunk.kept.contains(&position) {
                    continue;
                }
                let slot = chunk.vectors.iter().find(|slot| slot.position == position);
                let vector = slot.map(|slot| (slot.name.clone(), slot.row));
                let continues_word =
                    places.last().is_some_and(|before: &Place| match (&before.vector, &vector) {
                        (None, None) => !tokenizer.ends_word(before.id),
                        (Some(before), Some(vector)) => before.0 == vector.0 && before.1 + 1 == vector.1,
                        _ => false,
                    });
                match words.last_mut() {
                    Some(word) if continues_word => extend(word),
                    _ => words.push(places.len()..places.len() + 1),
                }
                places.push(Place { id, vector });
                if position <= end {
                    n_used = places.len();
                }
            }
        }
        Self { places, words, n_used }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which no laid-out prompt has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Every word in use, without start and end, and its places.
    #[must_use]
    pub fn words(&self, tokenizer: &Tokenizer) -> Vec<(String, Vec<usize>)> {
        let frame = [tokenizer.bos(), tokenizer.eos()];
        let used = self.words.iter().take_while(|word| word.start < self.n_used);
        let words = used.filter_map(|word| {
            let places = self.places.get(word.clone())?;
            let text = match places {
                [Place { vector: Some((name, _)), .. }, ..] => name.clone(),
                [only] if frame.contains(&only.id) => return None,
                _ => tokenizer.decode(&places.iter().map(|place| place.id).collect::<Vec<_>>()),
            };
            Some((text, word.clone().collect()))
        });
        words.collect()
    }

    /// Every place of a word, or of several in a row, wherever they stand; none when the prompt does not have them.
    #[must_use]
    pub fn find(&self, text: &str, tokenizer: &Tokenizer) -> Vec<usize> {
        let wanted = tokenizer.encode(text);
        let is_here = |window: &[Place]| {
            window.iter().zip(&wanted).all(|(place, id)| place.vector.is_none() && place.id == *id)
        };
        let windows = self.places.windows(wanted.len().max(1)).enumerate();
        let starts = windows.filter(|(_, window)| !wanted.is_empty() && is_here(window)).map(|row| row.0);
        let mut found: Vec<usize> = starts.flat_map(|start| start..start + wanted.len()).collect();
        found.dedup();
        found
    }
}

fn extend(word: &mut std::ops::Range<usize>) {
    word.end += 1;
}

/// For every place of a new context, the places of the old one whose attention it takes, and how much of its own it keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// (place in the old context, share) for each place of the new one.
    pub sources: Vec<Vec<(usize, f32)>>,
    /// Share of its own attention that each place of the new context keeps.
    pub kept: Vec<f32>,
}

impl Alignment {
    /// Whether every place takes all from the one of the same number.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        let mut rows = self.sources.iter().zip(&self.kept).enumerate();
        rows.all(|(place, (sources, kept))| *kept == 0.0 && *sources == [(place, 1.0)])
    }

    /// Nothing is taken from anywhere.
    fn own(n: usize) -> Self {
        Self { sources: vec![Vec::new(); n], kept: vec![1.0; n] }
    }

    /// Place `to` takes all from place `from`.
    fn take(&mut self, from: usize, to: usize) {
        if let (Some(sources), Some(kept)) = (self.sources.get_mut(to), self.kept.get_mut(to)) {
            *sources = vec![(from, 1.0)];
            *kept = 0.0;
        }
    }
}

/// Two prompts of different numbers of words, which cannot be aligned word by word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prompts have {found} and {expected} words, which word by word must be equal")]
pub struct WordCountDiffers {
    /// Words of the old prompt.
    pub found: usize,
    /// Words of the new one.
    pub expected: usize,
}

impl Faulty for WordCountDiffers {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("align along the common words instead".into())
    }
}

/// Word by word: each word takes the attention of the word in its place. Where two words have different numbers of tokens,
/// each new token takes the same share of all old ones, the inverse of the number of new tokens, as the authors'
/// `seq_aligner.py` does.
///
/// # Errors
/// [`WordCountDiffers`].
pub fn align_words(old: &Places, new: &Places) -> Result<Alignment, WordCountDiffers> {
    let used = |places: &Places| places.words.iter().take_while(|word| word.start < places.n_used).count();
    let (found, expected) = (used(old), used(new));
    if found != expected {
        return Err(WordCountDiffers { found, expected });
    }
    let mut alignment = Alignment::own(new.len());
    for index in 0..expected {
        let (Some(from), Some(to)) = (old.words.get(index), new.words.get(index)) else { continue };
        if from.len() == to.len() {
            from.clone().zip(to.clone()).for_each(|(from, to)| alignment.take(from, to));
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "tokens of one word")]
        let share = 1.0 / to.len() as f32;
        for place in to.clone() {
            alignment.take(0, place);
            if let Some(sources) = alignment.sources.get_mut(place) {
                *sources = from.clone().map(|source| (source, share)).collect();
            }
        }
    }
    align_fill(&mut alignment, old, new);
    Ok(alignment)
}

/// Along the tokens both have in the same order: those take the attention they had, all others keep their own.
///
/// Needleman and Wunsch 1970 with a score of 1 for equal tokens, -1 for others and 0 for gaps; of equally good ways the one
/// that leaves out a new token first, then an old one.
#[must_use]
pub fn align_common(old: &Places, new: &Places) -> Alignment {
    let (x, y) = (old.used(), new.used());
    let width = y.len() + 1;
    let mut scores = vec![0_i32; (x.len() + 1) * width];
    let score = |scores: &[i32], i: usize, j: usize| scores.get(i * width + j).copied().unwrap_or_default();
    let matched = |i: usize, j: usize| if x.get(i) == y.get(j) { 1 } else { -1 };
    for i in 1..=x.len() {
        for j in 1..=y.len() {
            let gaps = score(&scores, i, j - 1).max(score(&scores, i - 1, j));
            let best = gaps.max(score(&scores, i - 1, j - 1) + matched(i - 1, j - 1));
            if let Some(cell) = scores.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let mut alignment = Alignment::own(new.len());
    let (mut i, mut j) = (x.len(), y.len());
    while i > 0 && j > 0 {
        let best = score(&scores, i, j);
        if best == score(&scores, i, j - 1) {
            j -= 1;
        } else if best == score(&scores, i - 1, j) {
            i -= 1;
        } else {
            (i, j) = (i - 1, j - 1);
            alignment.take(i, j);
        }
    }
    align_fill(&mut alignment, old, new);
    alignment
}

/// Fill takes the attention of the fill of the same number.
fn align_fill(alignment: &mut Alignment, old: &Places, new: &Places) {
    for place in new.n_used..new.len() {
        alignment.take(place.min(old.len().saturating_sub(1)), place);
    }
}

/// Word by word where the prompts have equally many, else along the common tokens.
#[must_use]
pub fn align(old: &Places, new: &Places) -> Alignment {
    align_words(old, new).unwrap_or_else(|_| align_common(old, new))
}

impl Places {
    fn used(&self) -> &[Place] {
        self.places.get(..self.n_used).unwrap_or(&self.places)
    }

    fn all(&self) -> &[Place] {
        &self.places
    }
}

#[cfg(test)]
mod tests;
