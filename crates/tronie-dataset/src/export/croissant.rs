//! Croissant 1.1: a description of the dataset that machines read, beside the pictures and their metadata.
//!
//! <https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html>, and the RAI vocabulary 1.0 for what has to be known before the data
//! are used. The fields of the records are the columns of `metadata.jsonl`, those of groups named `group_column`.

use serde_json::{Map, Value, json};
use tronie_base::Progress;

use super::columns::{Cell, Column, Kind, cell, columns};
use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow};
use crate::collection::FILE_NAME;
use crate::folder::METADATA;

pub(super) const ROW: FormatRow = FormatRow {
    id: "croissant",
    title: "Croissant 1.1 (mlcroissant, dataset search, NeurIPS submissions)",
    layout: "`croissant.json`, `metadata.jsonl` (whose `file_name` is below the folder, columns of groups named `group_column`), `train/NAME` and the like",
    needs: None,
    write,
};

const RECORDS: &str = "pictures";

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    context.copy_pictures(staging, progress)?;
    let rows = context.rows();
    let columns = columns(&rows);
    let leaves = Column::leaves(&columns);
    let lines: String = rows.iter().map(|row| format!("{}\n", flat(row, &leaves))).collect();
    staging.write(METADATA, lines.as_bytes())?;
    let hash = staging.sha256(METADATA).unwrap_or_default().to_owned();
    let page = page(context, &columns, (&hash, lines.len()));
    staging.write("croissant.json", format!("{page:#}\n").as_bytes())
}

/// A row without columns below others: mlcroissant reads the fields of a file either all by column or all by path.
fn flat(row: &Map<String, Value>, leaves: &[(Vec<&str>, Kind)]) -> Value {
    let value = |(path, kind): &(Vec<&str>, Kind)| {
        let value = match cell(row, path, *kind) {
            Cell::Empty => Value::Null,
            Cell::Bool(value) => value.into(),
            Cell::Integer(value) => value.into(),
            Cell::Float(value) => value.into(),
            Cell::Text(text) => text.into(),
        };
        (path.join("_"), value)
    };
    Value::Object(leaves.iter().map(value).collect())
}

fn page(context: &Context<'_>, columns: &[Column], (hash, n_bytes): (&str, usize)) -> Value {
    let about = &context.collection.about;
    let mut page = json!({
        "@context": vocabulary(),
        "@type": "sc:Dataset",
        "name": about.name,
        "description": description(context),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": licence(context.licence()),
        "url": context.options.url.as_deref().unwrap_or("https://huggingface.co/datasets"),
        "version": format!("{}.0.0", about.version),
        "keywords": ["synthetic", "faces", "portraits"],
        "inLanguage": "en",
        "isAccessibleForFree": true,
        "rai:dataCollection": "Pictures are made by a generative model from the prompts in the metadata.",
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataLimitations": "Attributes are those of the prompts; a generator does not always show what it is asked for.",
        "rai:dataBiases": "A generator repeats the stereotypes of the pictures it has learnt from.",
        "rai:personalSensitiveInformation": "None: no person is shown.",
        "distribution": distribution(context, hash, n_bytes),
        "recordSet": [record_set(columns)],
    });
    if let (Some(day), Some(page)) = (&context.options.published, page.as_object_mut()) {
        page.insert("datePublished".to_owned(), day.as_str().into());
    }
    page
}

/// The prefixes and terms of the specification, appendix 1.
fn vocabulary() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty",
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "extract": "cr:extract",
        "field": "cr:field",
        "fileProperty": "cr:fileProperty",
        "fileObject": "cr:fileObject",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}

fn description(context: &Context<'_>) -> String {
    let about = &context.collection.about;
    let n_pictures = context.collection.pictures.len();
    match (&about.model, about.description.as_str()) {
        (Some((id, _)), "") => format!("{n_pictures} synthetic portraits, made by {id}."),
        (None, "") => format!("{n_pictures} pictures."),
        (_, description) => description.to_owned(),
    }
}

/// The page of an SPDX id; what is none stays as it is.
fn licence(id: &str) -> String {
    match id {
        "unknown" => id.to_owned(),
        id if id.contains(':') => id.to_owned(),
        id => format!("https://spdx.org/licenses/{id}.html"),
    }
}

fn distribution(context: &Context<'_>, hash: &str, n_bytes: usize) -> Vec<Value> {
    let mut files = vec![json!({
        "@type": "cr:FileObject", "@id": METADATA, "name": METADATA, "contentUrl": METADATA,
        "encodingFormat": "application/jsonlines", "sha256": hash, "contentSize": format!("{n_bytes} B"),
    })];
    let splits = context.collection.splits();
    files.extend(splits.into_iter().map(|split| {
        let name = split.name();
        json!({
            "@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": ["image/png", "image/jpeg", "image/webp"],
            "includes": format!("{name}/*"),
        })
    }));
    files
}

fn record_set(columns: &[Column]) -> Value {
    let fields = Column::leaves(columns).into_iter().map(|(path, kind)| {
        let name = path.join("_");
        let id = format!("{RECORDS}/{name}");
        let data_type = match kind {
            Kind::Bool => "sc:Boolean",
            Kind::Integer => "cr:Int64",
            Kind::Float => "cr:Float64",
            Kind::Text => "sc:Text",
        };
        json!({
            "@type": "cr:Field", "@id": id, "name": id, "dataType": data_type,
            "source": { "fileObject": { "@id": METADATA }, "extract": { "column": name } },
        })
    });
    json!({
        "@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS,
        "key": { "@id": format!("{RECORDS}/{FILE_NAME}") },
        "field": fields.collect::<Vec<_>>(),
    })
}
