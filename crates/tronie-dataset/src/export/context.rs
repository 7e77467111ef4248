//! What every writer is given: pictures with the names they get, annotations, options.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value};
use tronie_base::{Progress, sha256_hex};
use tronie_faces::{Face, Seen, read_records};
use tronie_image::{ImageFormat, read_file, size_px};

use super::staging::Staging;
use super::{ExportError, ExportOptions, FormatRow, Need};
use crate::collection::{FILE_NAME, TEXT};
use crate::folder::IMAGES;
use crate::{Collection, Picture, Split};

/// The lines of `tronie faces annotate`, by the picture's name.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    seen: HashMap<String, Seen>,
}

impl Annotations {
    /// Reads a file of lines; pictures that could not be read when they were annotated have no faces.
    ///
    /// # Errors
    /// [`ExportError::Faces`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let records = read_records(path)?.into_iter();
        Ok(Self { seen: records.filter_map(|record| Some((record.file, record.seen?))).collect() })
    }

    /// What was found in a picture.
    #[must_use]
    pub fn of(&self, file_name: &str) -> Option<&Seen> {
        self.seen.get(file_name)
    }
}

pub(super) struct Context<'a> {
    pub(super) collection: &'a Collection,
    pub(super) options: &'a ExportOptions,
    annotations: Option<&'a Annotations>,
    /// The name of each picture's file in the export, unique in its split.
    names: Vec<String>,
}

/// One picture, read and checked.
pub(super) struct Item<'a> {
    pub(super) picture: &'a Picture,
    /// Name of its file, without folders, unique in its split.
    pub(super) name: &'a str,
    /// The file.
    pub(super) bytes: Vec<u8>,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    /// Its faces, the surest first; none where nothing was annotated.
    pub(super) faces: &'a [Face],
}

impl Item<'_> {
    /// The name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(self.name, |(stem, _)| stem)
    }

    /// `train/000000.png`.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.picture.split.name(), self.name)
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(
        collection: &'a Collection,
        annotations: Option<&'a Annotations>,
        options: &'a ExportOptions,
    ) -> Result<Self, ExportError> {
        if let Some(day) = options.published.as_ref().filter(|day| !is_day(day)) {
            return Err(ExportError::BadDay { found: day.clone() });
        }
        if let Some(annotations) = annotations {
            let missing =
                collection.pictures.iter().find(|picture| annotations.of(&picture.file_name).is_none());
            if let Some(picture) = missing {
                return Err(ExportError::NotAnnotated { found: picture.file_name.clone() });
            }
        }
        Ok(Self { collection, options, annotations, names: names(collection)? })
    }

    pub(super) fn check_needs(&self, row: &FormatRow) -> Result<(), ExportError> {
        let Some(need) = row.needs else { return Ok(()) };
        let mut faces =
            self.annotations.iter().flat_map(|all| all.seen.values()).flat_map(|seen| &seen.faces);
        let has_outlines =
            |mut faces: Box<dyn Iterator<Item = &Face> + '_>| faces.any(|face| face.regions.is_some());
        let is_met = match need {
            Need::Faces => faces.next().is_some(),
            Need::Classes => self.options.masks.is_some() || has_outlines(Box::new(faces)),
            Need::Outlines => has_outlines(Box::new(faces)),
        };
        if is_met { Ok(()) } else { Err(ExportError::Needs { format: row.id, need: need.words() }) }
    }

    /// Reads picture after picture and hands each over.
    pub(super) fn each(
        &self,
        progress: &mut dyn Progress,
        mut take: impl FnMut(&Item<'_>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        progress.begin("exporting", self.collection.pictures.len() as u64);
        for index in 0..self.collection.pictures.len() {
            progress.check()?;
            if let Some(item) = self.item(index)? {
                take(&item)?;
            }
            progress.advance(1);
        }
        Ok(())
    }

    /// Copies picture after picture to its usual place.
    pub(super) fn copy_pictures(
        &self,
        staging: &mut Staging,
        progress: &mut dyn Progress,
    ) -> Result<(), ExportError> {
        self.each(progress, |item| {
            staging.count_picture();
            staging.write(&item.path(), &item.bytes)
        })
    }

    /// Reads one picture; its bytes must be those the metadata speak of, its head that of a picture.
    pub(super) fn item(&self, index: usize) -> Result<Option<Item<'_>>, ExportError> {
        let (Some(picture), Some(name)) = (self.collection.pictures.get(index), self.names.get(index)) else {
            return Ok(None);
        };
        let path = self.collection.path(picture);
        let bytes = read_file(&path)?;
        if let Some(expected) = picture.sha256() {
            let found = sha256_hex(&bytes);
            if found != expected {
                return Err(ExportError::Changed { path, found, expected: expected.to_owned() });
            }
        }
        let (width_px, height_px) = size_px(&bytes)
            .map_err(|source| tronie_image::ImageError::InFile { path, source: Box::new(source) })?;
        let seen = self.annotations.and_then(|annotations| annotations.of(&picture.file_name));
        if let Some(seen) = seen.filter(|seen| (seen.width_px, seen.height_px) != (width_px, height_px)) {
            return Err(ExportError::OtherSize {
                picture: picture.file_name.clone(),
                found: format!("{width_px}x{height_px}"),
                what: "annotations say",
                expected: format!("{}x{}", seen.width_px, seen.height_px),
            });
        }
        let faces = seen.map(|seen| seen.faces.as_slice()).unwrap_or_default();
        Ok(Some(Item { picture, name, bytes, width_px, height_px, faces }))
    }

    /// Everything known about a picture, its name first. The faces stand under `faces`, as annotated.
    pub(super) fn row(&self, picture: &Picture, file_name: &str) -> Map<String, Value> {
        let mut row = Map::new();
        row.insert(FILE_NAME.to_owned(), file_name.into());
        row.extend(picture.caption.iter().map(|text| (TEXT.to_owned(), Value::from(text.as_str()))));
        row.extend(picture.fields.clone());
        let seen = self.annotations.and_then(|annotations| annotations.of(&picture.file_name));
        // Records of faces are plain numbers and names, which always serialize.
        let faces = seen.and_then(|seen| serde_json::to_value(&seen.faces).ok());
        row.extend(faces.map(|faces| ("faces".to_owned(), faces)));
        row
    }

    /// The rows of all pictures, each with its name in the export.
    pub(super) fn rows(&self) -> Vec<Map<String, Value>> {
        let pictures = self.collection.pictures.iter().zip(&self.names);
        pictures
            .map(|(picture, name)| self.row(picture, &format!("{}/{name}", picture.split.name())))
            .collect()
    }

    /// Positions of the pictures of a split.
    pub(super) fn indices(&self, split: Split) -> Vec<usize> {
        let pictures = self.collection.pictures.iter().enumerate();
        pictures.filter(|(_, picture)| picture.split == split).map(|(index, _)| index).collect()
    }

    /// The licence as an SPDX id, or that it is not known.
    pub(super) fn licence(&self) -> &str {
        self.options.licence.as_deref().unwrap_or("unknown")
    }
}

/// Names of files without folders: those that only say what a split and `images` say go, the others join the name.
fn names(collection: &Collection) -> Result<Vec<String>, ExportError> {
    let mut taken: BTreeMap<(Split, String), &str> = BTreeMap::new();
    let mut names = Vec::with_capacity(collection.pictures.len());
    for picture in &collection.pictures {
        let says_nothing = |part: &&str| Split::from_name(part).is_some() || [IMAGES, "data"].contains(part);
        let mut parts: Vec<&str> = picture.file_name.split('/').collect();
        let file = parts.pop().unwrap_or_default();
        parts.retain(|part| !says_nothing(part));
        parts.push(file);
        let name = parts.join("_");
        // Two names that differ in case are one on many machines, and stems name captions and masks.
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_lowercase();
        if let Some(first) = taken.insert((picture.split, stem), &picture.file_name) {
            let second = picture.file_name.clone();
            return Err(ExportError::SameName { first: first.to_owned(), second, name });
        }
        ImageFormat::from_path(Path::new(&name))?;
        names.push(name);
    }
    Ok(names)
}

/// Whether a text is a year, a month and a day with all their digits.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number =
        |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    let within = |text: &str, largest: u32| text.parse().is_ok_and(|n: u32| (1..=largest).contains(&n));
    match parts.as_slice() {
        [year, month, day] => {
            is_number(year, 4)
                && is_number(month, 2)
                && is_number(day, 2)
                && within(month, 12)
                && within(day, 31)
        }
        _ => false,
    }
}
