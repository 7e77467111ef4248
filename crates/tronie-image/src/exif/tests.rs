use super::*;

#[test]
fn short_texts_sit_inside_their_entry() {
    let block = write(None, Some("a:b"));
    assert_eq!(block.len(), 8 + 2 + 12 + 4);
    assert_eq!(read(&block), [("a".to_owned(), "b".to_owned())]);
}

#[test]
fn a_description_without_a_key_keeps_its_own_name() {
    let cases = [
        ("Sunset: a view", vec![("Sunset", " a view")]),
        ("a view from here: nice", vec![("ImageDescription", "a view from here: nice")]),
        ("", vec![]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> =
            expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(read(&write(None, Some(text))), expected, "{text}");
    }
}

#[test]
fn offsets_that_point_nowhere_are_left_out() {
    let mut block = write(Some("hello there"), None);
    // The offset of the UserComment's value
    block[34 + 2..34 + 6].fill(0xff);
    assert_eq!(read(&block), []);
    assert_eq!(read(b"MM\0\x2a\xff\xff\xff\xff"), []);
    assert_eq!(read(b""), []);
}
