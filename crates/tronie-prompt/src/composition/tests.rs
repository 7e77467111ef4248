use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &[(&str, f64)]) {
    let expected: Vec<(String, f64)> =
        expected.iter().map(|&(text, weight)| (text.to_owned(), weight)).collect();
    assert_eq!(split_and(text), expected, "{text:?}");
}

#[test]
fn parts_and_their_weights_come_apart() {
    check("a cat", &[("a cat", 1.0)]);
    check(
        "a cat :1.2 AND a dog AND a penguin : 2.2 ",
        &[("a cat", 1.2), (" a dog", 1.0), (" a penguin", 2.2)],
    );
    check("a:.5AND b:-1.", &[("a:.5AND b", -1.0)]);
    check("a:.5 AND b:+3", &[("a", 0.5), (" b", 3.0)]);
    check("AND", &[("", 1.0), ("", 1.0)]);
    check("(a:1.2) AND b:c", &[("(a:1.2)", 1.0), (" b:c", 1.0)]);
    check("a:b:2", &[("a:b", 2.0)]);
    check("BAND ANDROID and _AND", &[("BAND ANDROID and _AND", 1.0)]);
    check("", &[("", 1.0)]);
}

#[test]
fn what_is_no_plain_number_is_text() {
    for text in ["a:1e3", "a:inf", "a:1.2.3", "a:", "a:.", "a:+", "a:1,5"] {
        check(text, &[(text, 1.0)]);
    }
    let long = format!("a:{}", "9".repeat(400));
    check(&long, &[(&long, 1.0)]);
}

proptest! {
    #[test]
    fn any_text_has_at_least_one_part_of_finite_weight(text in "[AND:.0-9 +-]{0,40}|\\PC{0,20}") {
        let parts = split_and(&text);
        prop_assert!(!parts.is_empty());
        prop_assert!(parts.iter().all(|part| part.1.is_finite()));
    }
}
