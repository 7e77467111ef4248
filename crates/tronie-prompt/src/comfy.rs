//! ComfyUI's notation of weights (`comfy/sd1_clip.py`): facts, in words of our own.
//!
//! - `(x)` multiplies by 1.1; `(x:1.3)` sets 1.3 and forgets the weight around it;
//! - `\(` and `\)` are text; no other backslash is special; square brackets and `BREAK` are text;
//! - a word `embedding:name` names a textual-inversion embedding, also by its file (`embedding:folder/name.pt`) and with
//!   commas behind it; other words never do;
//! - an unclosed bracket makes all that follows one text, except that a `)` at the very end still closes it.

use crate::attention::Span;

const BRACKET_WEIGHT: f32 = 1.1;
const EMBEDDING: &str = "embedding:";
/// Endings of embedding files that may be left out of their names.
const ENDINGS: [&str; 3] = [".safetensors", ".pt", ".bin"];
/// Brackets nested deeper are text: 1.1^64 is 445. (The reference ends in an error of its interpreter near 1000.)
const MAX_DEPTH: u32 = 64;

/// Splits a prompt into stretches of equal weight. Never empty.
pub(crate) fn parse_comfy(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    weigh(text, 1.0, MAX_DEPTH, &mut spans);
    if spans.is_empty() {
        spans.push(Span::neutral(""));
    }
    spans
}

fn weigh(text: &str, current: f32, depth_left: u32, spans: &mut Vec<Span>) {
    for group in groups(text) {
        let inner = group.strip_prefix('(').and_then(|group| group.strip_suffix(')'));
        match inner.filter(|_| depth_left > 0) {
            Some(inner) => {
                let (inner, weight) = match own_weight(inner) {
                    Some((inner, weight)) => (inner, weight),
                    None => (inner, (current * BRACKET_WEIGHT).clamp(f32::MIN, f32::MAX)),
                };
                weigh(inner, weight, depth_left - 1, spans);
            }
            None => read_plain(group, current, spans),
        }
    }
}

/// `x:1.3` -> (x, 1.3).
fn own_weight(inner: &str) -> Option<(&str, f32)> {
    let (text, number) = inner.rsplit_once(':').filter(|split| !split.0.is_empty())?;
    let weight = number.trim().parse().ok().filter(|weight: &f32| weight.is_finite())?;
    Some((text, weight))
}

/// Cuts a text into its outermost bracketed groups and what lies between them.
fn groups(text: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let (mut start, mut nesting) = (0, 0_i64);
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        // The reference hides `\(` and `\)` before it looks at anything; a double backslash escapes as well.
        let was_escaped = std::mem::replace(&mut is_escaped, byte == b'\\');
        let cut = match byte {
            b'(' if !was_escaped => {
                nesting += 1;
                (nesting == 1).then_some(at)
            }
            b')' if !was_escaped => {
                nesting -= 1;
                (nesting == 0).then_some(at + 1)
            }
            _ => None,
        };
        if let Some(end) = cut {
            groups.extend(text.get(start..end));
            start = end;
        }
    }
    groups.extend(text.get(start..));
    groups.retain(|group| !group.is_empty());
    groups
}

/// Text without brackets: removes escapes and finds the embeddings.
fn read_plain(group: &str, weight: f32, spans: &mut Vec<Span>) {
    let mut text = String::new();
    for word in group.replace("\\)", ")").replace("\\(", "(").split_inclusive([' ', '\n']) {
        let Some(name) = word.strip_prefix(EMBEDDING) else {
            text.push_str(word);
            continue;
        };
        let (name, behind) = name.split_at(name.trim_end_matches([',', ' ', '\n']).len());
        if !text.is_empty() {
            spans.push(Span::Text { text: std::mem::take(&mut text), weight });
        }
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
        spans.push(Span::Embedding { name: stem.to_owned(), weight });
        text.push_str(behind);
    }
    if !text.is_empty() {
        spans.push(Span::Text { text, weight });
    }
}

#[cfg(test)]
mod tests;
