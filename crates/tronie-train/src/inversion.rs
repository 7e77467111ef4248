//! Textual inversion: vectors for a new word, while all networks stay as they are (Gal et al. 2022, arXiv:2208.01618).
//!
//! The vectors are leaves named `<text encoder>.vectors`, n d; they enter a text as an embedding in a prompt does.

mod templates;

use serde::{Deserialize, Serialize};
use tronie_generate::{EmbeddingSet, Networks};
use tronie_prompt::{EmbeddingIndex, Embeddings as _, Tokenizer};
use tronie_tensor::{Device, Int, Tensor, TensorData};
use tronie_weights::{Embedding, Part};

use crate::data::{self, Draw, ImageSet, Role, Scan};
use crate::parameters::{Leaves, Parameters, Values};
use crate::{Recipe, TrainError};

/// Last part of the leaves' names.
const VECTORS: &str = "vectors";
/// Characters that some system does not allow in a file's name.
const NOT_IN_FILE_NAMES: [char; 9] = ['/', '\\', ':', '*', '?', '"', '<', '>', '|'];

/// A new word and how it is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inversion {
    /// The word. The result is a file of this name, because A1111 and `ComfyUI` call an embedding by its file.
    pub token: String,
    /// How many vectors it stands for, 1 to 75; 1.
    #[serde(default = "one")]
    pub n_vectors: usize,
    /// The vectors start as those of this text's tokens, again from the first where there are fewer tokens than vectors
    /// (as kohya's `train_textual_inversion.py` repeats them); never more. "*" when left out, as in A1111.
    #[serde(default = "star")]
    pub init: String,
    /// What the word stands for, which decides the sentences it is learned in. A picture whose own caption has the word
    /// keeps that; when this is left out, all must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Concept>,
}

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concept {
    /// A person or a thing.
    Object,
    /// A manner of making pictures.
    Style,
}

impl Concept {
    /// Sentences about a picture with `{}` for the word.
    fn templates(self) -> &'static [&'static str] {
        match self {
            Self::Object => &templates::OBJECT,
            Self::Style => &templates::STYLE,
        }
    }
}

fn one() -> usize {
    1
}

fn star() -> String {
    "*".to_owned()
}

/// A word in training.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    inversion: Inversion,
    /// Tokens of the text whose vectors it starts with, one for each vector.
    init: Vec<u32>,
    index: EmbeddingIndex,
}

impl Word {
    /// The recipe's word, for a model with this vocabulary.
    pub(crate) fn new(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let Some(inversion) = recipe.inversion.clone() else {
            return Err(TrainError::Nothing {
                reason: "the recipe has no table [inversion] with the new word",
            });
        };
        let setting = |name, found: String, expected: String| TrainError::Setting { name, found, expected };
        if recipe.text.train {
            let expected = "false: of a new word only the vectors are trained";
            return Err(setting("text.train", "true".to_owned(), expected.to_owned()));
        }
        let Inversion { token, n_vectors, init, .. } = &inversion;
        let bad_token =
            |expected: &str| setting("inversion.token", format!("\"{token}\""), expected.to_owned());
        let is_in_no_word = |c: char| c.is_whitespace() || c.is_control() || NOT_IN_FILE_NAMES.contains(&c);
        let n_tokens = tokenizer.count(token);
        if n_tokens == 0 || token.contains(is_in_no_word) {
            return Err(bad_token("one word that can be a file's name, such as \"zoe-face\""));
        }
        if n_tokens == 1 {
            return Err(bad_token("a word that means nothing to the model yet, such as \"zoe-face\""));
        }
        let ids = tokenizer.encode(init);
        if ids.is_empty() || ids.len() > *n_vectors {
            let expected = format!("1 to {n_vectors} tokens, of which it has {}", ids.len());
            return Err(setting("inversion.init", format!("\"{init}\""), expected));
        }
        let init = ids.into_iter().cycle().take(*n_vectors).collect();
        let index = EmbeddingIndex::new(tokenizer, [(token.as_str(), *n_vectors)]);
        Ok(Self { inversion, init, index })
    }

    /// The vectors before the first step.
    pub(crate) fn parameters(&self, networks: &Networks, device: &Device) -> Parameters {
        let ids: Vec<i64> = self.init.iter().map(|&id| i64::from(id)).collect();
        let mut parameters = Parameters::default();
        for (clip, encoder) in networks.clips.iter().zip(&networks.spec.text.encoders) {
            let tokens = TensorData::new(ids.clone(), [1, ids.len()]);
            let vectors = clip.token_vectors(Tensor::<2, Int>::from_data(tokens, device)); // 1 n d
            let values = vectors.into_data().try_to_vec::<f32>().unwrap_or_default();
            let row = Values { shape: vec![ids.len(), encoder.config.d], values };
            parameters.0.insert(format!("{}.{VECTORS}", encoder.folder), row);
        }
        parameters
    }

    /// The word with the leaves as its vectors.
    pub(crate) fn embeddings(&self, leaves: &Leaves, networks: &Networks) -> EmbeddingSet {
        let encoders = networks.spec.text.encoders.iter();
        let leaf = |folder: &str| Some(leaves.get(&format!("{folder}.{VECTORS}"))?.matrix());
        let vectors = encoders.filter_map(|encoder| leaf(encoder.folder)).collect();
        EmbeddingSet::of_vectors(&self.inversion.token, vectors, &networks.tokenizer)
    }

    /// What was learned, as a file has it.
    pub(crate) fn embedding(&self, result: &Parameters, step: u64) -> Embedding {
        let part = |name: &str| {
            let folder = name.strip_suffix(VECTORS)?.strip_suffix('.')?;
            Part::ALL.into_iter().find(|part| part.folder() == folder)
        };
        let vectors = result.0.iter().filter_map(|(name, row)| Some((part(name)?, row.to_raw()))).collect();
        Embedding { name: self.inversion.token.clone(), vectors, step: i64::try_from(step).ok() }
    }

    /// Reads the sets of pictures; captions without the word are emptied.
    pub(crate) fn scan(&self, sets: &[ImageSet], tokenizer: &Tokenizer) -> Result<Scan, TrainError> {
        if let Some(set) = sets.iter().find(|set| set.role == Role::Class) {
            let hint = "leave it out: a new word changes nothing about pictures without it";
            return Err(TrainError::data(&set.folder, "has the role \"class\"".to_owned(), hint));
        }
        let may_be_empty = |set: &ImageSet| {
            let template = self.inversion.kind.map(|_| String::new());
            ImageSet { caption: set.caption.clone().or(template), ..set.clone() }
        };
        let mut scan = data::scan(&sets.iter().map(may_be_empty).collect::<Vec<_>>())?;
        for example in &mut scan.examples {
            if self.is_in(&example.caption, tokenizer) {
                continue;
            }
            if self.inversion.kind.is_none() {
                let problem =
                    format!("has a caption without \"{}\": {}", self.inversion.token, example.caption);
                let hint = "write the word into it, or set inversion.kind to \"object\" or \"style\"";
                return Err(TrainError::data(&example.path, problem, hint));
            }
            example.caption.clear();
        }
        Ok(scan)
    }

    fn is_in(&self, caption: &str, tokenizer: &Tokenizer) -> bool {
        let ids = tokenizer.encode(caption);
        (0..ids.len()).any(|start| ids.get(start..).and_then(|ids| self.index.find(ids)).is_some())
    }

    /// The caption of a picture at one step: its own, or a sentence by lot where it has none.
    pub(crate) fn caption(&self, own: &str, draw: Draw) -> String {
        let templates = self.inversion.kind.filter(|_| own.is_empty()).map(Concept::templates);
        let template = templates.and_then(|templates| {
            let i = draw.below("template", templates.len() as u64);
            templates.get(usize::try_from(i).ok()?)
        });
        template.map_or_else(|| own.to_owned(), |template| template.replace("{}", &self.inversion.token))
    }
}

#[cfg(test)]
mod tests;
