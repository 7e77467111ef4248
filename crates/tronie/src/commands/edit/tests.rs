use super::*;

#[test]
fn shares_are_an_end_or_a_start_and_an_end() {
    assert_eq!(parse_interval("0.8"), Ok([0.0, 0.8]));
    assert_eq!(parse_interval("0.1..0.8"), Ok([0.1, 0.8]));
    assert!(parse_interval("most").unwrap_err().starts_with("most: expected a share"));
}

#[test]
fn words_come_with_a_number() {
    assert_eq!(parse_weight("a=b=2"), Ok(("a=b".to_owned(), 2.0)));
    assert_eq!(parse_weight("smile=-1.5"), Ok(("smile".to_owned(), -1.5)));
    assert_eq!(parse_word_interval("old=0.2..0.5"), Ok(("old".to_owned(), [0.2, 0.5])));
    assert!(parse_weight("=2").unwrap_err().contains("expected WORD=NUMBER"));
    assert!(parse_weight("smile=much").unwrap_err().starts_with("much: expected a number"));
}
