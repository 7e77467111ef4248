//! Expected alignments are those of the authors' `seq_aligner.py` and of Python's difflib, worked out by
//! `reference/alignment.py`.

use serde::Deserialize;
use tronie_testing::repository;

use super::*;
use crate::{CLIP_EOS, ChunkRules, Emphasis, Layout, NoEmbeddings, chunk};

fn places(text: &str) -> Places {
    let rules = ChunkRules { layout: Layout::Chunks, emphasis: Emphasis::Original, pad_id: CLIP_EOS };
    let tokenizer = Tokenizer::clip();
    Places::of(&chunk(text, &tokenizer, &NoEmbeddings, rules).unwrap(), &tokenizer)
}

/// A dense matrix, old places by new ones, and what the new ones keep.
fn dense(alignment: &Alignment, n_old: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut matrix = vec![vec![0.0; alignment.kept.len()]; n_old];
    for (new, sources) in alignment.sources.iter().enumerate() {
        for &(old, share) in sources {
            matrix[old][new] += share;
        }
    }
    (matrix, alignment.kept.clone())
}

/// A row of `testdata/prompt/alignments.json`.
#[derive(Deserialize)]
struct Case {
    way: String,
    old: String,
    new: String,
    /// (old place, new place, share), all others 0
    matrix: Vec<(usize, usize, f32)>,
    kept: Vec<f32>,
}

#[test]
fn alignments_equal_those_of_the_authors_and_of_difflib() {
    let text = std::fs::read(repository().join("testdata/prompt/alignments.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() >= 8);
    for Case { way, old, new, matrix, kept } in cases {
        let (from, to) = (places(&old), places(&new));
        let found = match way.as_str() {
            "words" => align_words(&from, &to).unwrap(),
            "common" => align_common(&from, &to),
            "blocks" => align_blocks(&from, &to),
            other => panic!("{other}"),
        };
        let mut expected = vec![vec![0.0; 77]; 77];
        for (row, column, share) in matrix {
            expected[row][column] = share;
        }
        assert_eq!(dense(&found, 77), (expected, kept), "{way} {old} -> {new}");
    }
}

#[test]
fn the_same_prompt_is_aligned_with_itself_in_every_way() {
    let one = places("a photo of a (young:1.2) woman, smiling");
    let long = places(&"a photo of a young woman, ".repeat(20));
    assert_eq!(long.len(), 2 * 77);
    for same in [one, long] {
        assert!(align(&same, &same).is_identity());
        assert!(align_common(&same, &same).is_identity());
        assert!(align_blocks(&same, &same).is_identity());
    }
}

#[test]
fn prompts_of_different_numbers_of_words_are_aligned_along_what_they_share() {
    let (old, new) = (places("a photo of a woman"), places("a photo of an old woman with glasses"));
    // start and end count as words
    assert_eq!(align_words(&old, &new), Err(WordCountDiffers { found: 7, expected: 10 }));
    assert_eq!(align(&old, &new), align_common(&old, &new));
}

#[test]
fn a_word_is_found_wherever_it_stands_and_in_rows_of_several() {
    let tokenizer = Tokenizer::clip();
    let prompt = places("photo of a woman beside a young woman");
    assert_eq!(prompt.find("woman", &tokenizer), [4, 8]);
    assert_eq!(prompt.find("young woman", &tokenizer), [7, 8]);
    assert_eq!(prompt.find("man", &tokenizer), Vec::<usize>::new());
    assert_eq!(prompt.find("", &tokenizer), Vec::<usize>::new());
}

#[test]
fn prompts_of_different_numbers_of_rows_are_aligned() {
    let (short, long) = (places("a photo of a woman"), places(&"a photo of a young woman, ".repeat(20)));
    for (old, new) in [(&short, &long), (&long, &short)] {
        for found in [align(old, new), align_blocks(old, new)] {
            assert_eq!(found.kept.len(), new.len());
            assert!(found.sources.iter().flatten().all(|source| source.0 < old.len()));
        }
    }
}
