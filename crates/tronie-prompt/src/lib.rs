//! Prompt grammar, CLIP tokens, chunks and prompt schedules.

mod tokenizer;

pub use tokenizer::{CLIP_BOS, CLIP_EOS, Tokenizer, VocabularyError};
