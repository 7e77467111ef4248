//! Prompt grammar, CLIP tokens, chunks and prompt schedules.

mod attention;
mod composition;
mod networks;
mod timeline;
mod tokenizer;

pub use attention::{Span, parse_attention};
pub use composition::split_and;
pub use networks::{LoraRef, NetworkError, NetworkRef, extract_networks};
pub use timeline::{Pass, Timeline, TimelineRules};
pub use tokenizer::{CLIP_BOS, CLIP_EOS, Tokenizer, VocabularyError};
