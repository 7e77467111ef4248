//! Parquet with the files of the pictures inside, in the layout of Hugging Face's `Image` feature: a group of `bytes` and
//! `path`, and the features as JSON under the key `huggingface` of the file's metadata.
//!
//! <https://huggingface.co/docs/hub/datasets-image#parquet-format>. The files are not compressed: pictures are already.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::Type;
use serde_json::{Map, Value, json};
use tronie_base::Progress;

use super::columns::{Cell, Column, Kind, cell, columns};
use super::context::Context;
use super::staging::{Staged, Staging};
use super::{ExportError, FormatRow, card};
use crate::Split;
use crate::collection::FILE_NAME;

pub(super) const ROW: FormatRow = FormatRow {
    id: "parquet",
    title: "Hugging Face datasets, pictures inside of tables; pandas, DuckDB",
    layout: "`data/train-00000-of-00001.parquet`, the same for other splits: a column `image`, then those of the metadata; \
             `README.md`, `samples.png`",
    needs: None,
    write,
};

/// Pictures of one row group, which readers and this writer hold in memory: the Hub's advice for pictures.
const ROWS_PER_GROUP: usize = 100;
/// Bytes of pictures in one file.
const BYTES_PER_FILE: u64 = 500_000_000;
const IMAGE: &str = "image";

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    // The column `image` stands for the file's name, which is its path.
    let mut rows = context.rows();
    for row in &mut rows {
        row.shift_remove(FILE_NAME);
    }
    let table = Table { columns: columns(&rows), rows };
    progress.begin("exporting", table.rows.len() as u64);
    let mut patterns = Vec::new();
    for split in context.collection.splits() {
        let shards = shards(context, split);
        for (number, shard) in shards.iter().enumerate() {
            let name = format!("data/{}-{number:05}-of-{:05}.parquet", split.name(), shards.len());
            write_file(context, staging, (&table, &name, shard), progress)?;
        }
        patterns.push((split, format!("data/{}-*", split.name())));
    }
    card::write_for(context, staging, &patterns)
}

struct Table {
    columns: Vec<Column>,
    rows: Vec<Map<String, Value>>,
}

/// Positions of a split's pictures, file by file.
fn shards(context: &Context<'_>, split: Split) -> Vec<Vec<usize>> {
    let mut shards = Vec::new();
    let mut shard = Vec::new();
    let mut n_bytes = 0;
    for index in context.indices(split) {
        let picture = context.collection.pictures.get(index);
        // A file that is not there is found when it is read.
        let path = picture.map(|picture| context.collection.path(picture)).unwrap_or_default();
        let picture_bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        if n_bytes + picture_bytes > BYTES_PER_FILE && !shard.is_empty() {
            shards.push(std::mem::take(&mut shard));
            n_bytes = 0;
        }
        n_bytes += picture_bytes;
        shard.push(index);
    }
    shards.push(shard);
    shards
}

fn write_file(
    context: &Context<'_>,
    staging: &mut Staging,
    (table, name, shard): (&Table, &str, &[usize]),
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let fail = |staging: &Staging, error: ParquetError| staging.fail(name, std::io::Error::other(error));
    let schema = Arc::new(schema(&table.columns).map_err(|error| fail(staging, error))?);
    let file = staging.create(name)?;
    let open = SerializedFileWriter::new(file, schema, Arc::new(properties(&table.columns)));
    let mut writer = open.map_err(|error| fail(staging, error))?;
    for group in shard.chunks(ROWS_PER_GROUP) {
        let (mut files, mut paths, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for &index in group {
            progress.check()?;
            if let Some(item) = context.item(index)? {
                paths.push(Cell::Text(item.name.to_owned()));
                files.push(ByteArray::from(item.bytes));
                rows.extend(table.rows.get(index));
                staging.count_picture();
            }
            progress.advance(1);
        }
        let mut group = writer.next_row_group().map_err(|error| fail(staging, error))?;
        write_group(&mut group, (&files, &paths), &table.columns, &rows)
            .map_err(|error| fail(staging, error))?;
        group.close().map_err(|error| fail(staging, error))?;
    }
    let file = writer.into_inner().map_err(|error| fail(staging, error))?;
    staging.close(file)
}

/// The columns of a row group: the files, their paths, the metadata.
fn write_group(
    group: &mut SerializedRowGroupWriter<'_, Staged>,
    (files, paths): (&[ByteArray], &[Cell]),
    columns: &[Column],
    rows: &[&Map<String, Value>],
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        if let ColumnWriter::ByteArrayColumnWriter(writer) = column.untyped() {
            writer.write_batch(files, Some(&vec![2; files.len()]), None)?;
        }
        column.close()?;
    }
    write_column(group.next_column()?, 1, paths.to_vec())?;
    for (path, kind) in Column::leaves(columns) {
        write_column(
            group.next_column()?,
            path.len() - 1,
            rows.iter().map(|row| cell(row, &path, kind)).collect(),
        )?;
    }
    Ok(())
}

fn write_column(
    column: Option<SerializedColumnWriter<'_>>,
    n_groups: usize,
    cells: Vec<Cell>,
) -> Result<(), ParquetError> {
    let Some(mut column) = column else { return Ok(()) };
    // The groups above a value are always there, the value itself or not. serde_json reads no deeper than 128 groups.
    let above = i16::try_from(n_groups).unwrap_or(i16::MAX);
    let levels: Vec<i16> = cells.iter().map(|cell| above + i16::from(*cell != Cell::Empty)).collect();
    let (mut bools, mut integers, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        match cell {
            Cell::Empty => {}
            Cell::Bool(value) => bools.push(value),
            Cell::Integer(value) => integers.push(value),
            Cell::Float(value) => floats.push(value),
            Cell::Text(text) => texts.push(ByteArray::from(text.into_bytes())),
        }
    }
    match column.untyped() {
        ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&bools, Some(&levels), None)?,
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&integers, Some(&levels), None)?,
        ColumnWriter::DoubleColumnWriter(writer) => writer.write_batch(&floats, Some(&levels), None)?,
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&texts, Some(&levels), None)?,
        _ => {
            return Err(ParquetError::General("a column of a type that the schema does not have".to_owned()));
        }
    };
    column.close()
}

fn schema(columns: &[Column]) -> Result<Type, ParquetError> {
    let bytes = Type::primitive_type_builder("bytes", PhysicalType::BYTE_ARRAY);
    let bytes = Arc::new(bytes.with_repetition(Repetition::OPTIONAL).build()?);
    let path = Arc::new(leaf("path", Kind::Text)?);
    let mut fields = vec![Arc::new(group(IMAGE, vec![bytes, path])?)];
    for column in columns {
        fields.push(Arc::new(field(column)?));
    }
    Type::group_type_builder("schema").with_fields(fields).build()
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    match column {
        Column::Leaf { name, kind } => leaf(name, *kind),
        Column::Group { name, columns } => {
            let fields = columns.iter().map(|column| Ok(Arc::new(field(column)?)));
            group(name, fields.collect::<Result<_, ParquetError>>()?)
        }
    }
}

/// A group that may be absent, though none is: `datasets` believes its own features only where every field may be.
fn group(name: &str, fields: Vec<Arc<Type>>) -> Result<Type, ParquetError> {
    Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).with_fields(fields).build()
}

fn leaf(name: &str, kind: Kind) -> Result<Type, ParquetError> {
    let of = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    match kind {
        Kind::Bool => of(PhysicalType::BOOLEAN).build(),
        Kind::Integer => of(PhysicalType::INT64).build(),
        Kind::Float => of(PhysicalType::DOUBLE).build(),
        Kind::Text => {
            let text = of(PhysicalType::BYTE_ARRAY).with_converted_type(ConvertedType::UTF8);
            text.with_logical_type(Some(LogicalType::String)).build()
        }
    }
}

fn properties(columns: &[Column]) -> WriterProperties {
    let mut features = features(columns);
    features.shift_insert(0, IMAGE.to_owned(), json!({ "_type": "Image" }));
    let info = json!({ "info": { "features": features } });
    let key = KeyValue::new("huggingface".to_owned(), info.to_string());
    WriterProperties::builder()
        .set_created_by("tronie".to_owned())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![key]))
        .build()
}

/// The features as Hugging Face's `datasets` writes them.
fn features(columns: &[Column]) -> Map<String, Value> {
    let feature = |column: &Column| match column {
        Column::Group { columns, .. } => Value::Object(features(columns)),
        Column::Leaf { kind, .. } => {
            let dtype = match kind {
                Kind::Bool => "bool",
                Kind::Integer => "int64",
                Kind::Float => "float64",
                Kind::Text => "string",
            };
            json!({ "dtype": dtype, "_type": "Value" })
        }
    };
    columns.iter().map(|column| (column.name().to_owned(), feature(column))).collect()
}
