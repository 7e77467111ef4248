//! Prompts: from what a user types to what a text encoder reads.
//!
//! A prompt goes through these in order, and each is a function of the text alone:
//!
//! 1. [`check_length`], then [`safety::check`] on what was typed;
//! 2. [`extract_networks`]: `<lora:film:0.8>` leaves the text;
//! 3. [`split_and`]: `a cat :1.2 AND a dog` is two prompts;
//! 4. [`Timeline::parse`]: `[cat:dog:0.5]` becomes a text for each stretch of steps;
//! 5. [`chunk`]: weights are read ([`Emphasis`]), words become ids ([`Tokenizer`]), names become vectors
//!    ([`Embeddings`]), and all of it is laid out in rows of 77 ([`Layout`]).
//!
//! Two prompts that were laid out are compared by [`align`]: which words of one correspond to which of the other.
//!
//! The grammar is that of AUTOMATIC1111/stable-diffusion-webui, with ComfyUI's weights, kohya's long captions and
//! diffusers' truncation as options. Bad notation is text, never an error; no input can exhaust the stack, and time
//! grows in proportion to the text.

mod alignment;
mod attention;
mod chunks;
mod comfy;
mod composition;
mod embeddings;
mod emphasis;
mod length;
mod networks;
pub mod safety;
mod timeline;
mod tokenizer;

pub use alignment::{
    Alignment, Place, Places, WordCountDiffers, align, align_blocks, align_common, align_words,
};
pub use attention::{Span, parse_attention};
pub use chunks::{
    CHUNK_LEN, COMMA_BACK_OFF, Chunk, ChunkError, ChunkRules, Chunked, Layout, ROW_LEN, VectorSlot, chunk,
};
pub use composition::split_and;
pub use embeddings::{EmbeddingIndex, EmbeddingMatch, Embeddings, NoEmbeddings};
pub use emphasis::Emphasis;
pub use length::{MAX_PROMPT_BYTES, PromptTooLong, check_length};
pub use networks::{LoraRef, NetworkError, NetworkRef, extract_networks};
pub use timeline::{Pass, Timeline, TimelineRules};
pub use tokenizer::{CLIP_BOS, CLIP_EOS, Tokenizer, VocabularyError};
