//! Prompts that change while an image is made: `a [cat:dog:0.5]`, `[fe|]male`.
//!
//! Notation of AUTOMATIC1111/stable-diffusion-webui (`modules/prompt_parser.py`; its doctests are ours):
//!
//! - `[from:to:when]` is `from` until `when`, then `to`; `[to:when]` appears, `[from::when]` disappears;
//! - `when` with a point is a fraction of all steps, without one it is a step;
//! - `[a|b|c]` takes turns, one text each step;
//! - round and square brackets that are emphasis stay in the text, for [`crate::parse_attention`];
//! - everything nests; what is none of this is text.

mod brackets;

use std::collections::{BTreeSet, HashMap};

use brackets::{Edit, Outline};

/// Which program's rules turn `when` into a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineRules {
    /// A1111 from 1.6.0 on: a point makes a fraction, and the hires pass goes on where the first pass ended.
    #[default]
    Current,
    /// A1111 before 1.6.0: below 1 is a fraction, and both passes run through the same timeline.
    Before16,
}

/// The pass a timeline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Steps of the first pass.
    pub n_steps: u32,
    /// Steps of the hires pass, when the timeline is for that one: there a step below `n_steps` and a fraction below
    /// 1.0 are past, and 1.5 is half-way through the hires pass.
    pub n_hires_steps: Option<u32>,
    /// How `when` is read.
    pub rules: TimelineRules,
}

impl Pass {
    /// The first pass of `n_steps`, current rules.
    #[must_use]
    pub fn first(n_steps: u32) -> Self {
        Self { n_steps, n_hires_steps: None, rules: TimelineRules::Current }
    }

    /// Steps of this pass, and what is subtracted from a `when` in steps and in fractions.
    fn offsets(self) -> (u32, f64, f64) {
        match (self.n_hires_steps, self.rules) {
            (Some(n_hires_steps), TimelineRules::Current) => (n_hires_steps, f64::from(self.n_steps), 1.0),
            (None, _) | (_, TimelineRules::Before16) => (self.n_steps, 0.0, 0.0),
        }
    }

    /// The step a `when` means; 0 or less when it is past from the start.
    fn step_of(self, when: &str) -> i64 {
        let (n_steps, offset_steps, offset_fraction) = self.offsets();
        // The notation is a signed number; one too long for the type is as good as infinite.
        let value: f64 = when.parse().unwrap_or(f64::INFINITY);
        let is_fraction = match self.rules {
            TimelineRules::Current => when.contains('.'),
            TimelineRules::Before16 => value < 1.0,
        };
        let step = match is_fraction {
            true => (value - offset_fraction) * f64::from(n_steps),
            false => value - offset_steps,
        };
        let step = step.clamp(-1.0, f64::from(n_steps));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped to -1..=u32::MAX; toward zero is the rule"
        )]
        let step = step as i64;
        step
    }
}

/// The texts a prompt takes on during one pass, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    texts: Vec<String>,
    /// (last step, index into `texts`), by rising step.
    entries: Vec<(u32, usize)>,
}

impl Timeline {
    /// Reads a prompt. Never fails: bad notation is text.
    ///
    /// One difference to A1111: a `|` outside of an alternation is text. There it makes the whole prompt text, although
    /// a doctest of its own (`a [{b|d{:.5] c`) says otherwise.
    #[must_use]
    pub fn parse(prompt: &str, pass: Pass) -> Self {
        let n_steps = pass.offsets().0;
        let outline = Outline::parse(prompt);
        let mut steps = BTreeSet::from([n_steps]);
        let mut changes = HashMap::new();
        for (index, edit) in outline.edits() {
            match edit {
                Edit::Alternate => steps.extend(1..=n_steps),
                Edit::Schedule { when } => {
                    let step = pass.step_of(when);
                    changes.insert(index, step);
                    steps.extend(u32::try_from(step).ok().filter(|step| *step >= 1));
                }
            }
        }
        let mut timeline = Self { texts: Vec::new(), entries: Vec::new() };
        let mut index_of = HashMap::new();
        for step in steps {
            let text = outline.render(step, |index| changes.get(&index).copied().unwrap_or_default());
            let index = *index_of.entry(text).or_insert_with_key(|text: &String| {
                timeline.texts.push(text.clone());
                timeline.texts.len() - 1
            });
            timeline.entries.push((step, index));
        }
        timeline
    }

    /// The distinct texts in order of appearance: what has to be encoded. Never empty.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// (last step, text) by rising step, as A1111 lists them; steps count from 1, the last entry ends with the pass.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &str)> {
        let entries = self.entries.iter();
        entries.filter_map(|&(until, index)| Some((until, self.texts.get(index)?.as_str())))
    }

    /// Index into [`Timeline::texts`] at the given model call of the pass, counted from 0.
    ///
    /// A1111 compares its 0-based count of model calls with the 1-based last step, so the first text gets one call more
    /// than its steps say (`[a:b:3]`: calls 0, 1, 2 and 3 see `a`). Images depend on it, so it is kept.
    #[must_use]
    pub fn text_index_at(&self, model_call: u32) -> usize {
        let at = self.entries.partition_point(|entry| entry.0 < model_call);
        let entry = self.entries.get(at).or_else(|| self.entries.last());
        entry.map_or(0, |entry| entry.1)
    }
}

#[cfg(test)]
mod tests;
