//! The files that describe a finished dataset.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value, json};
use tronie_image::{ImageFormat, contact_sheet, encode, open, thumbnail};

use crate::audit::Audit;
use crate::build::Target;
use crate::candidate::Candidate;
use crate::disk::{Disk, hash_file, io_error};
use crate::folder::{
    CONTACT_SHEET, DATASET, Header, MANIFEST, METADATA, Record, SPEC, SUMMARY_JSON, SUMMARY_MD, write_bytes,
};
use crate::review::Decided;
use crate::{BuildError, Cell, Item, Spec, items};

/// Fewest and most tiles of a contact sheet; between them, one for each cell.
const SHEET_TILES: (usize, usize) = (64, 144);
const SHEET_COLUMNS: usize = 8;
const SHEET_TILE_PX: u32 = 128;

/// A dataset of which every image is there.
pub(crate) struct Finished<'a> {
    pub(crate) header: &'a Header,
    /// The images in the order of their places.
    pub(crate) pictures: &'a [(Candidate, Record)],
    /// What rules of curation add.
    pub(crate) curated: Option<Curated<'a>>,
}

/// What is known about pictures that were decided about.
#[derive(Clone, Copy)]
pub(crate) struct Curated<'a> {
    pub(crate) audit: &'a Audit,
    /// The decisions about the images, in the same order.
    pub(crate) kept: &'a [&'a Decided],
    /// Files beside those of every dataset, with their hashes.
    pub(crate) files: &'a [(String, String)],
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
        for (index, (candidate, record)) in finished.pictures.iter().enumerate() {
            let item = items::item(spec, *candidate).ok_or(io::ErrorKind::InvalidInput)?;
            count(&mut counts, &item);
            let mut line = metadata(spec, &item, record);
            let decided = finished.curated.and_then(|curated| curated.kept.get(index).copied());
            if let (Some(decided), Some(line)) = (decided, line.as_object_mut()) {
                line.insert("attempt".to_owned(), json!(item.attempt));
                line.insert("measures".to_owned(), json!(decided.measures));
            }
            writeln!(file, "{line}")?;
        }
        Ok(())
    })?;
    write_sheet(disk, target, finished)?;
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

/// The first images, which by the order of the dataset are a balanced sample, sorted by cell. No images, no sheet.
fn write_sheet(disk: &mut dyn Disk, target: &Target<'_>, finished: &Finished<'_>) -> Result<(), BuildError> {
    let spec = target.spec;
    let n_tiles = spec.cells().len().clamp(SHEET_TILES.0, SHEET_TILES.1);
    let slots = finished.pictures.iter().map(|(candidate, _)| candidate.slot);
    let mut indices: Vec<u64> = slots.take(n_tiles).collect();
    if indices.is_empty() {
        return disk.remove(&target.folder.join(CONTACT_SHEET));
    }
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
    let rows = cells(spec, finished).map(
        |(cell, count)| json!({"name": cell.name, "group": cell.group, "values": cell.values, "count": count}),
    );
    let excluded = spec.excluded().iter().map(
        |cell| json!({"name": cell.cell, "group": cell.group, "count": cell.count, "reason": cell.reason}),
    );
    let mut summary = json!({
        "name": spec.name(),
        "version": spec.version(),
        "description": spec.description(),
        "identity": spec.identity(),
        "model_id": finished.header.model_id,
        "model_hash": finished.header.model_hash,
        "n_images": finished.pictures.len(),
        "n_bytes": n_bytes(finished),
        "cells": rows.collect::<Vec<_>>(),
        "excluded": excluded.collect::<Vec<_>>(),
        "attributes": counts,
    });
    if let (Some(curated), Some(summary)) = (&finished.curated, summary.as_object_mut()) {
        summary.insert("curation".to_owned(), json!(curated.audit));
    }
    summary
}

/// The cells with the images that there are of each: without curation those that were asked for.
fn cells<'a>(spec: &'a Spec, finished: &'a Finished<'_>) -> impl Iterator<Item = (&'a Cell, u64)> {
    spec.cells().iter().enumerate().map(|(index, cell)| {
        let audit = finished.curated.and_then(|curated| curated.audit.cells.get(index));
        (cell, audit.map_or(cell.count, |audit| audit.n_kept))
    })
}

fn n_bytes(finished: &Finished<'_>) -> u64 {
    finished.pictures.iter().map(|(_, record)| record.n_bytes).sum()
}

fn markdown(spec: &Spec, finished: &Finished<'_>, counts: &Counts) -> String {
    let mut text = format!("# {}, version {}\n\n", spec.name(), spec.version());
    if !spec.description().is_empty() {
        text.push_str(&format!("{}\n\n", spec.description().trim()));
    }
    let header = finished.header;
    let n_images = finished.pictures.len() as u64;
    text.push_str(&format!(
        "{n_images} synthetic images, {} bytes, made with {} ({}) from spec {}.\n",
        n_bytes(finished),
        header.model_id,
        header.model_hash,
        spec.identity()
    ));
    text.push_str(&finished.curated.map_or_else(String::new, |curated| curated.audit.markdown()));
    let rows =
        cells(spec, finished).map(|(cell, count)| [cell.group.clone(), cell.name.clone(), count.to_string()]);
    text.push_str(&table("Cells", ["group", "cell", "images"].map(str::to_owned), rows));
    let mut groups = BTreeMap::<_, u64>::new();
    for (cell, count) in cells(spec, finished).filter(|(cell, _)| !cell.group.is_empty()) {
        *groups.entry(&cell.group).or_default() += count;
    }
    let groups = groups.into_iter().map(|(group, count)| [group.clone(), count.to_string()]);
    text.push_str(&table("Groups", ["group", "images"].map(str::to_owned), groups));
    let excluded = spec.excluded().iter();
    let excluded = excluded.map(|cell| [cell.cell.clone(), cell.count.to_string(), cell.reason.clone()]);
    text.push_str(&table("Left out", ["cell", "images", "why"].map(str::to_owned), excluded));
    for (name, values) in counts {
        let shares = values.iter().map(|(id, &count)| {
            // Tenths of a percent, rounded half up, in integers: the same on every machine.
            let tenths = (count * 1000 + n_images / 2) / n_images.max(1);
            [id.clone(), count.to_string(), format!("{}.{} %", tenths / 10, tenths % 10)]
        });
        text.push_str(&table(name, ["value", "images", "share"].map(str::to_owned), shares));
    }
    text
}

/// A section with a table; nothing where there are no rows.
pub(crate) fn table<H: AsRef<[String]>, R: AsRef<[String]>>(
    title: &str,
    head: H,
    rows: impl Iterator<Item = R>,
) -> String {
    let mut body = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.as_ref().iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(body, "| {} |", cells.join(" | "));
    }
    if body.is_empty() {
        return body;
    }
    let rule = vec!["---"; head.as_ref().len()].join("|");
    format!("\n## {title}\n\n| {} |\n|{rule}|\n{body}", head.as_ref().join(" | "))
}

/// `<hash>  <name>` lines sorted by name, as `sha256sum` prints and checks them.
fn write_manifest(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    finished: &Finished<'_>,
) -> Result<(), BuildError> {
    let mut files: Vec<(&str, String)> = Vec::new();
    for name in [CONTACT_SHEET, DATASET, METADATA, SPEC, SUMMARY_JSON, SUMMARY_MD] {
        let path = target.folder.join(name);
        match hash_file(&path) {
            Err(source) if name != CONTACT_SHEET || source.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&path, source));
            }
            found => files.extend(found.ok().map(|(hash, _)| (name, hash))),
        }
    }
    let pictures = finished.pictures.iter().map(|(_, record)| (&record.file_name, &record.sha256));
    let others = finished.curated.iter().flat_map(|curated| curated.files).map(|(name, hash)| (name, hash));
    files.extend(pictures.chain(others).map(|(name, hash)| (name.as_str(), hash.clone())));
    files.sort();
    disk.write(&target.folder.join(MANIFEST), &mut |file| {
        files.iter().try_for_each(|(name, hash)| writeln!(file, "{hash}  {name}"))
    })
}
