//! A collection of pictures in the layout of another tool.
//!
//! A format is one file of this folder and one row of [`FORMATS`]. Its writer gets a [`Context`] (pictures, annotations,
//! options) and a `Staging`, which keeps everything under a temporary name until all of it is there. The files of pictures
//! are copied byte for byte, so whatever they say about their making stays in them.

mod card;
mod coco;
mod columns;
mod context;
mod croissant;
mod csv_table;
mod error;
mod fiftyone;
mod imagefolder;
mod kohya;
mod labels;
mod masks;
mod parquet;
mod sfhq;
mod staging;
mod webdataset;
mod yolo_seg;

use std::path::{Path, PathBuf};

use serde_json::json;
use tronie_base::Progress;

use crate::Collection;
pub use context::Annotations;
use context::Context;
pub use error::ExportError;
use staging::Staging;

/// What a format cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Faces, as `tronie faces annotate` finds them.
    Faces,
    /// Classes of pixels: outlines of facial features (annotator `yolov8_seg`), or a folder of masks.
    Classes,
    /// Outlines of facial features (annotator `yolov8_seg`).
    Outlines,
}

impl Need {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Faces => "faces in `--annotations`",
            Self::Classes => "outlines in `--annotations`, or `--masks`",
            Self::Outlines => "outlines in `--annotations`",
        }
    }
}

type Write = fn(&Context<'_>, &mut Staging, &mut dyn Progress) -> Result<(), ExportError>;

/// One format.
#[derive(Debug, Clone, Copy)]
pub struct FormatRow {
    /// What it is called on the command line; permanent.
    pub id: &'static str,
    /// For what tool it is.
    pub title: &'static str,
    /// What is in the folder.
    pub layout: &'static str,
    /// What it cannot do without.
    pub needs: Option<Need>,
    write: Write,
}

/// Every format there is. Command line, documentation and tests read this.
pub const FORMATS: &[FormatRow] = &[
    imagefolder::ROW,
    parquet::ROW,
    webdataset::ROW,
    csv_table::ROW,
    croissant::ROW,
    card::ROW,
    kohya::ROW,
    coco::ROW,
    yolo_seg::ROW,
    masks::ROW,
    sfhq::ROW,
    fiftyone::ROW,
];

/// The format of an id.
///
/// # Errors
/// [`ExportError::UnknownFormat`] with all ids.
pub fn format(id: &str) -> Result<&'static FormatRow, ExportError> {
    FORMATS.iter().find(|row| row.id == id).ok_or_else(|| ExportError::UnknownFormat {
        found: id.to_owned(),
        expected: FORMATS.iter().map(|row| row.id).collect::<Vec<_>>().join(", "),
    })
}

/// What is exported, and how.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Replace an earlier export.
    pub force: bool,
    /// Licence of the pictures as an SPDX id; `unknown` when left out.
    pub licence: Option<String>,
    /// Day of publication, year-month-day.
    pub published: Option<String>,
    /// Page of the dataset.
    pub url: Option<String>,
    /// Folder of 8-bit PNG of class numbers, each named as its picture.
    pub masks: Option<PathBuf>,
    /// How often a training run of kohya's sees each picture in an epoch.
    pub repeats: u32,
    /// Words for kohya's folders, where pictures have no class; the name of the collection when left out.
    pub words: Option<String>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { force: false, licence: None, published: None, url: None, masks: None, repeats: 1, words: None }
    }
}

/// What an export has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Pictures of the collection.
    pub n_pictures: usize,
    /// Pictures among them that the format has no place for, such as those without a face.
    pub n_left_out: usize,
    /// Files that were written.
    pub n_files: usize,
    /// Their bytes.
    pub n_bytes: u64,
}

/// Writes a collection to the folder `out`, which appears when it is complete.
///
/// # Errors
/// [`ExportError`]; nothing is then left under the name of the folder that was not there before.
pub fn export(
    collection: &Collection,
    (row, out): (&FormatRow, &Path),
    annotations: Option<&Annotations>,
    options: &ExportOptions,
    progress: &mut dyn Progress,
) -> Result<Exported, ExportError> {
    let context = Context::new(collection, annotations, options)?;
    context.check_needs(row)?;
    let mut staging = Staging::begin(out, &collection.folder, options.force)?;
    (row.write)(&context, &mut staging, progress)?;
    let about = &collection.about;
    let record = json!({
        "format": row.id, "name": about.name, "version": about.version, "identity": about.identity,
        "n_pictures": collection.pictures.len(), "n_left_out": staging.n_left_out,
    });
    staging.publish(&record)
}

#[cfg(test)]
mod tests;
