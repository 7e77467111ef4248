//! Requests that are refused before anything is computed.
//!
//! There is one rule: no sexual content and no nudity together with minors. Portraits of children pass, and so does
//! nudity of adults; only the combination is refused. In doubt within a combination the answer is no.
//!
//! The check reads what the user typed, not what becomes of it: every alternative of prompt editing counts, weights and
//! brackets are looked through, and so are spellings meant to hide a word. It is a list of words in a dozen languages,
//! and no more than that: a guard on the front door, not a judge of images.

mod ages;
mod fold;
mod lexicon;

use std::sync::LazyLock;

use regex::Regex;
use tronie_base::{Fault, Faulty};

use crate::timeline::{Pass, Timeline};
use lexicon::Topics;

/// Steps at which the alternatives of prompt editing are written out, to see words that only an edit puts together.
const N_EDIT_STEPS: u32 = 20;

/// A rule of what is never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No sexual content and no nudity together with minors.
    SexualContentWithMinors,
}

/// The request breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request combines sexual content or nudity with minors, which tronie never makes")]
pub struct Refused {
    /// Which one.
    pub rule: Rule,
}

impl Faulty for Refused {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// Checks one positive prompt. Negative prompts name what is unwanted and are not for this check.
///
/// # Errors
/// [`Refused`], without saying which words led to it.
pub fn check(prompt: &str) -> Result<(), Refused> {
    check_all([prompt])
}

/// Checks all positive texts of one request together (prompt, hires prompt, regional prompts, captions): what is split
/// between them is still one request.
///
/// # Errors
/// [`Refused`], without saying which words led to it.
pub fn check_all<'a>(prompts: impl IntoIterator<Item = &'a str>) -> Result<(), Refused> {
    let mut topics = Topics::default();
    for view in prompts.into_iter().flat_map(views) {
        let text = fold::fold(&view);
        topics.minors |= ages::mentions_minor(&text);
        for spelling in fold::spellings(&text) {
            topics.add_words_of(&spelling);
        }
        topics.add_unspaced(&text);
    }
    if topics.minors && topics.sexual {
        return Err(Refused { rule: Rule::SexualContentWithMinors });
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static WEIGHT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r":\s*[-+]?[.\d]+\s*([)\]>])").expect("the weight pattern is valid"));

/// The ways a prompt can be read: notation as a gap between words, notation as nothing, and each state of its edits.
fn views(prompt: &str) -> Vec<String> {
    let without_weights = WEIGHT.replace_all(prompt, "$1");
    let mut views = vec![
        without_weights.replace(['(', ')', '[', ']', '{', '}', '<', '>', '|', ':', '\\'], " "),
        closed_up(&without_weights),
    ];
    if prompt.contains('[') {
        let timeline = Timeline::parse(prompt, Pass::first(N_EDIT_STEPS));
        let texts = timeline.texts().iter();
        views.extend(texts.map(|text| closed_up(&WEIGHT.replace_all(text, "$1"))));
    }
    views
}

fn closed_up(text: &str) -> String {
    let text = text.replace(['|', ':', '<', '>'], " ");
    text.replace(['(', ')', '[', ']', '{', '}', '\\'], "")
}

#[cfg(test)]
mod tests;
