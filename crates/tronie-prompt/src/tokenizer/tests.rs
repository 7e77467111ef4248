use std::time::Instant;

use tronie_testing::{Golden, shared};

use super::*;

/// Texts and ids of a golden written by `reference/prompt.py`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the golden holds bytes, lengths and token ids"
)]
fn rows(name: &str) -> Vec<(String, Vec<u32>)> {
    let golden = Golden::open(name);
    let lengths = |name: &str| -> Vec<usize> { golden.f64(name).iter().map(|&n| n as usize).collect() };
    let bytes: Vec<u8> = golden.f64("text").iter().map(|&byte| byte as u8).collect();
    let ids: Vec<u32> =
        golden.f64("ids").chunks_exact(2).map(|pair| pair[0] as u32 + 256 * pair[1] as u32).collect();
    let (mut text_at, mut id_at) = (0, 0);
    let pairs = lengths("text_len").into_iter().zip(lengths("ids_len"));
    pairs
        .map(|(n_bytes, n_ids)| {
            let text = std::str::from_utf8(&bytes[text_at..text_at + n_bytes]).unwrap();
            let row = (text.to_owned(), ids[id_at..id_at + n_ids].to_vec());
            (text_at, id_at) = (text_at + n_bytes, id_at + n_ids);
            row
        })
        .collect()
}

#[test]
fn ids_equal_those_of_transformers() {
    let tokenizer = Tokenizer::clip();
    let rows = rows("prompt/tokens");
    assert_eq!(rows.len(), 2000);
    for (text, expected) in rows {
        assert_eq!(tokenizer.encode(&text), expected, "{text:?}");
    }
}

#[test]
fn truncated_ids_equal_those_of_transformers() {
    let tokenizer = Tokenizer::clip();
    for (text, expected) in rows("prompt/truncated") {
        let mut ids = vec![tokenizer.bos()];
        ids.extend(tokenizer.encode(&text));
        ids.truncate(76);
        ids.resize(77, tokenizer.eos());
        assert_eq!(ids, expected, "{text:?}");
    }
}

#[test]
fn the_fantasy_landscape_has_the_published_token_table() {
    // The table printed in dennis-fast/LFI_StableDiffusion, CrossAttention_suaad.ipynb: 22 is "art", 23 "station".
    let tokenizer = Tokenizer::clip();
    let ids = tokenizer.encode(
        "A fantasy landscape with a pine tree in the foreground and a red sun setting in the distance, trending on artstation",
    );
    let words: Vec<String> = ids.iter().map(|&id| tokenizer.decode_one(id).unwrap()).collect();
    assert_eq!(words[..3], ["a", "fantasy", "landscape"]);
    assert_eq!(words[21..], ["art", "station"]);
    assert_eq!(tokenizer.count("a fantasy landscape"), 3);
}

#[test]
fn the_embedded_vocabulary_is_the_published_one() {
    let published = instant_clip_tokenizer::Tokenizer::new();
    let tokenizer = Tokenizer::clip();
    assert_eq!(tokenizer.n_ids(), 49408);
    for id in 0..49406_u16 {
        let token = instant_clip_tokenizer::Token::from_u16(id, &published).unwrap();
        let expected = published.decode([token]);
        let (bytes, ends_word) = tokenizer.bpe.symbol(id.into()).unwrap();
        let space = if ends_word { " " } else { "" };
        assert_eq!(String::from_utf8_lossy(bytes) + space, expected, "{id}");
        // A token that is a whole word encodes as itself exactly when the merges lead there in both.
        if expected.is_ascii() {
            let mut ids = Vec::new();
            published.encode(&expected, &mut ids);
            let ids: Vec<u32> = ids.into_iter().map(|token| token.to_u16().into()).collect();
            assert_eq!(tokenizer.encode(&expected), ids, "{expected:?}");
        }
    }
}

#[test]
fn a_checkpoints_own_files_give_the_same_ids() {
    let Some(shared) = shared("a_checkpoints_own_files_give_the_same_ids") else {
        return;
    };
    let path = shared.join("models/tronie-mini-seed/tokenizer/tokenizer.json");
    let json = std::fs::read_to_string(path).unwrap();
    let from_json = Tokenizer::from_tokenizer_json(&json).unwrap();

    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let merges = parsed["model"]["merges"].as_array().unwrap();
    let merges =
        merges.iter().map(|pair| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    let merges = format!("#version: 0.2\n{}", merges.collect::<String>());
    let from_files =
        Tokenizer::from_vocab_and_merges(&parsed["model"]["vocab"].to_string(), &merges).unwrap();

    for tokenizer in [from_json, from_files] {
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (CLIP_BOS, CLIP_EOS));
        assert_eq!((tokenizer.comma(), tokenizer.n_ids()), (Some(267), 49408));
        for (text, expected) in rows("prompt/tokens") {
            assert_eq!(tokenizer.encode(&text), expected, "{text:?}");
        }
    }
}

/// A vocabulary of three letters, with a placeholder that textual inversion added.
#[test]
fn the_files_it_writes_give_the_same_ids_in_the_published_format() {
    let (vocab, merges) = Tokenizer::clip().to_vocab_and_merges();
    // the beginnings of openai/clip-vit-large-patch14's files
    assert!(merges.starts_with("#version: 0.2\ni n\nt h\na n\nr e\na r\n"), "{:?}", &merges[..40]);
    assert!(vocab.starts_with(r##"{"!":0,"\"":1,"#":2,"##), "{:?}", &vocab[..40]);
    assert!(vocab.ends_with(r#""<|startoftext|>":49406,"<|endoftext|>":49407}"#));
    let back = Tokenizer::from_vocab_and_merges(&vocab, &merges).unwrap();
    for (text, expected) in rows("prompt/tokens") {
        assert_eq!(back.encode(&text), expected, "{text:?}");
    }
    assert_eq!(back.to_vocab_and_merges(), (vocab, merges));
}

fn tiny(change: impl Fn(&mut serde_json::Value)) -> Result<Tokenizer, VocabularyError> {
    let mut json = serde_json::json!({
        "added_tokens": [
            {"id": 8, "content": "<|startoftext|>"}, {"id": 9, "content": "<|endoftext|>"}, {"id": 12, "content": "<cat>"}
        ],
        "model": {
            "type": "BPE", "end_of_word_suffix": "</w>", "unk_token": "<|endoftext|>",
            "vocab": {"l": 0, "o": 1, "w": 2, "l</w>": 3, "o</w>": 4, "w</w>": 5, "lo": 6, "low</w>": 7},
            "merges": [["l", "o"], ["lo", "w</w>"]]
        }
    });
    change(&mut json);
    Tokenizer::from_tokenizer_json(&json.to_string())
}

#[test]
fn added_tokens_are_found_literally_and_unknown_bytes_are_the_unknown_token() {
    let tokenizer = tiny(|_| ()).unwrap();
    assert_eq!(tokenizer.encode("low <cat>LOL x"), [7, 12, 6, 3, 9]);
    assert_eq!(tokenizer.decode(&[7, 12, 6, 3]), "low <cat> lol");
    assert_eq!((tokenizer.n_ids(), tokenizer.comma()), (13, None));
}

#[test]
fn a_file_that_is_no_clip_vocabulary_is_refused_by_name() {
    let message = |change: fn(&mut serde_json::Value)| tiny(change).unwrap_err().to_string();
    assert_eq!(
        message(|json| json["model"]["type"] = "Unigram".into()),
        "the tokenizer's model type is \"Unigram\", CLIP's is \"BPE\""
    );
    assert_eq!(
        message(|json| json["model"]["end_of_word_suffix"] = serde_json::Value::Null),
        "the tokenizer's end_of_word_suffix is \"\", CLIP's is \"</w>\""
    );
    assert_eq!(
        message(|json| json["model"]["merges"] = serde_json::json!(["l o", "lo x"])),
        "the vocabulary has no token \"x\""
    );
    assert_eq!(
        message(|json| json["model"]["merges"] = serde_json::json!(["l o", "low"])),
        "merge 1 is \"low\", expected two tokens and one space"
    );
    assert_eq!(
        message(|json| json["added_tokens"][2]["id"] = 4_000_000_000_u32.into()),
        "token \"<cat>\" has id 4000000000, at most 1048575 is accepted"
    );
    assert_eq!(
        message(|json| json["added_tokens"] = serde_json::json!([])),
        "the vocabulary has no token \"<|startoftext|>\""
    );
    let error = Tokenizer::from_tokenizer_json("{").unwrap_err().to_string();
    assert!(error.starts_with("tokenizer.json cannot be read: "), "{error}");
}

#[test]
fn ids_decode_to_the_words_of_the_text() {
    let tokenizer = Tokenizer::clip();
    let text = "portrait of a señorita , 35 mm — don 't smile 🙂";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text.replace("35", "3 5"));
    assert_eq!(tokenizer.decode_one(CLIP_EOS).unwrap(), "<|endoftext|>");
    assert_eq!(tokenizer.decode_one(CLIP_EOS + 1), None);
    assert_eq!(tokenizer.decode(&[99999]), "");
}

#[test]
fn a_tokenizer_is_built_in_milliseconds_and_a_huge_word_takes_no_quadratic_time() {
    let start = Instant::now();
    let tokenizer = Tokenizer::clip();
    assert!(start.elapsed().as_millis() < 100, "built in {:?}", start.elapsed());
    let word = "lorem".repeat(400_000);
    let start = Instant::now();
    assert!(tokenizer.encode(&word).len() >= 400_000);
    assert!(start.elapsed().as_secs() < 20, "encoded in {:?}", start.elapsed());
}
