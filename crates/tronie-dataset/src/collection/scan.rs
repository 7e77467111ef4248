//! Folders without metadata: what names and folders say.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use tronie_faces::pictures_below;

use super::{CLASS, Picture, Split, TEXT};
use crate::ExportError;

/// Endings of caption files beside pictures, as kohya's trainer looks for them.
const CAPTION_ENDINGS: [&str; 2] = ["txt", "caption"];
/// Folders that say nothing about the pictures in them.
const SILENT: [&str; 4] = ["images", "image", "data", "img"];

/// Sorted names of the folders in a folder; hidden ones are left out.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, ExportError> {
    let fail = |source| ExportError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether all folders, or all those in folders of splits, are named as kohya's trainer wants it.
pub(super) fn is_kohya(folder: &Path) -> Result<bool, ExportError> {
    let mut names = Vec::new();
    for name in folders(folder)? {
        match Split::from_name(&name) {
            Some(_) => names.extend(folders(&folder.join(&name))?),
            None => names.push(name),
        }
    }
    Ok(!names.is_empty() && names.iter().all(|name| kohya_words(name).is_some()))
}

/// `woman` of `10_woman`.
pub(super) fn kohya_words(name: &str) -> Option<&str> {
    let (repeats, words) = name.split_once('_')?;
    let is_number = !repeats.is_empty() && repeats.chars().all(|c| c.is_ascii_digit());
    (is_number && !words.is_empty()).then_some(words)
}

pub(super) fn read(folder: &Path, is_kohya: bool) -> Result<Vec<Picture>, ExportError> {
    let mut pictures = Vec::new();
    for file_name in pictures_below(folder)? {
        let mut parts: Vec<&str> = file_name.split('/').collect();
        parts.pop();
        let split = parts.first().and_then(|name| Split::from_name(name));
        let parent = parts.last().filter(|name| {
            (split.is_none() || parts.len() > 1) && !SILENT.contains(&name.to_ascii_lowercase().as_str())
        });
        let class = parent.map(|name| kohya_words(name).filter(|_| is_kohya).unwrap_or(name).to_owned());
        let caption = caption(&folder.join(&file_name))?;
        let mut fields = Map::new();
        for (key, value) in [(TEXT, &caption), (CLASS, &class)] {
            fields.extend(value.as_ref().map(|value| (key.to_owned(), Value::from(value.as_str()))));
        }
        let split = split.unwrap_or(Split::Train);
        pictures.push(Picture { split, caption, class, fields, file_name });
    }
    Ok(pictures)
}

/// The text of the file beside a picture.
fn caption(picture: &Path) -> Result<Option<String>, ExportError> {
    let paths = CAPTION_ENDINGS.map(|ending| picture.with_extension(ending));
    let Some(path) = paths.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let text = fs::read_to_string(&path).map_err(|source| ExportError::Read { path, source })?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}
