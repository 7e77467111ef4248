use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// `BREAK` in `expected` is a break.
#[track_caller]
fn check(prompt: &str, expected: &[(&str, f32)]) {
    let expected: Vec<Span> = expected
        .iter()
        .map(|&(text, weight)| match text {
            "BREAK" => Span::Break,
            text => Span::Text { text: text.to_owned(), weight },
        })
        .collect();
    assert_eq!(parse_attention(prompt), expected, "{prompt:?}");
}

/// The doctests of A1111 v1.10.1, `modules/prompt_parser.py`.
#[test]
fn the_published_weights_come_out() {
    check("normal text", &[("normal text", 1.0)]);
    check("an (important) word", &[("an ", 1.0), ("important", 1.1), (" word", 1.0)]);
    check("(unbalanced", &[("unbalanced", 1.1)]);
    check("\\(literal\\]", &[("(literal]", 1.0)]);
    check("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]);
    check(
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
        &[
            ("a ", 1.0),
            ("house", 1.573),
            (" ", 1.1),
            ("on", 1.0),
            (" a ", 1.1),
            ("hill", 0.55),
            (", sun, ", 1.1),
            ("sky", 1.4641),
            (".", 1.1),
        ],
    );
}

#[test]
fn brackets_without_a_partner_and_odd_escapes_are_text() {
    check("", &[("", 1.0)]);
    check("a) b]", &[("a) b]", 1.0)]);
    check("a:1.2)", &[("a:1.2)", 1.0)]);
    check("(a: 1.2 )", &[("a", 1.2)]);
    check("(a:1.2.3)", &[("a:1.2.3", 1.1)]);
    check("(a:-.5)", &[("a", -0.5)]);
    check("(a:b)", &[("a:b", 1.1)]);
    check("a\\b \\\\ \\", &[("ab \\ ", 1.0)]);
    check("[a", &[("a", 0.909_090_94)]);
    check("(a [b) c]", &[("a ", 1.1), ("b", 1.0), (" c", 0.909_090_94)]);
    check("()", &[("", 1.0)]);
}

#[test]
fn break_is_a_marker_only_as_a_word_of_its_own() {
    check("a BREAK b", &[("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]);
    check("BREAK", &[("", 1.0), ("BREAK", -1.0), ("", 1.0)]);
    check("a BREAK\n BREAK b", &[("a", 1.0), ("BREAK", -1.0), ("", 1.0), ("BREAK", -1.0), ("b", 1.0)]);
    check("(a BREAK b:2)", &[("a", 2.0), ("BREAK", -1.0), ("b", 2.0)]);
    check("BREAKING aBREAK BREAK_ break", &[("BREAKING aBREAK BREAK_ break", 1.0)]);
    check("a,BREAK,b", &[("a,", 1.0), ("BREAK", -1.0), (",b", 1.0)]);
}

#[test]
fn weights_stay_finite_and_time_linear() {
    let start = Instant::now();
    let n = 1_000_000;
    for prompt in [
        "(".repeat(n),
        "(a".repeat(n) + &")".repeat(n),
        "(a".repeat(n) + &":9999)".repeat(n),
        "[a".repeat(n) + &"]".repeat(n),
        "([a)b]".repeat(n),
        "BREAK ".repeat(n),
        ":".repeat(n),
        "\\".repeat(n),
    ] {
        for span in parse_attention(&prompt) {
            assert!(
                matches!(span, Span::Break)
                    || matches!(span, Span::Text { weight, .. } if weight.is_finite())
            );
        }
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn any_text_parses_and_text_without_notation_is_kept(prompt in "[\\[\\]():ab1.BREAK \\\\]{0,40}|\\PC{0,20}") {
        let spans = parse_attention(&prompt);
        prop_assert!(!spans.is_empty());
        if !prompt.contains(['(', ')', '[', ']', '\\']) && !prompt.contains("BREAK") {
            prop_assert_eq!(spans, [Span::neutral(prompt)]);
        }
    }
}
