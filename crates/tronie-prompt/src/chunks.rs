//! A prompt as what a CLIP text encoder reads: rows of 77 ids.
//!
//! Three programs cut long prompts in three ways; see [`Layout`].

mod rows;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tronie_base::{Fault, Faulty};

use crate::{Embeddings, Emphasis, NoEmbeddings, Span, Tokenizer};
use rows::Rows;

/// Ids of one row, start and end included: positions a CLIP text encoder has.
pub const ROW_LEN: usize = 77;
/// Ids of one row without start and end.
pub const CHUNK_LEN: usize = ROW_LEN - 2;
/// A1111 breaks a full chunk behind a comma that is at most this many tokens back (`comma_padding_backtrack`).
pub const COMMA_BACK_OFF: usize = 20;

/// How a prompt longer than one row is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A1111 (`modules/sd_hijack_clip.py`): as many rows as it takes, each with start and end, broken behind a comma
    /// where one is near, and at every `BREAK`; all 77 vectors of each row are used.
    #[default]
    Chunks,
    /// kohya's sd-scripts (`max_token_length` 75, 150, 225): this many rows, whatever the prompt's length; the rest is
    /// cut off. Start and end of the inner rows are dropped from the encoder's output: 1 + 75 n + 1 vectors remain.
    Kohya {
        /// Number of rows, at least 1.
        n_rows: u8,
    },
    /// diffusers: one row, the rest is cut off.
    Truncate,
}

/// What is needed besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRules {
    /// How a long prompt is laid out.
    pub layout: Layout,
    /// How brackets are read.
    pub emphasis: Emphasis,
    /// Fills a row behind the end token: [`crate::CLIP_EOS`] for CLIP-L, 0 for OpenCLIP.
    pub pad_id: u32,
}

/// One vector of an embedding, in the place of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorSlot {
    /// Index within the row, 1..=75.
    pub position: usize,
    /// Name of the embedding.
    pub name: String,
    /// Which of its vectors.
    pub row: usize,
}

/// One row of ids for the text encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Start, 75 tokens, end; short prompts are filled with end or pad tokens. Always [`ROW_LEN`] long.
    pub tokens: Vec<u32>,
    /// Weight of each token; 1 for start, end and fill. As long as `tokens`.
    pub weights: Vec<f32>,
    /// Where vectors replace the token embedding; the id there is 0 and means nothing.
    pub vectors: Vec<VectorSlot>,
    /// Vectors of the encoder's output that are used, the others are dropped.
    pub kept: Range<usize>,
}

/// A prompt, laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunked {
    /// At least one.
    pub chunks: Vec<Chunk>,
    /// Tokens in use, as "12/75" shows them: a chunk that was closed early counts as full.
    pub n_tokens: usize,
    /// What was cut off, empty with [`Layout::Chunks`].
    pub truncated: String,
}

impl Chunked {
    /// Tokens that fit without another chunk: the 75 of "12/75".
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK_LEN
    }

    /// Names of the embeddings in use, each once, in order of appearance.
    #[must_use]
    pub fn embedding_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for slot in self.chunks.iter().flat_map(|chunk| &chunk.vectors) {
            if slot.row == 0 && !names.contains(&slot.name.as_str()) {
                names.push(&slot.name);
            }
        }
        names
    }
}

/// A prompt that cannot be laid out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChunkError {
    /// An embedding that fits no chunk.
    #[error("embedding {name:?} has {found} vectors, a prompt chunk holds {max}")]
    EmbeddingTooLong {
        /// Name of the embedding.
        name: String,
        /// Its number of vectors.
        found: usize,
        /// What fits.
        max: usize,
    },
    /// An embedding that is named as one and is not there.
    #[error("there is no embedding {name:?}")]
    UnknownEmbedding {
        /// What the prompt calls it.
        name: String,
    },
    /// A layout without rows.
    #[error("a prompt needs at least 1 row of tokens, 0 were asked for")]
    NoRows,
}

impl Faulty for ChunkError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::EmbeddingTooLong { .. } => Some("train the embedding again with fewer vectors".into()),
            Self::UnknownEmbedding { .. } => {
                Some("tronie models list shows all there are; --models-dir names more folders".into())
            }
            Self::NoRows => None,
        }
    }
}

/// Tokenizes `text` and lays it out.
///
/// `text` is one text of a [`crate::Timeline`]: networks, `AND` and schedules have been dealt with.
///
/// # Errors
/// [`ChunkError`] when an embedding is longer than a chunk, one that is named as such is not there, or the layout has no
/// rows.
pub fn chunk(
    text: &str,
    tokenizer: &Tokenizer,
    embeddings: &dyn Embeddings,
    rules: ChunkRules,
) -> Result<Chunked, ChunkError> {
    // Where embeddings are named as such, no other word is one.
    let in_text: &dyn Embeddings = if rules.emphasis == Emphasis::Comfy { &NoEmbeddings } else { embeddings };
    let mut pieces = Vec::new();
    for span in rules.emphasis.parse(text) {
        match span {
            Span::Break => pieces.push(Piece::Break),
            Span::Text { text, weight } => place(&tokenizer.encode(&text), weight, in_text, &mut pieces)?,
            Span::Embedding { name, weight } => {
                let ids = tokenizer.encode(&name);
                let found = embeddings.find(&ids).filter(|found| found.n_tokens == ids.len());
                found.ok_or(ChunkError::UnknownEmbedding { name })?;
                place(&ids, weight, embeddings, &mut pieces)?;
            }
        }
    }
    let rows = Rows::new(tokenizer, rules.pad_id);
    match rules.layout {
        Layout::Chunks => Ok(rows.in_chunks(pieces)),
        Layout::Kohya { n_rows: 0 } => Err(ChunkError::NoRows),
        Layout::Kohya { n_rows } => Ok(rows.cut_at(pieces, n_rows.into())),
        Layout::Truncate => Ok(rows.cut_at(pieces, 1)),
    }
}

/// What takes places in a row, or ends it.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Token { id: u32, weight: f32 },
    Embedding { name: String, n_vectors: usize, weight: f32 },
    Break,
}

impl Piece {
    fn n_places(&self) -> usize {
        match self {
            Self::Token { .. } => 1,
            Self::Embedding { n_vectors, .. } => *n_vectors,
            Self::Break => 0,
        }
    }
}

fn place(
    ids: &[u32],
    weight: f32,
    embeddings: &dyn Embeddings,
    pieces: &mut Vec<Piece>,
) -> Result<(), ChunkError> {
    let mut rest = ids;
    while let Some((&id, after)) = rest.split_first() {
        let Some(found) = embeddings.find(rest) else {
            pieces.push(Piece::Token { id, weight });
            rest = after;
            continue;
        };
        if found.n_vectors > CHUNK_LEN {
            return Err(ChunkError::EmbeddingTooLong {
                name: found.name.to_owned(),
                found: found.n_vectors,
                max: CHUNK_LEN,
            });
        }
        pieces.push(Piece::Embedding { name: found.name.to_owned(), n_vectors: found.n_vectors, weight });
        rest = rest.get(found.n_tokens.max(1)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
