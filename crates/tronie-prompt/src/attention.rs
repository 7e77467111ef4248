//! How much weight each stretch of a prompt has: `a (smiling:1.3) [blurry] face`.
//!
//! Notation of AUTOMATIC1111/stable-diffusion-webui (`modules/prompt_parser.py`, `parse_prompt_attention`): `(x)` is
//! 1.1, `[x]` is 1/1.1, `(x:1.3)` is 1.3; they multiply; `\(` is a bracket that is text; a bracket that is never closed
//! acts up to the end; one that was never opened is text.

use crate::composition::is_word_char;

/// Weight of one pair of round brackets; square brackets divide by it.
const BRACKET_WEIGHT: f64 = 1.1;

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Span {
    /// Text of one weight. 1 is neutral.
    Text {
        /// The text, brackets and escapes removed. May be empty.
        text: String,
        /// Its weight; finite.
        weight: f32,
    },
    /// An embedding that is named as one, which only ComfyUI's notation does.
    Embedding {
        /// Its name, without folder and ending.
        name: String,
        /// Its weight; finite.
        weight: f32,
    },
    /// The word `BREAK`: what follows starts a new chunk of the text encoder.
    Break,
}

impl Span {
    pub(crate) fn neutral(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), weight: 1.0 }
    }
}

/// Splits a prompt into stretches of equal weight. Never empty; takes time in proportion to the text.
///
/// Two deliberate differences to A1111, both where it goes wrong: `BREAK` stays a break within brackets (there it turns
/// into the word "break" of negative weight), and a weight that is no number (`(x:1.2.3)`) is text (there it fails).
#[must_use]
pub fn parse_attention(text: &str) -> Vec<Span> {
    let tokens = lex(text);
    let roles = pair_up(&tokens);
    let mut spans = Spans::default();
    // Products over the open brackets of each kind, kept apart because kinds may cross: `(a [b) c]`.
    let (mut round, mut square) = (Products::default(), Products::default());
    for (token, role) in tokens.into_iter().zip(roles) {
        let kind = if token.is_square() { &mut square } else { &mut round };
        match role {
            Role::Opens(weight) => kind.push(weight),
            Role::Closes => kind.pop(),
            Role::Text => {
                let weight = bounded(round.top() * square.top());
                match token {
                    Token::Text(text) => spans.push_with_breaks(text, weight),
                    token => spans.push(token.text(), weight),
                }
            }
        }
    }
    spans.finish()
}

/// A piece of the notation, with the text it stands for when it has no other role.
#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Text(&'a str),
    /// What follows a backslash; nothing when that is neither bracket nor backslash.
    Escaped(&'a str),
    Open(&'a str),
    Close(&'a str),
    /// `:1.3)`
    CloseWeighted(&'a str, f64),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text)
            | Self::Escaped(text)
            | Self::Open(text)
            | Self::Close(text)
            | Self::CloseWeighted(text, _) => text,
        }
    }

    fn is_square(self) -> bool {
        matches!(self, Self::Open("[") | Self::Close("]"))
    }
}

fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, n_bytes) = match first {
            '\\' => {
                let after = rest.get(1..2).filter(|c| matches!(*c, "(" | ")" | "[" | "]" | "\\"));
                (Token::Escaped(after.unwrap_or_default()), 1 + after.map_or(0, str::len))
            }
            '(' | '[' => (Token::Open(rest.get(..1).unwrap_or_default()), 1),
            ')' | ']' => (Token::Close(rest.get(..1).unwrap_or_default()), 1),
            ':' => match closing_weight(rest) {
                Some((text, weight)) => (Token::CloseWeighted(text, weight), text.len()),
                None => (Token::Text(":"), 1),
            },
            _ => {
                let end = rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len());
                (Token::Text(rest.get(..end).unwrap_or_default()), end)
            }
        };
        tokens.push(token);
        rest = rest.get(n_bytes..).unwrap_or_default();
    }
    tokens
}

/// Reads `: 1.3 )` at the start of `text`: what it covers, and the number.
fn closing_weight(text: &str) -> Option<(&str, f64)> {
    let number = text.strip_prefix(':')?.trim_start();
    let signless = number.strip_prefix(['+', '-']).unwrap_or(number);
    let after = signless.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = after.trim_start().strip_prefix(')')?;
    let number = number.get(..number.len() - after.len())?;
    let weight = number.parse().ok().filter(|weight: &f64| weight.is_finite())?;
    Some((text.get(..text.len() - rest.len())?, weight))
}

/// What a token does once all brackets are known.
#[derive(Debug, Clone, Copy)]
enum Role {
    Opens(f64),
    Closes,
    Text,
}

fn pair_up(tokens: &[Token<'_>]) -> Vec<Role> {
    let mut roles = vec![Role::Text; tokens.len()];
    let (mut round, mut square) = (Vec::new(), Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        let (open, default) = match token.is_square() {
            true => (&mut square, 1.0 / BRACKET_WEIGHT),
            false => (&mut round, BRACKET_WEIGHT),
        };
        let (role, partner) = match token {
            Token::Text(_) | Token::Escaped(_) => continue,
            Token::Open(_) => {
                open.push(index);
                (Role::Opens(default), None)
            }
            Token::Close(_) => (Role::Closes, open.pop().map(|partner| (partner, default))),
            Token::CloseWeighted(_, weight) => (Role::Closes, open.pop().map(|partner| (partner, *weight))),
        };
        if matches!(role, Role::Closes) && partner.is_none() {
            continue;
        }
        if let Some((opening, (_, weight))) = partner.and_then(|p| Some((roles.get_mut(p.0)?, p))) {
            *opening = Role::Opens(weight);
        }
        if let Some(entry) = roles.get_mut(index) {
            *entry = role;
        }
    }
    roles
}

/// Running products of the open brackets of one kind.
#[derive(Default)]
struct Products(Vec<f64>);

impl Products {
    fn top(&self) -> f64 {
        self.0.last().copied().unwrap_or(1.0)
    }

    fn push(&mut self, weight: f64) {
        self.0.push(bounded(self.top() * weight));
    }

    fn pop(&mut self) {
        self.0.pop();
    }
}

/// Keeps a product within what an `f32` can hold, so that no nesting makes it infinite.
fn bounded(weight: f64) -> f64 {
    weight.clamp(f64::from(f32::MIN), f64::from(f32::MAX))
}

/// The result under construction; neighbours of equal weight are one span, so that they are tokenized together.
#[derive(Default)]
struct Spans(Vec<(String, Option<f64>)>);

impl Spans {
    fn push(&mut self, text: &str, weight: f64) {
        match self.0.last_mut() {
            Some((last, Some(last_weight))) if *last_weight == weight => last.push_str(text),
            _ => self.0.push((text.to_owned(), Some(weight))),
        }
    }

    /// Pushes a text in which the word `BREAK`, with the space around it, is a break.
    fn push_with_breaks(&mut self, text: &str, weight: f64) {
        let mut start = 0;
        for (at, word) in text.match_indices("BREAK") {
            let before = text.get(start..at).unwrap_or_default();
            let after = text.get(at + word.len()..).unwrap_or_default();
            let previous = text.get(..at).and_then(|text| text.chars().next_back());
            if previous.is_some_and(is_word_char) || after.chars().next().is_some_and(is_word_char) {
                continue;
            }
            self.push(before.trim_end(), weight);
            self.0.push((String::new(), None));
            start = text.len() - after.trim_start().len();
        }
        self.push(text.get(start..).unwrap_or_default(), weight);
    }

    #[expect(clippy::cast_possible_truncation, reason = "weights are kept within the range of f32")]
    fn finish(self) -> Vec<Span> {
        if self.0.is_empty() {
            return vec![Span::neutral("")];
        }
        let spans = self.0.into_iter().map(|(text, weight)| match weight {
            Some(weight) => Span::Text { text, weight: weight as f32 },
            None => Span::Break,
        });
        spans.collect()
    }
}

#[cfg(test)]
mod tests;
