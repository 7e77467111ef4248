//! The files that describe a finished dataset.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value, json};
use tronie_image::{ImageFormat, contact_sheet, encode, open, thumbnail};

use crate::build::Target;
use crate::disk::{Disk, hash_file, io_error};
use crate::folder::{
    CONTACT_SHEET, DATASET, Header, MANIFEST, METADATA, Record, SPEC, SUMMARY_JSON, SUMMARY_MD, write_bytes,
};
use crate::{BuildError, Item, Spec};

/// Fewest and most tiles of a contact sheet; between them, one for each cell.
const SHEET_TILES: (usize, usize) = (64, 144);
const SHEET_COLUMNS: usize = 8;
const SHEET_TILE_PX: u32 = 128;

/// A dataset of which every image is there.
pub(crate) struct Finished<'a> {
    pub(crate) header: &'a Header,
    /// One per image, in the order of their indices.
    pub(crate) records: &'a [Record],
}

/// How many images show each value: attribute → value → count, zeros included.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

pub(crate) fn write(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    finished: &Finished<'_>,
) -> Result<(), BuildError> {
    let Target { spec, folder, .. } = *target;
    let mut counts = no_counts(spec);
    disk.write(&folder.join(METADATA), &mut |file| {
        counts = no_counts(spec);
        for (index, record) in (0..).zip(finished.records) {
            let item = spec.item(index).ok_or(io::ErrorKind::InvalidInput)?;
            count(&mut counts, &item);
            writeln!(file, "{}", metadata(spec, &item, record))?;
        }
        Ok(())
    })?;
    write_sheet(disk, target)?;
    let summary = serde_json::to_string_pretty(&summary(spec, finished, &counts)).unwrap_or_default();
    write_bytes(disk, &folder.join(SUMMARY_JSON), format!("{summary}\n").as_bytes())?;
    write_bytes(disk, &folder.join(SUMMARY_MD), markdown(spec, finished, &counts).as_bytes())?;
    write_manifest(disk, target, finished)
}

fn no_counts(spec: &Spec) -> Counts {
    let zeros =
        |values: &[crate::file::ValueTable]| values.iter().map(|value| (value.id.clone(), 0)).collect();
    spec.file.attributes.iter().map(|(name, table)| (name.clone(), zeros(&table.values))).collect()
}

fn count(counts: &mut Counts, item: &Item) {
    for (name, id) in &item.attributes {
        *counts.entry(name.clone()).or_default().entry(id.clone()).or_default() += 1;
    }
}

/// One line of `metadata.jsonl`. Every line has the same keys, so that tables can be made of them.
fn metadata(spec: &Spec, item: &Item, record: &Record) -> Value {
    let has_numbers = |name: &String| {
        let table = spec.file.attributes.get(name);
        table.is_some_and(|table| table.values.iter().any(|value| value.number.is_some()))
    };
    let numbers = item.attributes.keys().filter(|name| has_numbers(name));
    let numbers: Map<_, _> = numbers.map(|name| (name.clone(), json!(item.numbers.get(name)))).collect();
    let mut line = json!({
        "file_name": record.file_name,
        "text": item.prompt,
        "negative_prompt": item.negative_prompt,
        "seed": item.seed,
        "index": item.index,
        "cell": item.cell,
        "attributes": item.attributes,
    });
    if let Some(line) = line.as_object_mut() {
        if !numbers.is_empty() {
            line.insert("numbers".to_owned(), Value::Object(numbers));
        }
        line.insert("n_bytes".to_owned(), json!(record.n_bytes));
        line.insert("sha256".to_owned(), json!(record.sha256));
    }
    line
}

/// The first images, which by the order of the dataset are a balanced sample, sorted by cell.
fn write_sheet(disk: &mut dyn Disk, target: &Target<'_>) -> Result<(), BuildError> {
    let spec = target.spec;
    let n_tiles = spec.cells().len().clamp(SHEET_TILES.0, SHEET_TILES.1) as u64;
    let mut indices: Vec<u64> = (0..n_tiles.min(spec.n_images())).collect();
    indices.sort_by_key(|&index| spec.cell_number_of(index));
    let mut images = Vec::new();
    let mut labels = Vec::new();
    for index in indices {
        // Shrunk at once: a hundred large pictures would not fit everywhere.
        images.push(thumbnail(&open(&target.folder.join(spec.file_name(index)))?, SHEET_TILE_PX)?);
        labels.extend(spec.cell_of(index).map(|cell| cell.name.clone()));
    }
    let sheet = contact_sheet(&images, &labels, SHEET_COLUMNS, SHEET_TILE_PX)?;
    write_bytes(disk, &target.folder.join(CONTACT_SHEET), &encode(&sheet, ImageFormat::Png, &[])?)
}

fn summary(spec: &Spec, finished: &Finished<'_>, counts: &Counts) -> Value {
    let cells = spec.cells().iter().map(
        |cell| json!({"name": cell.name, "group": cell.group, "values": cell.values, "count": cell.count}),
    );
    let excluded = spec.excluded().iter().map(
        |cell| json!({"name": cell.cell, "group": cell.group, "count": cell.count, "reason": cell.reason}),
    );
    json!({
        "name": spec.name(),
        "version": spec.version(),
        "description": spec.description(),
        "identity": spec.identity(),
        "model_id": finished.header.model_id,
        "model_hash": finished.header.model_hash,
        "n_images": spec.n_images(),
        "n_bytes": n_bytes(finished),
        "cells": cells.collect::<Vec<_>>(),
        "excluded": excluded.collect::<Vec<_>>(),
        "attributes": counts,
    })
}

fn n_bytes(finished: &Finished<'_>) -> u64 {
    finished.records.iter().map(|record| record.n_bytes).sum()
}

fn markdown(spec: &Spec, finished: &Finished<'_>, counts: &Counts) -> String {
    let mut text = format!("# {}, version {}\n\n", spec.name(), spec.version());
    if !spec.description().is_empty() {
        text.push_str(&format!("{}\n\n", spec.description().trim()));
    }
    let header = finished.header;
    text.push_str(&format!(
        "{} synthetic images, {} bytes, made with {} ({}) from spec {}.\n",
        spec.n_images(),
        n_bytes(finished),
        header.model_id,
        header.model_hash,
        spec.identity()
    ));
    let cells =
        spec.cells().iter().map(|cell| [cell.group.clone(), cell.name.clone(), cell.count.to_string()]);
    text.push_str(&table("Cells", ["group", "cell", "images"], cells));
    let mut groups = BTreeMap::<_, u64>::new();
    for cell in spec.cells().iter().filter(|cell| !cell.group.is_empty()) {
        *groups.entry(&cell.group).or_default() += cell.count;
    }
    let groups = groups.into_iter().map(|(group, count)| [group.clone(), count.to_string()]);
    text.push_str(&table("Groups", ["group", "images"], groups));
    let excluded = spec.excluded().iter();
    let excluded = excluded.map(|cell| [cell.cell.clone(), cell.count.to_string(), cell.reason.clone()]);
    text.push_str(&table("Left out", ["cell", "images", "why"], excluded));
    for (name, values) in counts {
        let shares = values.iter().map(|(id, &count)| {
            // Tenths of a percent, rounded half up, in integers: the same on every machine.
            let tenths = (count * 1000 + spec.n_images() / 2) / spec.n_images();
            [id.clone(), count.to_string(), format!("{}.{} %", tenths / 10, tenths % 10)]
        });
        text.push_str(&table(name, ["value", "images", "share"], shares));
    }
    text
}

/// A section with a table; nothing where there are no rows.
fn table<const N: usize>(title: &str, head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut body = String::new();
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        // Writing into a string cannot fail.
        let _ = writeln!(body, "| {} |", cells.join(" | "));
    }
    if body.is_empty() {
        return body;
    }
    let rule = head.map(|_| "---").join("|");
    format!("\n## {title}\n\n| {} |\n|{rule}|\n{body}", head.join(" | "))
}

/// `<hash>  <name>` lines sorted by name, as `sha256sum` prints and checks them.
fn write_manifest(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    finished: &Finished<'_>,
) -> Result<(), BuildError> {
    let mut others = BTreeMap::new();
    for name in [CONTACT_SHEET, DATASET, METADATA, SPEC, SUMMARY_JSON, SUMMARY_MD] {
        let path = target.folder.join(name);
        let (hash, _) = hash_file(&path).map_err(|source| io_error(&path, source))?;
        others.insert(name, hash);
    }
    let after = others.split_off("images");
    disk.write(&target.folder.join(MANIFEST), &mut |file| {
        for (name, hash) in &others {
            writeln!(file, "{hash}  {name}")?;
        }
        for record in finished.records {
            writeln!(file, "{}  {}", record.sha256, record.file_name)?;
        }
        for (name, hash) in &after {
            writeln!(file, "{hash}  {name}")?;
        }
        Ok(())
    })
}
