//! One spelling for the many ways to write a word.

use unicode_normalization::UnicodeNormalization as _;

/// Lower case, compatibility forms as plain ones, no accents, no invisible characters, look-alike letters of other
/// alphabets within Latin words as Latin.
pub(super) fn fold(text: &str) -> String {
    let visible = text.nfkd().filter(|c| !is_invisible(*c) && !is_accent(*c));
    let lower: String = visible.nfc().flat_map(char::to_lowercase).collect();
    // Lower-casing can bring an accent of its own (the Turkish dotted i).
    let lower: String = lower.chars().filter(|c| !is_accent(*c)).collect();
    let pieces = lower.split_inclusive(char::is_whitespace);
    let pieces = pieces.map(|piece| {
        let is_mixed = piece.chars().any(|c| c.is_ascii_alphabetic()) && !piece.is_ascii();
        match is_mixed {
            true => piece.chars().map(latin_look_alike).collect(),
            false => piece.to_owned(),
        }
    });
    pieces.collect()
}

fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Soft hyphen, joiners, direction marks, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e01ef}'
    )
}

fn latin_look_alike(c: char) -> char {
    match c {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'ɡ' => 'g',
        'һ' | 'н' => 'h',
        'і' | 'ι' | 'ı' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'п' | 'η' => 'n',
        'о' | 'ο' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ц' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'ø' => 'o',
        other => other,
    }
}

/// The readings of a folded text, each as words between single spaces with a space at both ends.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let mut spellings = Vec::new();
    // The digit 1 stands for either letter.
    for one in ['i', 'l'] {
        let decoded: String =
            text.split_inclusive(char::is_whitespace).map(|piece| decode_digits(piece, one)).collect();
        for reading in [text, &decoded] {
            spellings.push(words(reading));
            spellings.push(words_without_punctuation(reading));
        }
    }
    let joined: Vec<String> = spellings.iter().map(|reading| join_single_letters(reading)).collect();
    spellings.extend(joined);
    let shortened: Vec<String> =
        spellings.iter().flat_map(|reading| [1, 2].map(|longest| shorten_runs(reading, longest))).collect();
    spellings.extend(shortened);
    spellings.sort_unstable();
    spellings.dedup();
    spellings
}

/// Text as words of letters and digits between single spaces.
pub(super) fn words(text: &str) -> String {
    padded(text.split(|c: char| !c.is_alphanumeric()))
}

/// As [`words`], but only space separates: "nu-de" is one word.
fn words_without_punctuation(text: &str) -> String {
    let pieces = text.split_whitespace();
    let words: Vec<String> =
        pieces.map(|piece| piece.chars().filter(|c| c.is_alphanumeric()).collect()).collect();
    padded(words.iter().map(String::as_str))
}

fn padded<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from(" ");
    for word in words.filter(|word| !word.is_empty()) {
        text.push_str(word);
        text.push(' ');
    }
    text
}

/// Digits and signs that stand for letters, in a piece that has letters too.
fn decode_digits(piece: &str, one: char) -> String {
    if !piece.chars().any(char::is_alphabetic) {
        return piece.to_owned();
    }
    let decode = |c| match c {
        '0' => 'o',
        '1' | '!' | '|' => one,
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' | '6' => 'g',
        other => other,
    };
    piece.chars().map(decode).collect()
}

/// Three or more single letters in a row are one word: " n u d e " is " nude ".
fn join_single_letters(words: &str) -> String {
    let mut text = String::from(" ");
    let mut run: Vec<&str> = Vec::new();
    let flush = |run: &mut Vec<&str>, text: &mut String| {
        let gap = if run.len() >= 3 { "" } else { " " };
        if !run.is_empty() {
            text.push_str(&run.join(gap));
            text.push(' ');
        }
        run.clear();
    };
    for word in words.split_whitespace() {
        if word.chars().nth(1).is_none() {
            run.push(word);
        } else {
            flush(&mut run, &mut text);
            text.push_str(word);
            text.push(' ');
        }
    }
    flush(&mut run, &mut text);
    text
}

/// Three or more of the same letter become `longest`.
fn shorten_runs(words: &str, longest: usize) -> String {
    let mut text = String::with_capacity(words.len());
    let mut run = (' ', 0);
    let mut flush = |(c, n): (char, usize)| {
        let n = if n >= 3 { longest } else { n };
        text.extend(std::iter::repeat_n(c, n));
    };
    for c in words.chars() {
        if c == run.0 {
            run.1 += 1;
        } else {
            flush(run);
            run = (c, 1);
        }
    }
    flush(run);
    text
}
