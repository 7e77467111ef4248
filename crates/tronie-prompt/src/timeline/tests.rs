use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn entries(prompt: &str, pass: Pass) -> Vec<(u32, String)> {
    let timeline = Timeline::parse(prompt, pass);
    timeline.entries().map(|(until, text)| (until, text.to_owned())).collect()
}

#[track_caller]
fn check(prompt: &str, pass: Pass, expected: &[(u32, &str)]) {
    let expected: Vec<(u32, String)> =
        expected.iter().map(|(until, text)| (*until, (*text).to_owned())).collect();
    assert_eq!(entries(prompt, pass), expected, "{prompt:?}");
}

fn hires(n_steps: u32, n_hires_steps: u32, rules: TimelineRules) -> Pass {
    Pass { n_steps, n_hires_steps: Some(n_hires_steps), rules }
}

/// The doctests of A1111 v1.10.1, `modules/prompt_parser.py`, at 10 steps.
#[test]
fn the_published_schedules_come_out() {
    for (prompt, expected) in [
        ("test", &[(10_u32, "test")] as &[(u32, &str)]),
        ("a [b:3]", &[(3, "a "), (10, "a b")]),
        ("a [b: 3]", &[(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", &[(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", &[(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", &[(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", &[(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", &[(10, "a [unbalanced")]),
        ("a [b:.5] c", &[(5, "a  c"), (10, "a b c")]),
        ("a [{b|d{:.5] c", &[(5, "a  c"), (10, "a {b|d{ c")]),
        ("((a][:b:c [d:3]", &[(3, "((a][:b:c "), (10, "((a][:b:c d")]),
    ] {
        check(prompt, Pass::first(10), expected);
    }
}

#[test]
fn the_published_alternations_come_out() {
    for (prompt, turns) in [
        ("[a|(b:1.1)]", &["a", "(b:1.1)"] as &[&str]),
        ("[fe|]male", &["female", "male"]),
        ("[fe|||]male", &["female", "male", "male", "male"]),
    ] {
        let expected: Vec<(u32, &str)> = (1..=10).zip(turns.iter().copied().cycle()).collect();
        check(prompt, Pass::first(10), &expected);
    }
}

#[test]
fn the_published_hires_schedules_come_out() {
    let pass = hires(10, 10, TimelineRules::Current);
    check("a [b:.5] c", pass, &[(10, "a b c")]);
    check("a [b:1.5] c", pass, &[(5, "a  c"), (10, "a b c")]);
}

/// What A1111's grammar makes of these at 10 steps, computed with it.
#[test]
fn corner_cases_follow_the_grammar() {
    for (prompt, expected) in [
        ("", &[(10_u32, "")] as &[(u32, &str)]),
        (
            "[[a|b]:9]",
            &[(1, ""), (2, ""), (3, ""), (4, ""), (5, ""), (6, ""), (7, ""), (8, ""), (9, ""), (10, "b")],
        ),
        ("[a:b]", &[(10, "[a:b]")]),
        ("[a:b:c]", &[(10, "[a:b:c]")]),
        ("[a:b:c:3]", &[(10, "[a:b:c:3]")]),
        ("(a:b:c)", &[(10, "(a:b:c)")]),
        ("[a:3", &[(10, "[a:3")]),
        ("a [b:3] (c", &[(3, "a  (c"), (10, "a b (c")]),
        ("x) [b:3]", &[(3, "x) "), (10, "x) b")]),
        ("(x [b:3]", &[(3, "(x "), (10, "(x b")]),
        ("[a:b:-1]", &[(10, "b")]),
        ("[a:b:1e1]", &[(10, "a")]),
        ("[a:b:+2]", &[(2, "a"), (10, "b")]),
        ("[a:b:2.]", &[(10, "a")]),
        ("[a:b:2.5e-1]", &[(2, "a"), (10, "b")]),
        ("[:b:3]", &[(3, ""), (10, "b")]),
        ("[::3]", &[(3, ""), (10, "")]),
        ("[a::3]", &[(3, "a"), (10, "")]),
        ("[:3]", &[(3, ""), (10, "")]),
        ("[b:3 ]", &[(3, ""), (10, "b")]),
        ("[b:3x]", &[(10, "[b:3x]")]),
        ("[3]", &[(10, "[3]")]),
        ("\\[a:b:3\\]", &[(10, "\\[a:b:3\\]")]),
        ("[a\\:b:3]", &[(3, ""), (10, "a\\:b")]),
        ("[a:\\]", &[(10, "[a:\\]")]),
        ("[a:(b:c:3]", &[(10, "[a:(b:c:3]")]),
        ("[ [x:y:2] : 3]", &[(2, ""), (3, ""), (10, " y ")]),
        ("[a:b:3][c", &[(3, "a[c"), (10, "b[c")]),
        ("[[a:b:3]", &[(3, "[a"), (10, "[b")]),
        ("[a:b:3]]", &[(3, "a]"), (10, "b]")]),
        ("(a:1.2) [c:d:3] :e", &[(3, "(a:1.2) c :e"), (10, "(a:1.2) d :e")]),
        ("[a\n:b\n:\n4\n]", &[(4, "a\n"), (10, "b\n")]),
    ] {
        check(prompt, Pass::first(10), expected);
    }
}

#[test]
fn a_pipe_outside_of_an_alternation_is_text() {
    check("a|b [c:d:3]", Pass::first(10), &[(3, "a|b c"), (10, "a|b d")]);
    check("[(a|b):3]", Pass::first(10), &[(3, ""), (10, "(a|b)")]);
    check("[a:b|c]", Pass::first(10), &[(10, "[a:b|c]")]);
}

#[test]
fn rules_before_1_6_read_small_numbers_as_fractions_and_ignore_the_pass() {
    let first = Pass { rules: TimelineRules::Before16, ..Pass::first(10) };
    check("[a:b:3.7]", first, &[(3, "a"), (10, "b")]);
    check("[a:b:0]", first, &[(10, "b")]);
    check("[a:b:.5]", first, &[(5, "a"), (10, "b")]);
    check("[a:b:.5]", hires(10, 6, TimelineRules::Before16), &[(5, "a"), (10, "b")]);
    check("[a:b:13]", hires(10, 6, TimelineRules::Current), &[(3, "a"), (6, "b")]);
    check("[a:b:3.7]", Pass::first(10), &[(10, "a")]);
}

#[test]
fn each_distinct_text_is_listed_once_and_found_by_model_call() {
    let timeline = Timeline::parse("[a|b]", Pass::first(20));
    assert_eq!(timeline.texts(), ["a", "b"]);
    let calls: Vec<usize> = (0..5).map(|call| timeline.text_index_at(call)).collect();
    assert_eq!(calls, [0, 0, 1, 0, 1]);
    let timeline = Timeline::parse("[a:b:3]", Pass::first(10));
    let calls: Vec<usize> = (0..10).map(|call| timeline.text_index_at(call)).collect();
    assert_eq!(calls, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(timeline.text_index_at(u32::MAX), 1);
}

#[test]
fn numbers_beyond_all_steps_are_the_last_step() {
    check("[a:b:99999999999999999999999999]", Pass::first(10), &[(10, "a")]);
    check("[a:b:1e999]", Pass::first(10), &[(10, "a")]);
    check("[a:b:-1e999]", Pass::first(10), &[(10, "b")]);
    check("[a:b:1]", Pass::first(0), &[(0, "a")]);
}

#[test]
fn depth_and_length_cost_neither_stack_nor_quadratic_time() {
    let start = Instant::now();
    for prompt in [
        "[".repeat(1_000_000),
        "(".repeat(1_000_000) + &")".repeat(1_000_000),
        "[".repeat(1_000_000) + &":1]".repeat(1_000_000),
        "[a:".repeat(1_000_000) + &"b:1]".repeat(1_000_000),
        "[a:b:1]".repeat(500_000),
        "a:b|c".repeat(1_000_000),
        "([)]".repeat(1_000_000),
    ] {
        Timeline::parse(&prompt, Pass::first(2));
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn any_text_parses_and_the_last_entry_ends_the_pass(prompt in "[\\[\\]():|ab0-9. \\\\]{0,40}", n_steps in 1_u32..30) {
        let entries = entries(&prompt, Pass::first(n_steps));
        prop_assert_eq!(entries.last().unwrap().0, n_steps);
        prop_assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn text_without_matched_square_brackets_is_literal(prompt in "[\\[():|ab0-9. \\\\]{0,40}|[\\]():|ab0-9. \\\\]{0,40}|\\PC{0,20}") {
        prop_assume!(!(prompt.contains('[') && prompt.contains(']')));
        prop_assert_eq!(entries(&prompt, Pass::first(10)), [(10, prompt)]);
    }
}
