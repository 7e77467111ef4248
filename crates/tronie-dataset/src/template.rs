//! Prompt templates: text with `{slots}`.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(String),
}

/// Text with named slots. `{{` and `}}` stand for single braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// `Err` is the byte position of a brace that opens or closes nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut characters = text.char_indices().peekable();
        while let Some((position, character)) = characters.next() {
            match character {
                '{' | '}' if characters.next_if(|&(_, next)| next == character).is_some() => {
                    plain.push(character)
                }
                '{' => {
                    let rest = text.get(position + 1..).unwrap_or_default();
                    let (name, _) = rest.split_once('}').ok_or(position)?;
                    if name.is_empty() || name.contains('{') {
                        return Err(position);
                    }
                    // The name and its closing brace are done.
                    characters.by_ref().take(name.chars().count() + 1).for_each(drop);
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Slot(name.to_owned()));
                }
                '}' => return Err(position),
                _ => plain.push(character),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces })
    }

    /// The names of the slots, in order, repeated when used repeatedly.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with every slot filled, tidied.
    pub(crate) fn fill<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> String {
        let filled = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Slot(name) => value_of(name),
        });
        tidy(&filled.collect::<String>())
    }
}

/// What empty slots leave behind is removed: empty parts between commas, and spaces next to spaces.
pub(crate) fn tidy(text: &str) -> String {
    let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.split(',').map(words).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_and_braces_can_be_written() {
        let template = Template::parse("a {sex}, {{x}} ({age}:1.2) {sex}").unwrap();
        assert_eq!(template.slots().collect::<Vec<_>>(), ["sex", "age", "sex"]);
        let filled = template.fill(|name| if name == "sex" { "man" } else { "30" });
        assert_eq!(filled, "a man, {x} (30:1.2) man");
    }

    #[test]
    fn empty_slots_leave_no_trace() {
        let template = Template::parse("a {hair} man, {light}, photo,").unwrap();
        assert_eq!(template.fill(|_| ""), "a man, photo");
    }

    #[test]
    fn stray_braces_are_found() {
        for (text, expected) in [("a {b", 2), ("a} b", 1), ("{}", 0), ("{a{b}}", 0)] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }
}
