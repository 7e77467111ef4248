//! From a text to the words that BPE sees.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Text of CLIP's start token.
pub(super) const START: &str = "<|startoftext|>";
/// Text of CLIP's end token.
pub(super) const END: &str = "<|endoftext|>";

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    // CLIP's own pattern. The two names match here only when they were written in another case: as a token of their
    // own they have been taken out before.
    Regex::new(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
        .expect("the word pattern is valid")
});

/// Calls `each` with every word of `text`, normalised and in order.
pub(super) fn for_each_word(text: &str, mut each: impl FnMut(&str)) {
    // Character by character as the reference does, not `str::to_lowercase`, which turns a final sigma into another letter.
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    let text = if is_nfc(text) { lower(text) } else { lower(&text.nfc().collect::<String>()) };
    for word in WORD.find_iter(&text).map(|found| found.as_str()) {
        match word {
            // The byte-level step behind the pattern splits once more, and these are the only words it changes.
            START => ["<|", "startoftext", "|>"].into_iter().for_each(&mut each),
            END => ["<|", "endoftext", "|>"].into_iter().for_each(&mut each),
            word => each(word),
        }
    }
}

/// Tokens that are found in a text as they are written, before anything else happens to it.
#[derive(Debug, Clone)]
pub(super) struct Literals {
    /// Longest text first.
    rows: Vec<(String, u32)>,
    pattern: Option<Regex>,
}

/// A stretch of a text, as [`Literals::split`] sees it.
pub(super) enum Part<'a> {
    /// A token that was written out.
    Literal(u32),
    /// Anything else.
    Text(&'a str),
}

impl Literals {
    /// `rows`: text and id of each token. Empty texts are ignored.
    pub(super) fn new(mut rows: Vec<(String, u32)>) -> Self {
        rows.retain(|(text, _)| !text.is_empty());
        rows.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let alternatives: Vec<String> = rows.iter().map(|(text, _)| regex::escape(text)).collect();
        // Only a pattern beyond the engine's size limit fails to compile; such a list is no list of tokens.
        let pattern = Regex::new(&alternatives.join("|")).ok().filter(|_| !rows.is_empty());
        Self { rows, pattern }
    }

    /// Cuts `text` at its literal tokens, the longest at each place.
    pub(super) fn split<'a>(&self, text: &'a str, mut each: impl FnMut(Part<'a>)) {
        let mut rest = text;
        let mut done = 0;
        for found in self.pattern.iter().flat_map(|pattern| pattern.find_iter(text)) {
            let Some((before, after)) = text.get(done..found.start()).zip(text.get(found.end()..)) else {
                continue;
            };
            each(Part::Text(before));
            if let Some(id) = self.id_of(found.as_str()) {
                each(Part::Literal(id));
            }
            done = found.end();
            rest = after;
        }
        each(Part::Text(rest));
    }

    fn id_of(&self, text: &str) -> Option<u32> {
        self.rows.iter().find(|row| row.0 == text).map(|row| row.1)
    }

    /// Text of a literal token.
    pub(super) fn text_of(&self, id: u32) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.1 == id);
        row.map(|row| row.0.as_str())
    }

    /// Largest id plus one.
    pub(super) fn n_ids(&self) -> u32 {
        self.rows.iter().map(|row| row.1.saturating_add(1)).max().unwrap_or(0)
    }
}
