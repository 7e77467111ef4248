//! The `parameters` text that Stable Diffusion web interfaces put into pictures and read back.
//!
//! ```text
//! a portrait of a woman, (freckles:1.2)
//! Negative prompt: blurry
//! Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1, Size: 512x512, Model: some_model, Version: v1.10.1
//! ```
//!
//! Reference: AUTOMATIC1111/stable-diffusion-webui, `modules/infotext_utils.py` (the pattern, quoting, and the rule
//! of three matches) and `modules/processing.py`, `create_infotext` (the order of the parts). One thing differs on
//! purpose: the reference strips every line of a prompt when reading, which changes no token; here the lines stay as
//! they are, so that a text that is read and written again is the same bytes.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// One field of the last line: `Key: value`, the value quoted or up to the next comma.
const FIELD_PATTERN: &str = r#"\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)"#;
/// Fewer fields than this on the last line, and it belongs to the prompt.
const MIN_FIELDS: usize = 3;
const NEGATIVE_PROMPT: &str = "Negative prompt:";

static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant that every test of this file compiles")]
    Regex::new(FIELD_PATTERN).expect("the pattern is valid")
});

/// What a `parameters` text says.
///
/// [`Infotext::parse`] undoes `to_string` unless
/// - the prompt begins with white space, has a line that begins with `Negative prompt:`, or without negative prompt
///   and fields ends with white space or with a line of three fields (as the negative prompt then may not either);
/// - there are one or two fields, which by the rule of three belong to the prompt;
/// - a key is not a word character followed by one or more of word characters, space, `-` and `/`, or is equal to
///   its value, in which case only the key is written;
/// - a value begins with white space or a quotation mark, or is the last one and ends with white space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Infotext {
    /// The prompt, of any number of lines.
    pub prompt: String,
    /// The negative prompt, empty when there was none.
    pub negative_prompt: String,
    /// (key, value) in the order of the text, for example ("Steps", "20").
    pub fields: Vec<(String, String)>,
}

impl Infotext {
    /// Reads any text. One without a line of fields is all prompt.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (prompts, fields) = match text.rsplit_once('\n') {
            _ if text.is_empty() => ("", Vec::new()),
            Some((before, last)) => match fields_of(last) {
                Some(fields) => (before, fields),
                None => (text, Vec::new()),
            },
            None => match fields_of(text) {
                Some(fields) => ("", fields),
                None => (text, Vec::new()),
            },
        };
        let (prompt, negative_prompt) = split_prompts(prompts);
        Self { prompt, negative_prompt, fields }
    }

    /// The value of the last field with this key, which is the one the reference keeps.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut fields = self.fields.iter().rev();
        fields.find(|field| field.0 == key).map(|field| field.1.as_str())
    }
}

impl fmt::Display for Infotext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.prompt.clone();
        if !self.negative_prompt.is_empty() {
            text.push_str(&format!("\n{NEGATIVE_PROMPT} {}", self.negative_prompt));
        }
        let fields = self.fields.iter().map(|(key, value)| match key == value {
            true => key.clone(),
            false => format!("{key}: {}", quoted(value)),
        });
        text.push('\n');
        text.push_str(&fields.collect::<Vec<_>>().join(", "));
        f.write_str(text.trim())
    }
}

/// The fields of a line, `None` when there are too few for it to be a line of fields.
fn fields_of(line: &str) -> Option<Vec<(String, String)>> {
    let fields = FIELD.captures_iter(line).map(|captures| {
        let (_, [key, value]) = captures.extract();
        (key.to_owned(), unquoted(value))
    });
    let fields: Vec<_> = fields.collect();
    (fields.len() >= MIN_FIELDS).then_some(fields)
}

/// Every line from the first `Negative prompt:` on is negative; that prefix and one space after it are dropped from
/// any line that has it.
fn split_prompts(text: &str) -> (String, String) {
    let mut prompt: Vec<&str> = Vec::new();
    let mut negative: Option<Vec<&str>> = None;
    for line in text.split('\n') {
        if let Some(rest) = line.trim_start().strip_prefix(NEGATIVE_PROMPT) {
            negative.get_or_insert_default().push(rest.strip_prefix(' ').unwrap_or(rest));
        } else if let Some(negative) = &mut negative {
            negative.push(line);
        } else {
            prompt.push(line);
        }
    }
    (prompt.join("\n"), negative.unwrap_or_default().join("\n"))
}

/// A value as it is written: as a JSON string when a comma, colon or line break would end it early.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        return serde_json::Value::from(value).to_string();
    }
    value.to_owned()
}

/// A value as it was meant. What only looks like a JSON string is kept as it stands.
fn unquoted(value: &str) -> String {
    let is_quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    match serde_json::from_str(value) {
        Ok(serde_json::Value::String(text)) if is_quoted => text,
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
