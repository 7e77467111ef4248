//! What an edit comes to for a model's tokens and a number of steps.

use tronie_prompt::{
    Alignment, ChunkRules, Pass, Places, Timeline, Tokenizer, align, align_blocks, align_common, align_words,
    chunk, extract_networks, split_and,
};
use tronie_tensor::{Device, Tensor, TensorData};

use super::{AlignBy, Edit, EditError, EditMethod};
use crate::{EmbeddingSet, GenerateError};

/// What reading prompts takes.
pub(crate) struct Reader<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) embeddings: &'a EmbeddingSet,
    pub(crate) rules: ChunkRules,
    pub(crate) device: &'a Device,
    /// Pixels of the latents.
    pub(crate) n_latents: usize,
}

/// An edit, ready to act.
#[derive(Debug, Clone)]
pub(crate) struct EditPlan {
    pub(crate) edit: Edit,
    /// Places of the old and the new prompt.
    places: [Places; 2],
    /// s s': what each new place takes of each old one.
    pub(super) matrix: Tensor<2>,
    /// 1 1 1 s': what each new place keeps of its own.
    pub(super) kept: Tensor<4>,
    /// 1 1 1 s': the equalizer.
    pub(super) weights: Tensor<4>,
    /// Places of the new prompt with intervals of their own.
    intervals: Vec<(Vec<usize>, [f64; 2])>,
    /// Places, in either prompt, of the words a change is confined to.
    pub(super) blended: [Vec<usize>; 2],
    /// Pixels are given the old picture's attention to pixels in maps of at most so many.
    pub(super) max_own: usize,
    /// Where words are looked at is summed in maps of at most so many pixels.
    pub(super) max_summed: usize,
    /// Nothing is asked for: the same prompt and no equalizer.
    is_identity: bool,
}

impl EditPlan {
    /// What `edit` of a picture of `prompt` comes to.
    ///
    /// # Errors
    /// [`EditError`].
    pub(crate) fn of(edit: &Edit, prompt: &str, reader: &Reader<'_>) -> Result<Self, GenerateError> {
        let (_, tags) = extract_networks(&edit.to);
        if let Some(tag) = tags.into_iter().next() {
            let name = tag.positional.into_iter().next().unwrap_or_default();
            return Err(EditError::Network { kind: tag.kind, name }.into());
        }
        if edit.blend.is_some() && edit.method == EditMethod::Shared {
            return Err(EditError::NoOldPicture.into());
        }
        let places = [reader.places(prompt)?, reader.places(&edit.to)?];
        let [old, new] = &places;
        let alignment = match edit.align {
            AlignBy::Auto => align(old, new),
            AlignBy::Words => align_words(old, new).map_err(EditError::from)?,
            AlignBy::Common => align_common(old, new),
            AlignBy::Blocks => align_blocks(old, new),
        };
        let in_new = |word: &String| -> Result<Vec<usize>, EditError> {
            let found = new.find(word, reader.tokenizer);
            if found.is_empty() {
                let (text, word) = (edit.to.clone(), word.clone());
                return Err(EditError::NoWord { prompt: "new prompt", text, word });
            }
            Ok(found)
        };
        let mut weights = vec![1.0_f32; new.len()];
        for (word, weight) in &edit.weights {
            for place in in_new(word)? {
                #[expect(clippy::cast_possible_truncation, reason = "attention is computed in f32")]
                if let Some(slot) = weights.get_mut(place) {
                    *slot = *weight as f32;
                }
            }
        }
        let intervals = edit.cross_of_words.iter().map(|(word, interval)| Ok((in_new(word)?, *interval)));
        let intervals = intervals.collect::<Result<_, EditError>>()?;
        let blended = blended(edit, prompt, &places, reader.tokenizer)?;
        let is_identity = old == new && alignment.is_identity() && edit.weights.is_empty();
        let row = |values: Vec<f32>| {
            let n = values.len();
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, n]), reader.device)
        };
        let matrix = dense(&alignment, old.len(), reader.device);
        let (kept, weights) = (row(alignment.kept), row(weights));
        let quarter = reader.n_latents / 16; // of height and of width
        let max_own =
            edit.self_side.map(|side| side as usize).map_or(quarter.max(16 * 16), |side| side * side);
        let max_summed = quarter.max(32 * 32);
        let edit = edit.clone();
        Ok(Self { edit, matrix, kept, weights, intervals, blended, max_own, max_summed, is_identity, places })
    }

    /// How much of the old attention each place of the new prompt takes at a step, 0 or 1; `None` where all are 0.
    pub(super) fn cross_at(&self, step: usize, n_steps: usize) -> Option<Vec<f32>> {
        if self.is_identity {
            return None;
        }
        // counted over n + 1 steps, as in the authors' `get_time_words_attention_alpha`
        let acts = |interval| if lies_in(interval, step, n_steps + 1) { 1.0 } else { 0.0 };
        let [_, new] = &self.places;
        let mut shares = vec![acts(self.edit.cross); new.len()];
        for (places, interval) in &self.intervals {
            for place in places {
                if let Some(share) = shares.get_mut(*place) {
                    *share = acts(*interval);
                }
            }
        }
        shares.iter().any(|share| *share > 0.0).then_some(shares)
    }

    /// Whether pixels look at pixels as in the old picture at a step.
    pub(super) fn own_at(&self, step: usize, n_steps: usize) -> bool {
        !self.is_identity && lies_in(self.edit.own, step, n_steps)
    }

    /// Whether a change is confined from this step on.
    pub(crate) fn blends_at(&self, step: usize, n_steps: usize) -> bool {
        let is_late = |start: f64| step >= share_of(start, n_steps);
        self.edit.blend.as_ref().is_some_and(|blend| is_late(blend.start))
    }

    /// Whether it is wanted where words are looked at.
    pub(super) fn wants_maps(&self) -> bool {
        self.edit.maps || self.edit.blend.is_some()
    }

    /// The words of the old (0) or new (1) prompt, with their places.
    pub(crate) fn words(&self, prompt: usize, tokenizer: &Tokenizer) -> Vec<(String, Vec<usize>)> {
        self.places.get(prompt).map_or_else(Vec::new, |places| places.words(tokenizer))
    }
}

impl Reader<'_> {
    /// The places of a prompt that is only one.
    fn places(&self, text: &str) -> Result<Places, GenerateError> {
        let (plain, _) = extract_networks(text);
        let is_one =
            Timeline::parse(&plain, Pass::first(2)).entries().count() == 1 && split_and(&plain).len() == 1;
        if !is_one {
            return Err(EditError::Several { text: plain }.into());
        }
        Ok(Places::of(&chunk(&plain, self.tokenizer, self.embeddings, self.rules)?, self.tokenizer))
    }
}

/// Places of the words a change is confined to, in the old and the new prompt; each word must be in one of them.
fn blended(
    edit: &Edit,
    prompt: &str,
    [old, new]: &[Places; 2],
    tokenizer: &Tokenizer,
) -> Result<[Vec<usize>; 2], EditError> {
    let mut blended = [Vec::new(), Vec::new()];
    for word in edit.blend.iter().flat_map(|blend| &blend.words) {
        let found = [old.find(word, tokenizer), new.find(word, tokenizer)];
        if found.iter().all(Vec::is_empty) {
            let text = format!("{prompt}\" and \"{}", edit.to);
            return Err(EditError::NoWord { prompt: "prompts", text, word: word.clone() });
        }
        blended.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
    }
    Ok(blended)
}

/// # Shapes
/// Returns `n_old` n_new.
fn dense(alignment: &Alignment, n_old: usize, device: &Device) -> Tensor<2> {
    let n_new = alignment.sources.len();
    let mut values = vec![0.0; n_old * n_new];
    for (new, sources) in alignment.sources.iter().enumerate() {
        for (old, share) in sources {
            if let Some(slot) = values.get_mut(old * n_new + new) {
                *slot += share;
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [n_old, n_new]), device)
}

/// Whether a step lies between two shares of `n_steps`, each rounded down.
fn lies_in([start, end]: [f64; 2], step: usize, n_steps: usize) -> bool {
    (share_of(start, n_steps)..share_of(end, n_steps)).contains(&step)
}

/// A share of a number of steps, rounded down.
fn share_of(share: f64, n_steps: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "shares are 0 to 1, steps at most 1001"
    )]
    let count = (share * n_steps as f64) as usize;
    count
}
