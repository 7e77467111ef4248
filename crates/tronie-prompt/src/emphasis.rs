//! How weights in a prompt are read and meant to act.

use serde::{Deserialize, Serialize};

use crate::attention::{Span, parse_attention};
use crate::comfy::parse_comfy;

/// How a prompt's brackets act. This crate only reads them; the text encoder's output is changed elsewhere.
///
/// A1111: `modules/sd_emphasis.py`; ComfyUI: `comfy/sd1_clip.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emphasis {
    /// A1111's default: multiply each token's vector by its weight, then restore the mean of the whole tensor.
    #[default]
    Original,
    /// A1111's "No norm": multiply only.
    NoNorm,
    /// ComfyUI: move each token's vector away from that of the empty prompt. Its own grammar: only round brackets, and
    /// `(x:1.3)` is 1.3 whatever surrounds it.
    Comfy,
    /// Brackets are read and removed, weights do nothing.
    Ignore,
    /// Brackets are text, and so is `BREAK`.
    None,
}

impl Emphasis {
    /// Every kind, in the order menus show them.
    pub const ALL: [Self; 5] = [Self::Original, Self::NoNorm, Self::Comfy, Self::Ignore, Self::None];

    /// Splits a prompt by this kind's grammar. Never empty.
    #[must_use]
    pub fn parse(self, text: &str) -> Vec<Span> {
        match self {
            Self::Original | Self::NoNorm => parse_attention(text),
            Self::Comfy => parse_comfy(text),
            Self::Ignore => {
                let mut spans = parse_attention(text);
                for span in &mut spans {
                    if let Span::Text { weight, .. } = span {
                        *weight = 1.0;
                    }
                }
                spans
            }
            Self::None => vec![Span::neutral(text)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_snake_case_and_permanent() {
        let ids = Emphasis::ALL.map(|kind| serde_json::to_string(&kind).unwrap());
        let expected = ["original", "no_norm", "comfy", "ignore", "none"].map(|id| format!("\"{id}\""));
        assert_eq!(ids, expected);
    }

    #[test]
    fn each_kind_reads_the_same_prompt_in_its_own_way() {
        let text = |text: &str, weight| Span::Text { text: text.to_owned(), weight };
        let prompt = "(a:2) BREAK [b]";
        let original = vec![text("a", 2.0), text("", 1.0), Span::Break, text("", 1.0), text("b", 0.909_090_94)];
        assert_eq!(Emphasis::Original.parse(prompt), original);
        assert_eq!(Emphasis::NoNorm.parse(prompt), original);
        let ignored = [text("a", 1.0), text("", 1.0), Span::Break, text("", 1.0), text("b", 1.0)];
        assert_eq!(Emphasis::Ignore.parse(prompt), ignored);
        assert_eq!(Emphasis::None.parse(prompt), [text(prompt, 1.0)]);
        assert_eq!(Emphasis::Comfy.parse(prompt), [text("a", 2.0), text(" BREAK [b]", 1.0)]);
    }
}
