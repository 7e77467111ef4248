//! A checkpoint's own vocabulary files.

use std::collections::HashMap;

use serde::Deserialize;
use tronie_base::{Fault, Faulty};

use super::bpe::{Bpe, Merge, byte_alphabet};
use super::{Tokenizer, words};

/// Ids from here on are refused: no text encoder has as many embedding rows, and memory would be set aside for them.
const MAX_IDS: u32 = 1 << 20;

/// What the last symbol of a word has at its end.
const END_OF_WORD: &str = "</w>";

/// A vocabulary file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file is not JSON of the expected shape.
    #[error("{file} cannot be read: {source}")]
    Json {
        /// Name of the file.
        file: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A tokenizer of another kind.
    #[error("the tokenizer's {field} is {found:?}, CLIP's is {expected:?}")]
    NotClip {
        /// Field of the file.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it must say.
        expected: &'static str,
    },
    /// A token that the vocabulary needs and lacks.
    #[error("the vocabulary has no token {token:?}")]
    MissingToken {
        /// The token.
        token: String,
    },
    /// A line of the merges that is not two tokens.
    #[error("merge {index} is {found:?}, expected two tokens and one space")]
    BadMerge {
        /// Which merge, counted from 0.
        index: usize,
        /// What is there.
        found: String,
    },
    /// A token id beyond all use.
    #[error("token {token:?} has id {found}, at most {max} is accepted")]
    IdTooLarge {
        /// The token.
        token: String,
        /// Its id.
        found: u32,
        /// Largest accepted id.
        max: u32,
    },
}

impl Faulty for VocabularyError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("fetch the tokenizer files again, or remove them to use the built-in CLIP vocabulary".into())
    }
}

#[derive(Deserialize)]
struct TokenizerFile {
    model: ModelSection,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct ModelSection {
    #[serde(rename = "type", default = "bpe_kind")]
    kind: String,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    unk_token: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<MergeRow>,
}

fn bpe_kind() -> String {
    "BPE".to_owned()
}

/// Older files write a merge as one string, newer ones as a pair.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeRow {
    Line(String),
    Pair(String, String),
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

pub(super) fn from_tokenizer_json(json: &str) -> Result<Tokenizer, VocabularyError> {
    let file = "tokenizer.json";
    let parsed: TokenizerFile =
        serde_json::from_str(json).map_err(|source| VocabularyError::Json { file, source })?;
    let model = parsed.model;
    if model.kind != "BPE" {
        return Err(VocabularyError::NotClip { field: "model type", found: model.kind, expected: "BPE" });
    }
    let suffix = model.end_of_word_suffix.unwrap_or_default();
    if suffix != END_OF_WORD {
        return Err(VocabularyError::NotClip {
            field: "end_of_word_suffix",
            found: suffix,
            expected: END_OF_WORD,
        });
    }
    let literals = parsed.added_tokens.into_iter().map(|token| (token.content, token.id));
    let unknown = model.unk_token.unwrap_or_else(|| words::END.to_owned());
    let merges = model.merges.iter().enumerate().map(|(index, row)| match row {
        MergeRow::Pair(left, right) => Ok((left.as_str(), right.as_str())),
        MergeRow::Line(line) => split_merge(index, line),
    });
    let merges: Vec<(&str, &str)> = merges.collect::<Result<_, _>>()?;
    build(&model.vocab, &merges, literals.collect(), &unknown)
}

pub(super) fn from_vocab_and_merges(
    vocab_json: &str,
    merges_txt: &str,
) -> Result<Tokenizer, VocabularyError> {
    let file = "vocab.json";
    let vocab: HashMap<String, u32> =
        serde_json::from_str(vocab_json).map_err(|source| VocabularyError::Json { file, source })?;
    let lines = merges_txt.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.enumerate().filter(|(index, line)| *index > 0 || !line.starts_with("#version"));
    let merges = lines.map(|(index, line)| split_merge(index, line));
    let merges: Vec<(&str, &str)> = merges.collect::<Result<_, _>>()?;
    build(&vocab, &merges, Vec::new(), words::END)
}

/// The texts from which [`from_vocab_and_merges`] builds the same tokenizer.
pub(super) fn to_vocab_and_merges(tokenizer: &Tokenizer) -> (String, String) {
    let symbol_of: HashMap<u8, char> = byte_alphabet().collect();
    let token = |id: u32| {
        let (bytes, ends_word) = tokenizer.bpe.symbol(id)?;
        let mut text: String = bytes.iter().filter_map(|byte| symbol_of.get(byte)).collect();
        text.push_str(if ends_word { END_OF_WORD } else { "" });
        Some(text)
    };
    let mut vocab = serde_json::Map::new();
    for id in 0..tokenizer.n_ids() {
        let text = tokenizer.literals.text_of(id).map(str::to_owned).or_else(|| token(id));
        if let Some(text) = text {
            vocab.insert(text, id.into());
        }
    }
    let mut merges = "#version: 0.2\n".to_owned();
    for (left, right) in tokenizer.bpe.ranked_merges() {
        if let Some((left, right)) = token(left).zip(token(right)) {
            merges.push_str(&format!("{left} {right}\n"));
        }
    }
    (serde_json::Value::Object(vocab).to_string(), merges)
}

fn split_merge(index: usize, line: &str) -> Result<(&str, &str), VocabularyError> {
    line.trim_end()
        .split_once(' ')
        .filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
        .ok_or_else(|| VocabularyError::BadMerge { index, found: line.to_owned() })
}

fn build(
    vocab: &HashMap<String, u32>,
    merges: &[(&str, &str)],
    mut literals: Vec<(String, u32)>,
    unknown: &str,
) -> Result<Tokenizer, VocabularyError> {
    let ids = vocab.iter().map(|(token, &id)| (token, id));
    let mut ids = ids.chain(literals.iter().map(|(token, id)| (token, *id)));
    if let Some((token, found)) = ids.find(|(_, id)| *id >= MAX_IDS) {
        return Err(VocabularyError::IdTooLarge { token: token.clone(), found, max: MAX_IDS - 1 });
    }
    let id_of = |token: &str| {
        let id = literals.iter().find(|row| row.0 == token).map(|row| row.1);
        id.or_else(|| vocab.get(token).copied())
            .ok_or_else(|| VocabularyError::MissingToken { token: token.to_owned() })
    };
    let (bos, eos, unknown) = (id_of(words::START)?, id_of(words::END)?, id_of(unknown)?);
    for (text, id) in [(words::START, bos), (words::END, eos)] {
        if literals.iter().all(|row| row.0 != text) {
            literals.push((text.to_owned(), id));
        }
    }

    let byte_of: HashMap<char, u8> = byte_alphabet().map(|(byte, symbol)| (symbol, byte)).collect();
    let mut bpe = Bpe::empty(unknown);
    for (token, &id) in vocab {
        let (symbols, ends_word) = match token.strip_suffix(END_OF_WORD) {
            Some(symbols) => (symbols, true),
            None => (token.as_str(), false),
        };
        // Tokens that are no sequence of byte symbols (the start and end tokens) are never the result of a merge.
        let Some(bytes) =
            symbols.chars().map(|symbol| byte_of.get(&symbol).copied()).collect::<Option<Vec<u8>>>()
        else {
            continue;
        };
        match bytes.as_slice() {
            [byte] => bpe.set_byte(*byte, id, ends_word),
            bytes => bpe.add_symbol(id, bytes, ends_word),
        }
    }
    add_merges(&mut bpe, vocab, merges)?;
    Ok(Tokenizer::assemble(bpe, literals, (bos, eos)))
}

fn add_merges(
    bpe: &mut Bpe,
    vocab: &HashMap<String, u32>,
    merges: &[(&str, &str)],
) -> Result<(), VocabularyError> {
    let id_of = |token: String| match vocab.get(&token) {
        Some(&id) => Ok(id),
        None => Err(VocabularyError::MissingToken { token }),
    };
    for (rank, (left, right)) in (0_u32..).zip(merges) {
        let pair = (id_of((*left).to_owned())?, id_of((*right).to_owned())?);
        let id = id_of(format!("{left}{right}"))?;
        bpe.add_merge(pair, Merge { rank, id });
    }
    Ok(())
}
