//! Textual-inversion embeddings by name.

use std::collections::HashMap;

use crate::Tokenizer;

/// An embedding that was named in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingMatch<'a> {
    /// Its name.
    pub name: &'a str,
    /// Tokens of the prompt that make up the name; at least 1.
    pub n_tokens: usize,
    /// Vectors it consists of, each taking the place of one token; at least 1.
    pub n_vectors: usize,
}

/// Finds embeddings among the tokens of a prompt.
pub trait Embeddings {
    /// The embedding whose name starts `tokens`, the longest when there are several.
    fn find(&self, tokens: &[u32]) -> Option<EmbeddingMatch<'_>>;
}

/// No embeddings at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEmbeddings;

impl Embeddings for NoEmbeddings {
    fn find(&self, _tokens: &[u32]) -> Option<EmbeddingMatch<'_>> {
        None
    }
}

/// Embeddings that are found by the tokens of their name, as A1111 does (`textual_inversion.py`): case does not matter,
/// and neither does what surrounds the name.
#[derive(Debug, Clone, Default)]
pub struct EmbeddingIndex {
    /// By the first token of the name; the longest name first.
    rows: HashMap<u32, Vec<Row>>,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    tokens: Vec<u32>,
    n_vectors: usize,
}

impl EmbeddingIndex {
    /// An index of (name, number of vectors). A name without tokens and an embedding without vectors are left out; of
    /// two names with the same tokens the later counts.
    #[must_use]
    pub fn new<'a>(tokenizer: &Tokenizer, embeddings: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let mut index = Self::default();
        for (name, n_vectors) in embeddings.into_iter().filter(|row| row.1 > 0) {
            let tokens = tokenizer.encode(name);
            let Some(&first) = tokens.first() else {
                continue;
            };
            let rows = index.rows.entry(first).or_default();
            rows.retain(|row| row.tokens != tokens);
            rows.push(Row { name: name.to_owned(), tokens, n_vectors });
            rows.sort_by_key(|row| std::cmp::Reverse(row.tokens.len()));
        }
        index
    }
}

impl Embeddings for EmbeddingIndex {
    fn find(&self, tokens: &[u32]) -> Option<EmbeddingMatch<'_>> {
        let mut rows = self.rows.get(tokens.first()?)?.iter();
        let row = rows.find(|row| tokens.starts_with(&row.tokens))?;
        Some(EmbeddingMatch { name: &row.name, n_tokens: row.tokens.len(), n_vectors: row.n_vectors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins_and_case_does_not_matter() {
        let tokenizer = Tokenizer::clip();
        let index = EmbeddingIndex::new(&tokenizer, [("soft", 1), ("Soft-Light", 4), ("empty", 0), (" ", 2)]);
        let find = |text: &str| {
            index.find(&tokenizer.encode(text)).map(|found| (found.name.to_owned(), found.n_vectors))
        };
        assert_eq!(find("soft-light portrait"), Some(("Soft-Light".to_owned(), 4)));
        assert_eq!(find("SOFT light"), Some(("soft".to_owned(), 1)));
        assert_eq!(find("a soft light"), None);
        assert_eq!(find("empty"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn the_later_of_two_equal_names_counts() {
        let tokenizer = Tokenizer::clip();
        let index = EmbeddingIndex::new(&tokenizer, [("Film", 1), ("film", 3)]);
        assert_eq!(index.find(&tokenizer.encode("film")).unwrap().n_vectors, 3);
    }
}
