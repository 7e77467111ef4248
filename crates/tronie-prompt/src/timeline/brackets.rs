//! The bracket structure of a prompt, found in one pass and rendered without recursion.
//!
//! An edit or an emphasis ends at its matching bracket, and everything within must be well-formed too; where it is not,
//! all brackets that are still open are text, and what was well-formed inside them keeps its meaning.

/// An edit of the prompt over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Edit<'a> {
    /// `[a|b]`
    Alternate,
    /// `[a:b:when]`
    Schedule {
        /// The number as written.
        when: &'a str,
    },
}

/// A prompt as a flat list of pieces, read from left to right with jumps over the branches that are not chosen.
#[derive(Debug)]
pub(super) struct Outline<'a>(Vec<Piece<'a>>);

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    /// The opening bracket of an edit, and where each of its branches starts.
    Fork {
        edit: Edit<'a>,
        branches: Vec<usize>,
    },
    /// The end of a branch: go on at this piece.
    Jump(usize),
}

/// An open bracket under way.
struct Frame {
    /// Which piece it is.
    opening: usize,
    is_square: bool,
    /// The `:` and `|` directly within it.
    colons: Vec<usize>,
    pipes: Vec<usize>,
}

impl<'a> Outline<'a> {
    pub(super) fn parse(prompt: &'a str) -> Self {
        let mut pieces = Vec::new();
        let mut open: Vec<Frame> = Vec::new();
        for text in split(prompt) {
            let index = pieces.len();
            pieces.push(Piece::Text(text));
            match text {
                "(" | "[" => open.push(Frame {
                    opening: index,
                    is_square: text == "[",
                    colons: Vec::new(),
                    pipes: Vec::new(),
                }),
                ":" => open.last_mut().into_iter().for_each(|frame| frame.colons.push(index)),
                "|" => open.last_mut().into_iter().for_each(|frame| frame.pipes.push(index)),
                ")" | "]" => {
                    let is_well_formed = open.pop().is_some_and(|frame| {
                        frame.is_square == (text == "]") && frame.close(&mut pieces, index)
                    });
                    if !is_well_formed {
                        open.clear();
                    }
                }
                _ => {}
            }
        }
        Self(pieces)
    }

    /// All edits, each with the number that [`Outline::render`] asks by.
    pub(super) fn edits(&self) -> impl Iterator<Item = (usize, Edit<'a>)> {
        self.0.iter().enumerate().filter_map(|(index, piece)| match piece {
            Piece::Fork { edit, .. } => Some((index, *edit)),
            Piece::Text(_) | Piece::Jump(_) => None,
        })
    }

    /// The text at `step`, counted from 1. `last_step_of` says how long the first branch of a schedule lasts.
    pub(super) fn render(&self, step: u32, last_step_of: impl Fn(usize) -> i64) -> String {
        let mut text = String::new();
        let mut index = 0;
        while let Some(piece) = self.0.get(index) {
            index = match piece {
                Piece::Text(piece) => {
                    text.push_str(piece);
                    index + 1
                }
                Piece::Jump(to) => *to,
                Piece::Fork { edit, branches } => {
                    let chosen = match edit {
                        Edit::Schedule { .. } => usize::from(i64::from(step) > last_step_of(index)),
                        Edit::Alternate => step.saturating_sub(1) as usize % branches.len().max(1),
                    };
                    branches.get(chosen).copied().unwrap_or(index + 1)
                }
            };
        }
        text
    }
}

impl Frame {
    /// Turns an edit into a fork; `false` when what lies between the brackets is neither edit nor emphasis.
    fn close(self, pieces: &mut [Piece<'_>], closing: usize) -> bool {
        if !self.is_square {
            return self.colons.len() <= 1; // (text), (text:weight)
        }
        if self.colons.is_empty() && self.pipes.is_empty() {
            return true; // [text]
        }
        let start = self.opening + 1;
        let (edit, branches, separators) = if self.colons.is_empty() {
            let starts = self.pipes.iter().map(|pipe| pipe + 1);
            let branches = std::iter::once(start).chain(starts).collect();
            (Edit::Alternate, branches, self.pipes)
        } else {
            let Some(when) = self.when(pieces, closing) else {
                return false;
            };
            let branches = match self.colons.as_slice() {
                [second, _] => vec![start, second + 1],
                // No first text: its branch starts where the edit ends.
                _ => vec![closing, start],
            };
            (Edit::Schedule { when }, branches, self.colons)
        };
        for index in separators.into_iter().chain([closing]) {
            set(pieces, index, Piece::Jump(closing + 1));
        }
        set(pieces, self.opening, Piece::Fork { edit, branches });
        true
    }

    /// The number behind the last of one or two colons.
    fn when<'a>(&self, pieces: &[Piece<'a>], closing: usize) -> Option<&'a str> {
        let (&[last] | &[_, last]) = self.colons.as_slice() else {
            return None;
        };
        match pieces.get(last + 1)? {
            Piece::Text(text) if closing == last + 2 => {
                Some(text.trim()).filter(|text| is_signed_number(text))
            }
            Piece::Text(_) | Piece::Fork { .. } | Piece::Jump(_) => None,
        }
    }
}

fn set<'a>(pieces: &mut [Piece<'a>], index: usize, piece: Piece<'a>) {
    if let Some(place) = pieces.get_mut(index) {
        *place = piece;
    }
}

/// Cuts a prompt into single characters of the notation and the runs between them. A backslash takes the character
/// behind it into the run.
fn split(prompt: &str) -> impl Iterator<Item = &str> {
    let mut rest = prompt;
    std::iter::from_fn(move || {
        let mut is_escaped = false;
        let end = rest.find(|c: char| {
            let ends = !is_escaped && matches!(c, '(' | ')' | '[' | ']' | ':' | '|');
            is_escaped = !is_escaped && c == '\\';
            ends
        });
        // All characters of the notation are one byte long.
        let (piece, after) = rest.split_at_checked(end.unwrap_or(rest.len()).max(1))?;
        rest = after;
        Some(piece)
    })
}

/// `3`, `-1`, `.5`, `2.`, `1e2`.
fn is_signed_number(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_mantissa = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    is_mantissa && exponent.is_none_or(|digits| !digits.is_empty() && all_digits(digits))
}
