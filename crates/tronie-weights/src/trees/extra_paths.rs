//! `extra_model_paths.yaml`: other people's trees that `ComfyUI` also looks into.
//!
//! The file is a list of trees, each with a `base_path` and, per kind, one folder or a block of folders. That much YAML is
//! read here: two levels of `key: value`, quotes, comments and `|` blocks. A YAML library would read the same and bring
//! anchors, tags and a parser for them.

use std::fs;
use std::path::{Path, PathBuf};

use super::walk::kind_of;
use crate::detect::Kind;

/// The folders a file names; none when there is no such file.
pub(super) fn read(path: &Path) -> Vec<(PathBuf, Kind)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    parse(&text, path.parent().unwrap_or(Path::new("")))
}

/// One tree of the file.
#[derive(Default)]
struct Tree {
    base: PathBuf,
    folders: Vec<(String, Kind)>,
}

impl Tree {
    fn resolved(self, beside: &Path) -> impl Iterator<Item = (PathBuf, Kind)> {
        // An absolute path replaces what it is joined to.
        let base = beside.join(self.base);
        self.folders.into_iter().map(move |(folder, kind)| (base.join(folder), kind))
    }
}

fn parse(text: &str, beside: &Path) -> Vec<(PathBuf, Kind)> {
    let mut found = Vec::new();
    let mut tree = Tree::default();
    // The key and indent of a `|` block that is being read.
    let mut block: Option<(Option<Kind>, usize)> = None;
    for line in text.lines() {
        let bare = without_comment(line);
        let content = bare.trim();
        if content.is_empty() {
            continue;
        }
        let indent = bare.len() - bare.trim_start().len();
        if let Some((kind, outside)) = block {
            if indent > outside {
                tree.folders.extend(kind.map(|kind| (unquoted(content), kind)));
                continue;
            }
            block = None;
        }
        let Some((key, value)) = content.split_once(':') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        match (indent, value) {
            (0, _) => found.extend(std::mem::take(&mut tree).resolved(beside)),
            (_, "|" | "|-" | "|+" | ">" | ">-") => block = Some((kind_of(key), indent)),
            (_, "") => {}
            (_, value) if key == "base_path" => tree.base = PathBuf::from(unquoted(value)),
            (_, value) => tree.folders.extend(kind_of(key).map(|kind| (unquoted(value), kind))),
        }
    }
    found.extend(tree.resolved(beside));
    found
}

/// A line up to a `#` that begins a comment.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    };
    let comment = line.match_indices('#').find(begins);
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

fn unquoted(value: &str) -> String {
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    quoted.unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trees_of_an_example_file_are_found() {
        // as in ComfyUI's own extra_model_paths.yaml.example
        let text = "\
#Rename this to extra_model_paths.yaml and ComfyUI will load it
a111:
    base_path: path/to/webui/

    checkpoints: models/Stable-diffusion # the usual place
    configs: models/Stable-diffusion
    loras: |
         models/Lora
         models/LyCORIS
    embeddings: \"em beddings\"
#other_ui:
#    checkpoints: models
second:
    is_default: true
    base_path: '/abs#olute'
    vae: vae
";
        let expected = [
            ("/here/path/to/webui/models/Stable-diffusion", Kind::Checkpoint),
            ("/here/path/to/webui/models/Lora", Kind::Lora),
            ("/here/path/to/webui/models/LyCORIS", Kind::Lora),
            ("/here/path/to/webui/em beddings", Kind::Embedding),
            ("/abs#olute/vae", Kind::Vae),
        ];
        let expected: Vec<(PathBuf, Kind)> = expected.map(|(path, kind)| (path.into(), kind)).into();
        assert_eq!(parse(text, Path::new("/here")), expected);
    }
}
