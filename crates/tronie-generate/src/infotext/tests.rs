use proptest::prelude::*;

use super::*;

fn infotext(prompt: &str, negative_prompt: &str, fields: &[(&str, &str)]) -> Infotext {
    let fields = fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
    Infotext {
        prompt: prompt.to_owned(),
        negative_prompt: negative_prompt.to_owned(),
        fields: fields.collect(),
    }
}

const FEW: &[(&str, &str)] = &[("Steps", "20"), ("Sampler", "Euler a"), ("Seed", "1")];

#[test]
fn texts_are_read_as_the_reference_reads_them() {
    let cases = [
        // Everything there
        (
            "a man\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Seed: 1",
            infotext("a man", "blurry", FEW),
        ),
        // Several lines of each, and a second marker inside the negative prompt
        (
            "a\nb\nNegative prompt: c\nd\nNegative prompt: e\nSteps: 20, Sampler: Euler a, Seed: 1",
            infotext("a\nb", "c\nd\ne", FEW),
        ),
        // Two fields are not enough
        ("a man\nSteps: 20, Seed: 1", infotext("a man\nSteps: 20, Seed: 1", "", &[])),
        ("", Infotext::default()),
        ("Steps: 20, Sampler: Euler a, Seed: 1", infotext("", "", FEW)),
        ("Negative prompt: c", infotext("", "c", &[])),
        // Quoted values keep their commas and colons
        (
            "x\nSteps: 20, TI hashes: \"a: 1, b: 2\", Path: \"C:\\\\x \\\"y\\\"\\nz\"",
            infotext("x", "", &[("Steps", "20"), ("TI hashes", "a: 1, b: 2"), ("Path", "C:\\x \"y\"\nz")]),
        ),
        // Broken quotes end at the first comma
        (
            "x\nSteps: \"20, Sampler: \"a\"b, Seed: \"",
            infotext("x", "", &[("Steps", "\"20"), ("Sampler", "\"a\"b"), ("Seed", "\"")]),
        ),
        // Keys in other scripts, with spaces, dashes and slashes; an empty value
        (
            "x\nADetailer model 2nd: y, a/b-c: , Größe: 1",
            infotext("x", "", &[("ADetailer model 2nd", "y"), ("a/b-c", ""), ("Größe", "1")]),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Infotext::parse(text), expected, "{text}");
    }
}

#[test]
fn only_commas_colons_and_line_breaks_make_quotes() {
    let cases = [
        ("plain value", "Key: plain value"),
        ("a, b", "Key: \"a, b\""),
        ("a:b", "Key: \"a:b\""),
        ("a\nb", "Key: \"a\\nb\""),
        ("say \"hi\"", "Key: say \"hi\""),
        ("Zoë: \"hi\" \\ \u{1}", "Key: \"Zoë: \\\"hi\\\" \\\\ \\u0001\""),
        ("Key", "Key"),
    ];
    for (value, expected) in cases {
        let found = infotext("x", "", &[("Key", value)]).to_string();
        assert_eq!(found, format!("x\n{expected}"));
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let text = infotext("x", "", &[("Ab", "1"), ("Ab", "2"), ("Cd", "3")]);
    assert_eq!((text.get("Ab"), text.get("Cd"), text.get("Ef")), (Some("2"), Some("3"), None));
}

#[test]
fn published_texts_are_written_back_byte_for_byte() {
    let Some(shared) = tronie_testing::shared("published_texts_are_written_back_byte_for_byte") else {
        return;
    };
    let mut n_texts = 0;
    for entry in std::fs::read_dir(shared.join("data/fixtures/infotext")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = std::fs::read_to_string(&path).unwrap();
            let parsed = Infotext::parse(&text);
            assert_eq!(parsed.to_string(), text, "{}", path.display());
            assert_eq!(parsed.get("Version"), Some("v1.7.0"));
            assert!(parsed.fields.len() >= 8 && parsed.negative_prompt.contains("easynegative"));
            n_texts += 1;
        }
    }
    assert_eq!(n_texts, 8);
}

/// Lines of a prompt, without the marker that would begin the negative one.
fn prompt() -> impl Strategy<Value = String> {
    let line = r#"[a-zA-Z0-9,.:;()\[\]<>"'\\ \t#é肖🙂-]{0,30}"#;
    prop::collection::vec(line, 1..4).prop_map(|lines| lines.join("\n"))
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = r#"([^\s"][^\s]?([ -~é肖🙂\n,:"\\]{0,12}[^\s])?)?"#;
    prop::collection::vec((r"[A-Z][a-z \-/]{1,9}[a-z]", value), 3..8)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(prompt in prompt(), negative_prompt in prompt(), fields in fields()) {
        prop_assume!(!prompt.starts_with(char::is_whitespace));
        let text = Infotext { prompt, negative_prompt, fields };
        prop_assume!(text.fields.iter().all(|(key, value)| key != value));
        prop_assert_eq!(Infotext::parse(&text.to_string()), text);
    }

    #[test]
    fn any_text_is_read(text in "(.|\n){0,200}") {
        let found = Infotext::parse(&text);
        prop_assert!(found.fields.is_empty() || found.fields.len() >= MIN_FIELDS);
    }
}
