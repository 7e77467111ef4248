//! Which of a folder's weight files is opened: safetensors before `.bin`, the plain one before its variants (`fp16`).

use crate::layout::Part;

/// How good a choice a file is; the smallest wins.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    is_pickle: bool,
    variant_rank: usize,
    variant: &'a str,
    is_sharded: bool,
}

/// Variants in order of preference; "" is none. The rest comes after them: `non_ema` and the like are for training.
const VARIANTS: [&str; 3] = ["", "fp16", "bf16"];

/// The best of the files in a part's folder; `None` when none holds its weights.
pub(super) fn weights(part: Part, names: &[String]) -> Option<&str> {
    // transformers' own name for pickled weights
    let stems = [part.file_stem(), "pytorch_model"];
    let ranked = names.iter().filter_map(|name| {
        let mut ranks = stems.iter().filter_map(|stem| rank(name.strip_prefix(stem)?));
        Some((ranks.next()?, name.as_str()))
    });
    ranked.min().map(|(_, name)| name)
}

/// `.safetensors`, `.fp16.safetensors`, `.bin`, `.safetensors.index.json`, `.safetensors.index.fp16.json`, ...
fn rank(rest: &str) -> Option<Rank<'_>> {
    let words: Vec<&str> = rest.strip_prefix('.')?.split('.').collect();
    let (variant, format, is_sharded) = match *words {
        [format] => ("", format, false),
        [variant, format] => (variant, format, false),
        [format, "index", "json"] => ("", format, true),
        [format, "index", variant, "json"] | [variant, format, "index", "json"] => (variant, format, true),
        _ => return None,
    };
    // `.fp16-00001-of-00002.safetensors` is a piece; its index is the file to open
    let is_piece = variant.contains("-of-");
    let is_pickle = match format {
        "safetensors" => false,
        "bin" if !is_sharded => true,
        _ => return None,
    };
    let known = VARIANTS.iter().position(|known| *known == variant);
    (!is_piece).then_some(Rank {
        is_pickle,
        variant_rank: known.unwrap_or(VARIANTS.len()),
        variant,
        is_sharded,
    })
}
