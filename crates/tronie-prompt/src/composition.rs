//! Several prompts in one: `a cat :1.2 AND a dog :0.8`.
//!
//! Liu et al. 2022 (arXiv:2206.01714); notation of AUTOMATIC1111/stable-diffusion-webui, `modules/prompt_parser.py`.

/// Splits a prompt at the word `AND` (capitals) and reads the weight behind the last colon of each part, 1 when there
/// is none. A prompt without `AND` is one part, and may have a weight too.
///
/// Never empty. Space at the end of a part goes, space at its start stays.
#[must_use]
pub fn split_and(text: &str) -> Vec<(String, f64)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, word) in text.match_indices("AND") {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        if before.is_some_and(is_word_char) || after.is_some_and(is_word_char) {
            continue;
        }
        parts.push(weighted(text.get(start..at).unwrap_or_default()));
        start = at + word.len();
    }
    parts.push(weighted(text.get(start..).unwrap_or_default()));
    parts
}

/// What a regular expression calls `\w`.
pub(crate) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn weighted(part: &str) -> (String, f64) {
    let part = part.trim_end();
    let split = part.rsplit_once(':');
    match split.and_then(|(text, number)| Some((text, plain_number(number.trim_start())?))) {
        Some((text, weight)) => (text.trim_end().to_owned(), weight),
        None => (part.to_owned(), 1.0),
    }
}

/// `1`, `1.`, `.5`, `-1.5`: no exponent, no "inf".
fn plain_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // A number too long for the type would be infinite.
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

#[cfg(test)]
mod tests;
