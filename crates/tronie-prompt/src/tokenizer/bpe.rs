//! Byte-pair encoding of single words.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Tokens below this are the single bytes of CLIP's vocabulary: 256 within a word, then 256 that end one.
const N_BYTE_TOKENS: u32 = 512;

/// One merge rule: the sooner its rank, the sooner it is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) id: u32,
}

/// Bytes of a token within [`Bpe::bytes`].
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
    ends_word: bool,
    exists: bool,
}

/// Vocabulary and merge rules.
#[derive(Debug, Clone)]
pub(super) struct Bpe {
    /// Token of each byte within a word, and at its end.
    inner: Vec<u32>,
    last: Vec<u32>,
    merges: HashMap<(u32, u32), Merge>,
    /// Bytes of all tokens; `spans` is indexed by id.
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Every byte in the order of GPT-2's table, which is the order of CLIP's first 256 ids: the printable ones of Latin-1
/// as themselves, then the others as the characters from U+0100 on.
pub(super) fn byte_alphabet() -> impl Iterator<Item = (u8, char)> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255_u8).filter(move |byte| !printable(byte));
    let others = others.zip('\u{100}'..);
    (0..=255_u8).filter(printable).map(|byte| (byte, char::from(byte))).chain(others)
}

impl Bpe {
    /// CLIP's own numbering: 512 byte tokens, then one token for each pair of `table` (two little-endian `u16` each).
    pub(super) fn from_merge_ids(table: &[u8], unknown: u32) -> Self {
        let mut bpe = Self::empty(unknown);
        for (id, (byte, _)) in (0_u32..).zip(byte_alphabet()) {
            bpe.set_byte(byte, id, false);
        }
        for (id, (byte, _)) in (256_u32..).zip(byte_alphabet()) {
            bpe.set_byte(byte, id, true);
        }
        let (pairs, _) = table.as_chunks::<4>();
        bpe.merges.reserve(pairs.len());
        for (rank, &[a, b, c, d]) in (0_u32..).zip(pairs) {
            let pair = (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into());
            let id = N_BYTE_TOKENS + rank;
            bpe.merges.insert(pair, Merge { rank, id });
            bpe.add_joined(id, pair);
        }
        bpe
    }

    /// A vocabulary without tokens: every byte encodes as `unknown`.
    pub(super) fn empty(unknown: u32) -> Self {
        Self {
            inner: vec![unknown; 256],
            last: vec![unknown; 256],
            merges: HashMap::new(),
            bytes: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Says which token a byte is, within a word or at its end.
    pub(super) fn set_byte(&mut self, byte: u8, id: u32, ends_word: bool) {
        let table = if ends_word { &mut self.last } else { &mut self.inner };
        if let Some(entry) = table.get_mut(usize::from(byte)) {
            *entry = id;
        }
        self.add_symbol(id, &[byte], ends_word);
    }

    /// Adds a merge rule; both sides and the result are ids that [`Bpe::add_symbol`] has seen or will see.
    pub(super) fn add_merge(&mut self, pair: (u32, u32), merge: Merge) {
        self.merges.insert(pair, merge);
    }

    /// Says which bytes a token stands for.
    pub(super) fn add_symbol(&mut self, id: u32, bytes: &[u8], ends_word: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.set_span(id, start, ends_word);
    }

    fn add_joined(&mut self, id: u32, (left, right): (u32, u32)) {
        let start = self.bytes.len();
        let (left, right) = (self.span(left), self.span(right));
        self.bytes.extend_from_within(left.start..left.end);
        self.bytes.extend_from_within(right.start..right.end);
        self.set_span(id, start, right.ends_word);
    }

    fn set_span(&mut self, id: u32, start: usize, ends_word: bool) {
        let index = id as usize;
        if self.spans.len() <= index {
            self.spans.resize(index + 1, Span::default());
        }
        if let Some(span) = self.spans.get_mut(index) {
            *span = Span { start, end: self.bytes.len(), ends_word, exists: true };
        }
    }

    fn span(&self, id: u32) -> Span {
        self.spans.get(id as usize).copied().unwrap_or_default()
    }

    /// Bytes of a token, and whether it ends a word.
    pub(super) fn symbol(&self, id: u32) -> Option<(&[u8], bool)> {
        let span = self.spans.get(id as usize).filter(|span| span.exists)?;
        Some((self.bytes.get(span.start..span.end)?, span.ends_word))
    }

    /// Both sides of every merge rule, in the order of their ranks.
    pub(super) fn ranked_merges(&self) -> Vec<(u32, u32)> {
        let mut rows: Vec<_> = self.merges.iter().map(|(pair, merge)| (merge.rank, *pair)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, pair)| pair).collect()
    }

    /// Largest id plus one.
    pub(super) fn n_ids(&self) -> u32 {
        u32::try_from(self.spans.len()).unwrap_or(u32::MAX)
    }

    /// Ids of one word.
    pub(super) fn encode_word(&self, word: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.encode_into(word, &mut ids);
        ids
    }

    /// Appends the ids of one word. Time grows with `n log n` of its length.
    pub(super) fn encode_into(&self, word: &str, ids: &mut Vec<u32>) {
        let Some((last, inner)) = word.as_bytes().split_last() else {
            return;
        };
        let token = |table: &[u32], byte: u8| table.get(usize::from(byte)).copied();
        let symbols = inner.iter().filter_map(|&byte| token(&self.inner, byte));
        let symbols = symbols.chain(token(&self.last, *last));
        let mut chain = Chain::new(symbols);
        chain.merge_all(&self.merges);
        ids.extend(chain.live());
    }
}

/// One symbol of a word under way: a doubly linked list within a vector, so that a merge moves nothing.
#[derive(Debug, Clone, Copy)]
struct Link {
    id: u32,
    previous: Option<usize>,
    next: Option<usize>,
    is_live: bool,
}

struct Chain(Vec<Link>);

impl Chain {
    fn new(ids: impl Iterator<Item = u32>) -> Self {
        let links = ids.enumerate().map(|(index, id)| Link {
            id,
            previous: index.checked_sub(1),
            next: Some(index + 1),
            is_live: true,
        });
        let mut links: Vec<Link> = links.collect();
        if let Some(last) = links.last_mut() {
            last.next = None;
        }
        Self(links)
    }

    /// Applies the rule of lowest rank, leftmost first, until none applies.
    fn merge_all(&mut self, merges: &HashMap<(u32, u32), Merge>) {
        let mut queue = BinaryHeap::new();
        for left in 0..self.0.len() {
            self.enqueue(left, merges, &mut queue);
        }
        while let Some(Reverse((_, left, id))) = queue.pop() {
            // The pair may be gone since it was queued: one of its symbols was merged with the other neighbour.
            let still_there = self.pair_at(left).and_then(|pair| merges.get(&pair));
            if still_there.is_none_or(|merge| merge.id != id) {
                continue;
            }
            let previous = self.join(left, id);
            self.enqueue(left, merges, &mut queue);
            if let Some(previous) = previous {
                self.enqueue(previous, merges, &mut queue);
            }
        }
    }

    fn enqueue(
        &self,
        left: usize,
        merges: &HashMap<(u32, u32), Merge>,
        queue: &mut BinaryHeap<Reverse<(u32, usize, u32)>>,
    ) {
        if let Some(merge) = self.pair_at(left).and_then(|pair| merges.get(&pair)) {
            queue.push(Reverse((merge.rank, left, merge.id)));
        }
    }

    fn pair_at(&self, left: usize) -> Option<(u32, u32)> {
        let left = self.0.get(left).filter(|link| link.is_live)?;
        let right = self.0.get(left.next?)?;
        Some((left.id, right.id))
    }

    /// Makes `left` and its right neighbour one symbol; returns the left neighbour.
    fn join(&mut self, left: usize, id: u32) -> Option<usize> {
        let removed = self.0.get(left)?.next?;
        let after = self.0.get_mut(removed).and_then(|link| {
            link.is_live = false;
            link.next
        });
        if let Some(link) = after.and_then(|after| self.0.get_mut(after)) {
            link.previous = Some(left);
        }
        let link = self.0.get_mut(left)?;
        link.id = id;
        link.next = after;
        link.previous
    }

    fn live(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|link| link.is_live).map(|link| link.id)
    }
}
