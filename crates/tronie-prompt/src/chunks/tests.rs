use proptest::prelude::*;

use super::*;
use crate::{CLIP_BOS, CLIP_EOS, EmbeddingIndex, NoEmbeddings};

fn rules(layout: Layout, pad_id: u32) -> ChunkRules {
    ChunkRules { layout, emphasis: Emphasis::Original, pad_id }
}

fn lay_out(text: &str, layout: Layout, pad_id: u32) -> Chunked {
    chunk(text, &Tokenizer::clip(), &NoEmbeddings, rules(layout, pad_id)).unwrap()
}

/// Tokens in use of each row: what stands before the first end token.
fn used(chunked: &Chunked) -> Vec<usize> {
    let rows = chunked.chunks.iter();
    rows.map(|chunk| chunk.tokens.iter().position(|&id| id == CLIP_EOS).unwrap() - 1).collect()
}

/// `n` words of one token each.
fn words(n: usize) -> String {
    vec!["cat"; n].join(" ")
}

#[test]
fn a_short_prompt_is_one_row_and_the_encoder_says_what_fills_it() {
    let chunked = lay_out("a (red:1.5) hat", Layout::Chunks, CLIP_EOS);
    let [row] = chunked.chunks.as_slice() else { panic!() };
    assert_eq!(row.tokens[..5], [CLIP_BOS, 320, 736, 3801, CLIP_EOS]);
    assert!(row.tokens[5..].iter().all(|&id| id == CLIP_EOS));
    assert_eq!(row.weights[..5], [1.0, 1.0, 1.5, 1.0, 1.0]);
    assert_eq!((chunked.n_tokens, chunked.capacity(), row.kept.clone()), (3, 75, 0..77));

    let row = &lay_out("a (red:1.5) hat", Layout::Chunks, 0).chunks[0];
    assert_eq!(row.tokens[..5], [CLIP_BOS, 320, 736, 3801, CLIP_EOS]);
    assert!(row.tokens[5..].iter().all(|&id| id == 0));
}

#[test]
fn there_is_always_at_least_one_row() {
    let chunked = lay_out("", Layout::Chunks, CLIP_EOS);
    assert_eq!((chunked.chunks.len(), chunked.n_tokens, used(&chunked)), (1, 0, vec![0]));
    assert_eq!(lay_out("", Layout::Truncate, 0).chunks.len(), 1);
    assert_eq!(lay_out("", Layout::Kohya { n_rows: 3 }, 0).chunks.len(), 3);
    let error = chunk("", &Tokenizer::clip(), &NoEmbeddings, rules(Layout::Kohya { n_rows: 0 }, 0));
    assert_eq!(error.unwrap_err(), ChunkError::NoRows);
}

#[test]
fn seventy_five_tokens_are_one_row_and_one_more_starts_the_next() {
    for (n, expected) in
        [(74, vec![74]), (75, vec![75]), (76, vec![75, 1]), (150, vec![75, 75]), (151, vec![75, 75, 1])]
    {
        let chunked = lay_out(&words(n), Layout::Chunks, CLIP_EOS);
        assert_eq!(used(&chunked), expected);
        assert_eq!(chunked.n_tokens, n);
    }
}

#[test]
fn a_full_row_breaks_behind_a_comma_at_most_twenty_tokens_back() {
    // (words before the comma, words after it) -> tokens per row
    for (before, after, expected) in [
        (55, 20, vec![56, 20]), // the comma is token 55, 20 from the end
        (54, 21, vec![75, 1]),  // one further
        (74, 5, vec![75, 5]),   // the comma is the last that fits
        (75, 5, vec![75, 6]),   // the comma itself starts the next row
        (60, 14, vec![75]),     // nothing to break
        (60, 40, vec![61, 40]),
    ] {
        let chunked = lay_out(&format!("{}, {}", words(before), words(after)), Layout::Chunks, CLIP_EOS);
        assert_eq!(used(&chunked), expected, "{before} {after}");
    }
}

#[test]
fn break_closes_the_row() {
    let chunked = lay_out("a BREAK b c BREAK", Layout::Chunks, CLIP_EOS);
    assert_eq!(used(&chunked), [1, 2]);
    assert_eq!(chunked.n_tokens, 150);
    assert_eq!(used(&lay_out("BREAK a", Layout::Chunks, CLIP_EOS)), [0, 1]);
    let rules = ChunkRules { emphasis: Emphasis::None, ..rules(Layout::Chunks, CLIP_EOS) };
    let literal = chunk("(a BREAK b)", &Tokenizer::clip(), &NoEmbeddings, rules).unwrap();
    assert_eq!(used(&literal), [5]);
}

#[test]
fn in_comfyuis_notation_only_the_prefix_makes_a_word_an_embedding() {
    let tokenizer = Tokenizer::clip();
    let embeddings = EmbeddingIndex::new(&tokenizer, [("film", 3), ("soft-light", 2)]);
    let rules = ChunkRules { layout: Layout::Chunks, emphasis: Emphasis::Comfy, pad_id: CLIP_EOS };
    let lay_out = |text: &str| chunk(text, &tokenizer, &embeddings, rules);
    let named = lay_out("a film, (embedding:Soft-Light.pt:1.5), embedding:film").unwrap();
    assert_eq!(named.embedding_names(), ["soft-light", "film"]);
    assert_eq!(named.n_tokens, 3 + 2 + 1 + 3);
    assert_eq!(named.chunks[0].weights[3..7], [1.0, 1.5, 1.5, 1.0]);
    for name in ["grain", "film2", "soft", ""] {
        let error = lay_out(&format!("a embedding:{name}")).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no embedding {name:?}"));
    }
}

#[test]
fn vectors_of_an_embedding_take_places_and_stay_together() {
    let tokenizer = Tokenizer::clip();
    let embeddings = EmbeddingIndex::new(&tokenizer, [("film", 3), ("soft-light", 10), ("huge", 76)]);
    let lay_out = |text: &str| chunk(text, &tokenizer, &embeddings, rules(Layout::Chunks, CLIP_EOS));

    let chunked = lay_out("a (FILM:1.2) soft-light b").unwrap();
    let row = &chunked.chunks[0];
    let slot = |position, name: &str, row| VectorSlot { position, name: name.to_owned(), row };
    assert_eq!(
        row.vectors[..4],
        [slot(2, "film", 0), slot(3, "film", 1), slot(4, "film", 2), slot(5, "soft-light", 0)]
    );
    assert_eq!(row.vectors.len(), 13);
    assert_eq!(row.weights[1..6], [1.0, 1.2, 1.2, 1.2, 1.0]);
    assert_eq!(row.tokens[2..5], [0, 0, 0]);
    assert_eq!(chunked.n_tokens, 15);
    assert_eq!(chunked.embedding_names(), ["film", "soft-light"]);

    // 73 + 3 does not fit; the embedding moves as a whole.
    let chunked = lay_out(&format!("{} film", words(73))).unwrap();
    assert_eq!(used(&chunked), [73, 3]);
    assert_eq!(chunked.chunks[1].vectors[0], slot(1, "film", 0));
    // What stands behind a near comma moves together with its vectors.
    let chunked = lay_out(&format!("{}, film {}", words(68), words(4))).unwrap();
    assert_eq!(used(&chunked), [69, 7]);
    assert!(chunked.chunks[0].vectors.is_empty());
    assert_eq!(chunked.chunks[1].vectors[2], slot(3, "film", 2));

    let error = lay_out("huge").unwrap_err();
    assert_eq!(error.to_string(), "embedding \"huge\" has 76 vectors, a prompt chunk holds 75");
}

/// kohya sd-scripts, `library/train_util.py`: `get_input_ids`, `get_hidden_states`, worked out for 80 of 225 tokens.
#[test]
fn kohyas_rows_are_cut_from_one_long_row_and_lose_their_inner_frames() {
    let layout = Layout::Kohya { n_rows: 3 };
    let chunked = lay_out(&words(80), layout, 0);
    assert_eq!(used(&chunked), [75, 5, 0]);
    let kept: Vec<Range<usize>> = chunked.chunks.iter().map(|chunk| chunk.kept.clone()).collect();
    assert_eq!(kept, [0..76, 1..76, 1..77]);
    assert_eq!(kept.into_iter().map(|kept| kept.len()).sum::<usize>(), 227);
    assert_eq!(chunked.chunks[0].tokens[76], CLIP_EOS);
    assert_eq!(chunked.chunks[1].tokens[5..9], [2368, CLIP_EOS, 0, 0]);
    assert_eq!(chunked.chunks[2].tokens[..3], [CLIP_BOS, CLIP_EOS, 0]);
    assert_eq!((chunked.n_tokens, chunked.capacity(), chunked.truncated.as_str()), (80, 225, ""));

    let chunked = lay_out(&(words(225) + " a dog"), layout, CLIP_EOS);
    assert_eq!((used(&chunked), chunked.truncated.as_str()), (vec![75, 75, 75], "a dog"));
    assert_eq!(lay_out("a", Layout::Kohya { n_rows: 1 }, 0).chunks[0].kept, 0..77);
}

#[test]
fn one_row_is_cut_as_diffusers_does_and_the_rest_is_reported() {
    let tokenizer = Tokenizer::clip();
    let embeddings = EmbeddingIndex::new(&tokenizer, [("film", 2)]);
    let text = format!("{} a film grain, (soft)", words(74));
    let chunked = chunk(&text, &tokenizer, &embeddings, rules(Layout::Truncate, CLIP_EOS)).unwrap();
    assert_eq!(chunked.chunks.len(), 1);
    assert_eq!((used(&chunked), chunked.n_tokens), (vec![75], 75));
    assert_eq!(chunked.truncated, "film grain , soft");
}

#[test]
fn an_end_token_in_the_prompt_ends_it_where_fill_differs() {
    let text = "a <|endoftext|> b";
    assert_eq!(lay_out(text, Layout::Chunks, CLIP_EOS).chunks[0].tokens[..4], [CLIP_BOS, 320, CLIP_EOS, 321]);
    assert_eq!(lay_out(text, Layout::Chunks, 0).chunks[0].tokens[..4], [CLIP_BOS, 320, CLIP_EOS, 0]);
}

proptest! {
    #[test]
    fn rows_are_complete_and_counts_agree(
        words in proptest::collection::vec("cat|,|BREAK|film|\\(a:1\\.2\\)|[a-z]{1,12}", 0..200),
        pad_id in prop_oneof![Just(0), Just(CLIP_EOS)],
    ) {
        let tokenizer = Tokenizer::clip();
        let embeddings = EmbeddingIndex::new(&tokenizer, [("film", 7)]);
        let text = words.join(" ");
        let n_breaks = words.iter().filter(|word| *word == "BREAK").count();
        for layout in [Layout::Chunks, Layout::Truncate, Layout::Kohya { n_rows: 3 }] {
            let chunked = chunk(&text, &tokenizer, &embeddings, rules(layout, pad_id)).unwrap();
            for row in &chunked.chunks {
                prop_assert_eq!((row.tokens.len(), row.weights.len()), (ROW_LEN, ROW_LEN));
                prop_assert_eq!(row.tokens[0], CLIP_BOS);
                prop_assert!(row.vectors.iter().all(|slot| (1..=CHUNK_LEN).contains(&slot.position)));
            }
            prop_assert!(chunked.n_tokens <= chunked.capacity());
            if layout == Layout::Chunks && n_breaks == 0 && !text.contains("film") && !text.contains(',') {
                let plain = text.replace("(a:1.2)", "a");
                prop_assert_eq!(chunked.n_tokens, tokenizer.count(&plain));
            }
        }
    }
}
