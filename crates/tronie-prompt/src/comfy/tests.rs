use std::time::Instant;

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(prompt: &str, expected: &[(&str, f32)]) {
    let found = parse_comfy(prompt);
    let expected = expected.iter().map(|&(text, weight)| Span::Text { text: text.to_owned(), weight });
    assert_eq!(found, expected.collect::<Vec<_>>(), "{prompt:?}");
}

/// Values worked out by hand from the rules in this module's description.
#[test]
fn weights_follow_comfyuis_rules() {
    check("a cat", &[("a cat", 1.0)]);
    check("a (big) cat", &[("a ", 1.0), ("big", 1.1), (" cat", 1.0)]);
    check("((a:1.2) b:1.5)", &[("a", 1.2), (" b", 1.5)]);
    check("((a) b:1.5)", &[("a", 1.5 * 1.1), (" b", 1.5)]);
    check("((a:1.2))", &[("a", 1.2)]);
    check("(a:b)", &[("a:b", 1.1)]);
    check("(:2)", &[(":2", 1.1)]);
    check("(a: 2 )", &[("a", 2.0)]);
    check("(a:inf)", &[("a:inf", 1.1)]);
    check("[a] BREAK {b}", &[("[a] BREAK {b}", 1.0)]);
    check("", &[("", 1.0)]);
}

#[test]
fn escapes_lose_their_marks() {
    check("\\(a\\) (b \\) c:2)", &[("(a) ", 1.0), ("b ) c", 2.0)]);
    check("a\\b \\[", &[("a\\b \\[", 1.0)]);
}

#[test]
fn an_embedding_is_a_word_with_its_prefix_by_name_or_by_file() {
    let text = |text: &str, weight| Span::Text { text: text.to_owned(), weight };
    let embedding = |name: &str, weight| Span::Embedding { name: name.to_owned(), weight };
    let cases = [
        ("a embedding:soft, film", vec![text("a ", 1.0), embedding("soft", 1.0), text(", film", 1.0)]),
        ("(embedding:film:1.2)", vec![embedding("film", 1.2)]),
        ("(embedding:film)", vec![embedding("film", 1.1)]),
        ("embedding:mine/soft-light.pt,", vec![embedding("soft-light", 1.0), text(",", 1.0)]),
        ("an-embedding:film", vec![text("an-embedding:film", 1.0)]),
        ("embedding: film", vec![embedding("", 1.0), text(" film", 1.0)]),
    ];
    for (prompt, expected) in cases {
        assert_eq!(parse_comfy(prompt), expected, "{prompt:?}");
    }
}

#[test]
fn unbalanced_brackets_are_text_except_a_last_closing_one() {
    check("a (b (c:2) d", &[("a ", 1.0), ("(b (c:2) d", 1.0)]);
    check("((a)", &[("(a", 1.1)]);
    check("a) (b) c", &[("a) (b) c", 1.0)]);
}

#[test]
fn depth_costs_neither_stack_nor_quadratic_time() {
    let start = Instant::now();
    for n in [1_000_000, 64, 65] {
        for prompt in
            ["(".repeat(n) + &")".repeat(n), "(".repeat(n), ")".repeat(n), "(".repeat(2 * n) + &")".repeat(n)]
        {
            parse_comfy(&prompt);
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn any_text_parses_to_finite_weights(prompt in "([()ab1:. \\\\]|embedding:){0,40}|\\PC{0,20}") {
        let spans = parse_comfy(&prompt);
        prop_assert!(!spans.is_empty());
        for span in spans {
            let (Span::Text { weight, .. } | Span::Embedding { weight, .. }) = span else { panic!() };
            prop_assert!(weight.is_finite());
        }
    }
}
