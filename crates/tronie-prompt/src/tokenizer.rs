//! CLIP's tokenizer: text -> ids of at most 49,408 sub-word tokens.
//!
//! The same ids as transformers' `CLIPTokenizer` (class of that name, `models/clip/tokenization_clip.py`), which every
//! Stable Diffusion program uses: NFC, lower case, split into words, byte-level BPE with `</w>` on the last symbol of a
//! word. CLIP: Radford et al. 2021 (arXiv:2103.00020); BPE: Sennrich et al. 2016 (arXiv:1508.07909).
//!
//! The vocabulary is embedded as the pair of ids behind each merged token (`clip_merges.bin`, 196 kB, see NOTICE): text
//! of the tokens follows from it, so nothing is parsed and a tokenizer is ready within milliseconds.

mod bpe;
mod files;
mod words;

pub use files::VocabularyError;

use bpe::Bpe;
use words::Literals;

/// Id of CLIP's `<|startoftext|>` in every released checkpoint.
pub const CLIP_BOS: u32 = 49406;
/// Id of CLIP's `<|endoftext|>` in every released checkpoint; CLIP-L also pads with it.
pub const CLIP_EOS: u32 = 49407;

const CLIP_MERGES: &[u8] = include_bytes!("tokenizer/clip_merges.bin");

/// A CLIP vocabulary, ready to encode. Immutable; building one takes a few milliseconds, so keep it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    bpe: Bpe,
    literals: Literals,
    bos: u32,
    eos: u32,
    comma: Option<u32>,
}

impl Tokenizer {
    /// The vocabulary that all Stable Diffusion checkpoints share, embedded in the program.
    #[must_use]
    pub fn clip() -> Self {
        let literals = vec![(words::START.to_owned(), CLIP_BOS), (words::END.to_owned(), CLIP_EOS)];
        Self::assemble(Bpe::from_merge_ids(CLIP_MERGES, CLIP_EOS), literals, (CLIP_BOS, CLIP_EOS))
    }

    /// Reads a checkpoint's own `tokenizer.json` (the format of Hugging Face's `tokenizers`), added tokens included.
    ///
    /// # Errors
    /// [`VocabularyError`] when the file is not a CLIP-type vocabulary.
    pub fn from_tokenizer_json(json: &str) -> Result<Self, VocabularyError> {
        files::from_tokenizer_json(json)
    }

    /// Reads a checkpoint's own `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// [`VocabularyError`] when the two are not a CLIP-type vocabulary.
    pub fn from_vocab_and_merges(vocab_json: &str, merges_txt: &str) -> Result<Self, VocabularyError> {
        files::from_vocab_and_merges(vocab_json, merges_txt)
    }

    /// The texts of the `vocab.json` and the `merges.txt` from which [`Tokenizer::from_vocab_and_merges`] and
    /// transformers build this tokenizer.
    #[must_use]
    pub fn to_vocab_and_merges(&self) -> (String, String) {
        files::to_vocab_and_merges(self)
    }

    fn assemble(bpe: Bpe, literals: Vec<(String, u32)>, (bos, eos): (u32, u32)) -> Self {
        let comma = bpe.encode_word(",");
        let comma = match comma.as_slice() {
            [id] if *id != eos => Some(*id),
            _ => None,
        };
        Self { bpe, literals: Literals::new(literals), bos, eos, comma }
    }

    /// Ids of `text`, without start and end.
    ///
    /// `<|startoftext|>`, `<|endoftext|>` and tokens that a checkpoint added are found literally in the text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.literals.split(text, |part| match part {
            words::Part::Literal(id) => ids.push(id),
            words::Part::Text(text) => {
                words::for_each_word(text, |word| self.bpe.encode_into(word, &mut ids))
            }
        });
        ids
    }

    /// Number of ids of `text`, without start and end.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.encode(text).len()
    }

    /// What one id stands for, for display: no space at the end of a word, broken UTF-8 as U+FFFD. `None` when the
    /// vocabulary has no such id.
    #[must_use]
    pub fn decode_one(&self, id: u32) -> Option<String> {
        if let Some(literal) = self.literals.text_of(id) {
            return Some(literal.to_owned());
        }
        let (bytes, _) = self.bpe.symbol(id)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether a word ends with this id.
    #[must_use]
    pub fn ends_word(&self, id: u32) -> bool {
        self.literals.text_of(id).is_some() || self.bpe.symbol(id).is_none_or(|(_, ends_word)| ends_word)
    }

    /// Text of several ids, with one space between words and none at the ends. Ids outside the vocabulary are left out.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            if let Some(literal) = self.literals.text_of(id) {
                bytes.extend_from_slice(literal.as_bytes());
                bytes.push(b' ');
            } else if let Some((symbol, ends_word)) = self.bpe.symbol(id) {
                bytes.extend_from_slice(symbol);
                if ends_word {
                    bytes.push(b' ');
                }
            }
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Id of the start of a text.
    #[must_use]
    pub fn bos(&self) -> u32 {
        self.bos
    }

    /// Id of the end of a text.
    #[must_use]
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Id of a comma that stands alone, where long prompts are preferably broken.
    #[must_use]
    pub fn comma(&self) -> Option<u32> {
        self.comma
    }

    /// Largest id plus one: rows of the token embedding that this vocabulary can address.
    #[must_use]
    pub fn n_ids(&self) -> u32 {
        self.bpe.n_ids().max(self.literals.n_ids()).max(self.bos + 1).max(self.eos + 1)
    }
}

#[cfg(test)]
mod tests;
