//! From pieces to rows.

use super::{CHUNK_LEN, COMMA_BACK_OFF, Chunk, Chunked, Piece, ROW_LEN, VectorSlot};
use crate::Tokenizer;

/// The ids that frame and fill a row.
pub(super) struct Rows<'a> {
    tokenizer: &'a Tokenizer,
    pad_id: u32,
}

/// Pieces of one row, and how many of its 75 places they take.
#[derive(Default)]
struct Open {
    pieces: Vec<Piece>,
    n_places: usize,
    /// Index of the piece behind the last comma, and the places up to there.
    behind_comma: Option<(usize, usize)>,
}

impl Open {
    fn push(&mut self, piece: Piece, comma: Option<u32>) {
        let is_comma = matches!(piece, Piece::Token { id, .. } if Some(id) == comma);
        self.n_places += piece.n_places();
        self.pieces.push(piece);
        if is_comma {
            self.behind_comma = Some((self.pieces.len(), self.n_places));
        }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, pad_id: u32) -> Self {
        Self { tokenizer, pad_id }
    }

    /// A1111's layout. Embeddings behind the comma move to the next row together with the tokens around them (there
    /// their vectors stay behind).
    pub(super) fn in_chunks(&self, pieces: Vec<Piece>) -> Chunked {
        let comma = self.tokenizer.comma();
        let mut chunks = Vec::new();
        let mut open = Open::default();
        for piece in pieces {
            if piece == Piece::Break {
                chunks.push(self.close(&mut open));
                continue;
            }
            let is_comma = matches!(piece, Piece::Token { id, .. } if Some(id) == comma);
            if open.n_places == CHUNK_LEN && !is_comma {
                let near = open.behind_comma.filter(|(_, n_places)| CHUNK_LEN - n_places < COMMA_BACK_OFF);
                if let Some((at, _)) = near {
                    let moved = open.pieces.split_off(at);
                    chunks.push(self.close(&mut open));
                    moved.into_iter().for_each(|piece| open.push(piece, None));
                }
            }
            if open.n_places + piece.n_places() > CHUNK_LEN {
                chunks.push(self.close(&mut open));
            }
            open.push(piece, comma);
        }
        let n_open = open.n_places;
        let n_closed = chunks.len() * CHUNK_LEN;
        if n_open > 0 || chunks.is_empty() {
            chunks.push(self.close(&mut open));
        }
        Chunked { chunks, n_tokens: n_closed + n_open, truncated: String::new() }
    }

    /// `n_rows` rows, however long the prompt; what does not fit is cut off. A break has no meaning here.
    pub(super) fn cut_at(&self, pieces: Vec<Piece>, n_rows: usize) -> Chunked {
        let mut slots: Vec<Slot> = pieces.into_iter().flat_map(Piece::into_slots).collect();
        let n_tokens = slots.len().min(n_rows * CHUNK_LEN);
        let truncated = self.text_of(&slots.split_off(n_tokens));
        let mut slots = slots.into_iter();
        let chunks = (0..n_rows).map(|row| {
            let mut chunk = self.frame(slots.by_ref().take(CHUNK_LEN));
            // Only the first start and the last end survive.
            let start = usize::from(row > 0);
            let end = if row + 1 < n_rows { ROW_LEN - 1 } else { ROW_LEN };
            chunk.kept = start..end;
            chunk
        });
        Chunked { chunks: chunks.collect(), n_tokens, truncated }
    }

    fn close(&self, open: &mut Open) -> Chunk {
        let pieces = std::mem::take(open).pieces;
        self.frame(pieces.into_iter().flat_map(Piece::into_slots))
    }

    /// One row of at most 75 slots between start and end.
    fn frame(&self, slots: impl Iterator<Item = Slot>) -> Chunk {
        let (bos, eos) = (self.tokenizer.bos(), self.tokenizer.eos());
        let mut chunk =
            Chunk { tokens: vec![bos], weights: vec![1.0], vectors: Vec::new(), kept: 0..ROW_LEN };
        for slot in slots {
            if let SlotKind::Vector { name, row } = slot.kind {
                let position = chunk.tokens.len();
                chunk.vectors.push(VectorSlot { position, name, row });
                chunk.tokens.push(0);
            } else if let SlotKind::Token(id) = slot.kind {
                chunk.tokens.push(id);
            }
            chunk.weights.push(slot.weight);
        }
        chunk.tokens.resize(ROW_LEN, eos);
        chunk.weights.resize(ROW_LEN, 1.0);
        // Behind the first end token comes fill, also where the prompt wrote that token out. CLIP-L fills with the end
        // token itself, and there what was written stays.
        if self.pad_id != eos {
            let fill = chunk.tokens.iter_mut().skip_while(|id| **id != eos).skip(1);
            fill.for_each(|id| *id = self.pad_id);
        }
        chunk
    }

    fn text_of(&self, slots: &[Slot]) -> String {
        let mut words = Vec::new();
        let mut ids = Vec::new();
        for slot in slots {
            match &slot.kind {
                SlotKind::Token(id) => ids.push(*id),
                SlotKind::Vector { name, row: 0 } => {
                    words.push(self.tokenizer.decode(&std::mem::take(&mut ids)));
                    words.push(name.clone());
                }
                SlotKind::Vector { .. } => {}
            }
        }
        words.push(self.tokenizer.decode(&ids));
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }
}

/// One place of a row.
struct Slot {
    kind: SlotKind,
    weight: f32,
}

enum SlotKind {
    Token(u32),
    Vector { name: String, row: usize },
}

impl Piece {
    fn into_slots(self) -> impl Iterator<Item = Slot> {
        let (kinds, weight) = match self {
            Self::Token { id, weight } => (vec![SlotKind::Token(id)], weight),
            Self::Embedding { name, n_vectors, weight } => {
                let vector = |row| SlotKind::Vector { name: name.clone(), row };
                ((0..n_vectors).map(vector).collect(), weight)
            }
            Self::Break => (Vec::new(), 1.0),
        };
        kinds.into_iter().map(move |kind| Slot { kind, weight })
    }
}
