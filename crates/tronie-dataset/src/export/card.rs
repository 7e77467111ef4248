//! The dataset card: `README.md` with the front matter the Hub reads, tables of balance, samples, licence, known limits.
//!
//! <https://huggingface.co/docs/hub/datasets-cards>

use std::collections::BTreeMap;

use tronie_base::Progress;
use tronie_image::{ImageFormat, contact_sheet, decode, encode, thumbnail};

use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow};
use crate::Split;

pub(super) const ROW: FormatRow = FormatRow {
    id: "card",
    title: "a page about the dataset, without its pictures",
    layout: "`README.md`, `samples.png`",
    needs: None,
    write,
};

const SHEET: &str = "samples.png";
/// Pictures on the sheet of samples, spread over the collection.
const N_SAMPLES: usize = 32;
const SHEET_COLUMNS: usize = 8;
const SHEET_TILE_PX: u32 = 128;
/// Values of an attribute that are listed; rarer ones are added up.
const MAX_VALUES: usize = 40;

fn write(context: &Context<'_>, staging: &mut Staging, _: &mut dyn Progress) -> Result<(), ExportError> {
    write_for(context, staging, &[])
}

/// The card of an export whose files match a pattern for each split.
pub(super) fn write_for(
    context: &Context<'_>,
    staging: &mut Staging,
    files: &[(Split, String)],
) -> Result<(), ExportError> {
    write_sheet(context, staging)?;
    let mut text = front_matter(context, files);
    text.push_str(&body(context));
    staging.write("README.md", text.as_bytes())
}

fn write_sheet(context: &Context<'_>, staging: &mut Staging) -> Result<(), ExportError> {
    let n_pictures = context.collection.pictures.len();
    let n_samples = n_pictures.min(N_SAMPLES);
    let mut tiles = Vec::new();
    for index in (0..n_samples).map(|sample| sample * n_pictures / n_samples) {
        if let Some(item) = context.item(index)? {
            tiles.push(thumbnail(&decode(&item.bytes)?, SHEET_TILE_PX)?);
        }
    }
    let sheet = contact_sheet(&tiles, &[], SHEET_COLUMNS, SHEET_TILE_PX)?;
    staging.write(SHEET, &encode(&sheet, ImageFormat::Png, &[])?)
}

/// YAML between rules. Texts are quoted as JSON, which YAML reads.
fn front_matter(context: &Context<'_>, files: &[(Split, String)]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let about = &context.collection.about;
    let mut text = format!(
        "---\nlicense: {}\npretty_name: {}\nsize_categories:\n- {}\ntask_categories:\n- text-to-image\n- image-classification\ntags:\n- synthetic\n- faces\n",
        quoted(&context.licence().to_lowercase()),
        quoted(&about.name),
        size_category(context.collection.pictures.len())
    );
    if !files.is_empty() {
        text.push_str("configs:\n- config_name: default\n  data_files:\n");
        for (split, pattern) in files {
            text.push_str(&format!("  - split: {}\n    path: {}\n", split.name(), quoted(pattern)));
        }
    }
    text + "---\n\n"
}

/// The Hub's name for a number of pictures.
fn size_category(n: usize) -> &'static str {
    match n {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        _ => "1M<n<10M",
    }
}

fn body(context: &Context<'_>) -> String {
    let about = &context.collection.about;
    let n_pictures = context.collection.pictures.len();
    let mut text = format!("# {}\n\n", line(&about.name));
    if !about.description.is_empty() {
        text.push_str(&format!("{}\n\n", about.description));
    }
    text.push_str(&format!("{n_pictures} pictures, version {}.\n\n![samples]({SHEET})\n\n", about.version));
    text.push_str("## How it was made\n\n");
    match (&about.model, &about.identity) {
        (Some((id, hash)), Some(identity)) => text.push_str(&format!(
            "Every picture is synthetic: made by the model `{id}` ({hash}) from a spec whose identity is `{identity}`. Prompt, \
             seed and attributes of each picture are in the metadata; the files say in their own metadata that a trained \
             model made them. No person is shown.\n\n"
        )),
        _ => text.push_str("The pictures were collected as files; what is known about each is in the metadata.\n\n"),
    }
    text.push_str("## Splits\n\n| split | pictures |\n|---|---|\n");
    for split in context.collection.splits() {
        text.push_str(&format!("| {} | {} |\n", split.name(), context.indices(split).len()));
    }
    text.push_str(
        "\n## Balance\n\nWhat was asked for. Whether a picture shows it is for a measurement to say.\n",
    );
    for (name, counts) in balance(context) {
        text.push_str(&table(&name, &counts, n_pictures));
    }
    text.push_str(&format!(
        "\n## Licence\n\n`{}`. The model that made the pictures has terms of its own.\n\n## Known limits\n\n\
         - Attributes are those of the prompts: a generator does not always show what it is asked for.\n\
         - A generator repeats the stereotypes of the pictures it has learnt from, also where nothing was asked for.\n\
         - Hands, teeth, glasses and jewellery are often deformed; two faces of one prompt can be much alike.\n\
         - Faces of synthetic people stand in for photographs only as far as it was measured on photographs.\n",
        line(context.licence())
    ));
    text
}

/// Counts of the values of every attribute, of classes and cells.
fn balance(context: &Context<'_>) -> Vec<(String, BTreeMap<String, usize>)> {
    let pictures = &context.collection.pictures;
    let mut names: Vec<String> = ["class", "cell"].map(str::to_owned).to_vec();
    for picture in pictures {
        let attributes = picture.fields.get("attributes").and_then(|attributes| attributes.as_object());
        let new = attributes.into_iter().flat_map(|attributes| attributes.keys());
        let new: Vec<String> = new.filter(|name| !names.contains(name)).cloned().collect();
        names.extend(new);
    }
    let counts = |name: String| {
        let mut counts = BTreeMap::new();
        for label in pictures.iter().filter_map(|picture| picture.label(&name)) {
            *counts.entry(label).or_default() += 1;
        }
        (name, counts)
    };
    names.into_iter().map(counts).filter(|(_, counts)| !counts.is_empty()).collect()
}

fn table(name: &str, counts: &BTreeMap<String, usize>, n_pictures: usize) -> String {
    let mut rows: Vec<(&String, &usize)> = counts.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut text = format!("\n### {}\n\n| value | pictures | share |\n|---|---|---|\n", line(name));
    let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / n_pictures.max(1) as f64);
    for (value, count) in rows.iter().take(MAX_VALUES) {
        text.push_str(&format!("| {} | {count} | {} |\n", line(value), share(**count)));
    }
    let others: usize = rows.iter().skip(MAX_VALUES).map(|(_, count)| **count).sum();
    if others > 0 {
        let n_values = rows.len() - MAX_VALUES;
        text.push_str(&format!("| {n_values} others | {others} | {} |\n", share(others)));
    }
    text
}

/// A text in one cell of a table.
fn line(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
