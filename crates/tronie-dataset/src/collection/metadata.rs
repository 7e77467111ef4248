//! `metadata.jsonl` and `metadata.csv`, as Hugging Face's imagefolder reads them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::{CAPTION_KEYS, CLASS, FILE_NAME, METADATA_CSV, Picture, SPLIT, Split, scan};
use crate::ExportError;
use crate::folder::METADATA;

/// The metadata files of a folder: its own, or those in its folders of splits.
pub(super) fn files(folder: &Path) -> Result<Vec<(PathBuf, Option<Split>)>, ExportError> {
    let here = |folder: &Path, split: Option<Split>| {
        let paths = [METADATA, METADATA_CSV].map(|name| folder.join(name));
        paths.into_iter().find(|path| path.is_file()).map(|path| (path, split))
    };
    if let Some(own) = here(folder, None) {
        return Ok(vec![own]);
    }
    let folders = scan::folders(folder)?;
    let splits = folders.iter().filter_map(|name| Split::from_name(name).map(|split| (name, split)));
    Ok(splits.filter_map(|(name, split)| here(&folder.join(name), Some(split))).collect())
}

pub(super) fn read_all(folder: &Path) -> Result<Vec<Picture>, ExportError> {
    let mut pictures = Vec::new();
    for (path, split) in files(folder)? {
        pictures.extend(read(folder, &path, split)?);
    }
    Ok(pictures)
}

/// The pictures of one metadata file; their names are relative to the folder it is in.
pub(super) fn read(folder: &Path, path: &Path, split: Option<Split>) -> Result<Vec<Picture>, ExportError> {
    let rows = match path.extension() {
        Some(extension) if extension == "csv" => csv_rows(path)?,
        _ => json_rows(path)?,
    };
    let parent = path.parent().unwrap_or(folder);
    let prefix = parent.strip_prefix(folder).unwrap_or(Path::new(""));
    let prefix = if prefix.as_os_str().is_empty() {
        String::new()
    } else {
        format!("{}/", prefix.to_string_lossy().replace('\\', "/"))
    };
    let mut seen = BTreeSet::new();
    let mut pictures = Vec::with_capacity(rows.len());
    for (line, row) in (1..).zip(rows) {
        let bad = |found: String| ExportError::BadName { path: path.to_owned(), line, found };
        let name = row.get(FILE_NAME).and_then(Value::as_str).unwrap_or_default();
        let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !is_below || name.contains('\\') {
            return Err(bad(name.to_owned()));
        }
        let file_name = format!("{prefix}{name}");
        if !seen.insert(file_name.clone()) {
            return Err(ExportError::Repeated { path: path.to_owned(), line, found: file_name });
        }
        if !folder.join(&file_name).is_file() {
            return Err(ExportError::MissingPicture { path: path.to_owned(), line, found: file_name });
        }
        pictures.push(picture(file_name, row, split));
    }
    Ok(pictures)
}

fn picture(file_name: String, mut fields: Map<String, Value>, split: Option<Split>) -> Picture {
    fields.shift_remove(FILE_NAME);
    let named = fields.get(SPLIT).and_then(Value::as_str).and_then(Split::from_name);
    if named.is_some() {
        fields.shift_remove(SPLIT);
    }
    let at_top = || Split::from_name(file_name.split_once('/')?.0);
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    Picture {
        split: split.or(named).or_else(at_top).unwrap_or(Split::Train),
        caption: CAPTION_KEYS.into_iter().find_map(text),
        class: text(CLASS),
        file_name,
        fields,
    }
}

fn json_rows(path: &Path) -> Result<Vec<Map<String, Value>>, ExportError> {
    let fail = |source| ExportError::Read { path: path.to_owned(), source };
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(File::open(path).map_err(fail)?).lines().enumerate() {
        let line = line.map_err(fail)?;
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(&line);
        rows.push(row.map_err(|error| ExportError::BadLine {
            path: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        })?);
    }
    Ok(rows)
}

/// The rows of a table with a head; every value is a text, empty ones are null.
fn csv_rows(path: &Path) -> Result<Vec<Map<String, Value>>, ExportError> {
    let bad = |line, error: csv::Error| ExportError::BadLine {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    };
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(1, error))?;
    let head = reader.headers().map_err(|error| bad(1, error))?.clone();
    let value = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let row = |(index, record): (usize, Result<csv::StringRecord, csv::Error>)| {
        let record = record.map_err(|error| bad(index + 2, error))?;
        Ok(head.iter().zip(&record).map(|(key, text)| (key.to_owned(), value(text))).collect())
    };
    reader.records().enumerate().map(row).collect()
}
