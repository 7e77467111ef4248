//! A spec that has been checked: what it means, and what every picture of it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tronie_image::ImageFormat;

use crate::candidate::Candidate;
use crate::cells::{self, Cell, Excluded};
use crate::curation::Curation;
use crate::file::{AttributeTable, SpecFile, ValueTable};
use crate::items::{self, Item};
use crate::names::nearest;
use crate::template::Template;
use crate::{SpecError, canonical};

/// Most images of one spec.
pub const MAX_IMAGES: u64 = 10_000_000;

const MAX_WEIGHT: f64 = 1_000_000.0;

/// A dataset, as a function from an index to a picture's description.
#[derive(Debug)]
pub struct Spec {
    pub(crate) file: SpecFile,
    pub(crate) template: Template,
    pub(crate) negative: Template,
    pub(crate) format: ImageFormat,
    pub(crate) meaning: Value,
    identity: String,
    text: String,
    cells: Vec<Cell>,
    excluded: Vec<Excluded>,
    curation: Option<Curation>,
    /// The cell of every image: interleaved, so that every prefix is balanced.
    order: Vec<u32>,
}

impl Spec {
    /// Reads and checks the spec at `path`.
    ///
    /// # Errors
    /// [`SpecError::InFile`] around what is wrong.
    pub fn open(path: &Path) -> Result<Self, SpecError> {
        let text = fs::read_to_string(path).map_err(|source| SpecError::Read { source }.in_file(path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse_in(&text, folder).map_err(|error| error.in_file(path))
    }

    /// Checks a spec; files that it names are looked for in the current folder.
    ///
    /// # Errors
    /// [`SpecError`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Self::parse_in(text, Path::new(""))
    }

    fn parse_in(text: &str, folder: &Path) -> Result<Self, SpecError> {
        let file: SpecFile = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        check_name("name", &file.name)?;
        for (name, attribute) in &file.attributes {
            check_name("attribute", name)?;
            check_attribute(name, attribute)?;
        }
        let template = parse_template("template", &file.template, &file)?;
        let negative = parse_template("negative_prompt", &file.negative_prompt, &file)?;
        check_all_used(&file, [&template, &negative])?;
        items::check_conditions(&file)?;
        let (cells, excluded) = cells::expand(&file)?;
        items::check_draws(&file, &cells)?;
        let meaning = canonical::canonical(serde_json::to_value(&file).unwrap_or_default());
        Ok(Self {
            template,
            negative,
            format: format(&file)?,
            identity: canonical::identity(&meaning),
            meaning,
            text: text.to_owned(),
            order: items::interleave(&cells),
            curation: Curation::of(&file, folder)?,
            file,
            cells,
            excluded,
        })
    }

    /// The name, fit for a folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// The version; another version of the same spec draws other faces.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.file.version
    }

    /// What the spec is for, in its author's words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.file.description
    }

    /// SHA-256 over what the spec makes: comments, spelling, order of keys, the description, the reasons of exclusions
    /// and the rules of curation do not change it, everything else does.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The TOML text this was made from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `[generation]`: what the generator is to do with every item. This crate reads only its `format`.
    #[must_use]
    pub fn generation(&self) -> &toml::Table {
        &self.file.generation
    }

    /// File format of the images, `generation.format`, PNG when it is not there.
    #[must_use]
    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// By which rules pictures are kept; `None` where every picture that is made is kept.
    #[must_use]
    pub fn curation(&self) -> Option<&Curation> {
        self.curation.as_ref()
    }

    /// The cells of the grid, in the order of the spec.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells that are left out, and why.
    #[must_use]
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// Number of images, at least 1 and at most [`MAX_IMAGES`].
    #[must_use]
    pub fn n_images(&self) -> u64 {
        self.order.len() as u64
    }

    /// What image `index` is: a pure function of the spec's identity and the index. `None` from
    /// [`Spec::n_images`] on.
    #[must_use]
    pub fn item(&self, index: u64) -> Option<Item> {
        items::item(self, Candidate { slot: index, attempt: 0 })
    }

    /// What an attempt for the place of image `slot` is: a pure function of the spec's identity, the place and the attempt.
    /// Attempt 0 is [`Spec::item`] under another name.
    pub(crate) fn candidate(&self, candidate: Candidate) -> Option<Item> {
        Some(Item { file_name: candidate.born(self), ..items::item(self, candidate)? })
    }

    /// Position in [`Spec::cells`] of the cell of an image.
    pub(crate) fn cell_number_of(&self, index: u64) -> Option<usize> {
        let number = self.order.get(usize::try_from(index).ok()?)?;
        usize::try_from(*number).ok()
    }

    pub(crate) fn cell_of(&self, index: u64) -> Option<&Cell> {
        self.cells.get(self.cell_number_of(index)?)
    }

    /// Name of the file of image `index`, with `/`, below the dataset's folder.
    #[must_use]
    pub fn file_name(&self, index: u64) -> String {
        format!("images/{}.{}", self.number(index), self.format.extension())
    }

    /// An index in as many digits as the last one needs, at least six, so that names sort like indices.
    pub(crate) fn number(&self, index: u64) -> String {
        let digits = (self.n_images() - 1).to_string().len().max(6);
        format!("{index:0digits$}")
    }

    pub(crate) fn value(&self, attribute: &str, id: &str) -> Option<&ValueTable> {
        find_value(&self.file, attribute, id)
    }
}

pub(crate) fn find_value<'a>(file: &'a SpecFile, attribute: &str, id: &str) -> Option<&'a ValueTable> {
    let values = &file.attributes.get(attribute)?.values;
    values.iter().find(|value| value.id == id)
}

/// Fails unless the attribute exists, and the value too where one is given.
pub(crate) fn check_reference(
    file: &SpecFile,
    place: &str,
    attribute: &str,
    value: Option<&str>,
) -> Result<(), SpecError> {
    let Some(table) = file.attributes.get(attribute) else {
        return Err(SpecError::UnknownAttribute {
            place: place.to_owned(),
            found: attribute.to_owned(),
            expected: list(file.attributes.keys().map(String::as_str)),
        });
    };
    match value {
        Some(id) if find_value(file, attribute, id).is_none() => Err(SpecError::UnknownValue {
            place: place.to_owned(),
            attribute: attribute.to_owned(),
            found: id.to_owned(),
            expected: list(table.values.iter().map(|value| value.id.as_str())),
        }),
        _ => Ok(()),
    }
}

/// `"a", "b"`, as errors list what is expected.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// `age = young, sex = man`.
pub(crate) fn conditions(values: &BTreeMap<String, String>) -> String {
    values.iter().map(|(name, id)| format!("{name} = {id}")).collect::<Vec<_>>().join(", ")
}

fn syntax(text: &str, error: &toml::de::Error) -> SpecError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |position| position + 1);
    // serde's message quotes the wrong key first, then those it knows.
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| error.message().starts_with("unknown field"));
    SpecError::Syntax {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        nearest: unknown.and_then(|name| nearest(name, quoted)).map(str::to_owned),
        message: error.message().to_owned(),
    }
}

fn check_name(place: &'static str, name: &str) -> Result<(), SpecError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(SpecError::BadName { place, found: name.to_owned() });
    }
    Ok(())
}

fn check_attribute(name: &str, attribute: &AttributeTable) -> Result<(), SpecError> {
    if attribute.values.is_empty() {
        return Err(SpecError::NoValues { attribute: name.to_owned() });
    }
    for (index, value) in attribute.values.iter().enumerate() {
        let (attribute_name, id) = (name.to_owned(), value.id.clone());
        let earlier = attribute.values.iter().take(index);
        if earlier.into_iter().any(|earlier| earlier.id == value.id) {
            return Err(SpecError::RepeatedValue { attribute: attribute_name, value: id });
        }
        if !(0.0..=MAX_WEIGHT).contains(&value.weight) {
            return Err(SpecError::BadWeight { attribute: attribute_name, value: id, found: value.weight });
        }
        let numbered = |text: &String| text.contains("{n}");
        let texts_fit = match value.number {
            Some((smallest, largest)) => smallest <= largest && value.text.iter().all(numbered),
            None => !value.text.iter().any(numbered),
        };
        if !texts_fit {
            return Err(SpecError::BadNumber { attribute: attribute_name, value: id });
        }
    }
    Ok(())
}

fn parse_template(field: &'static str, text: &str, file: &SpecFile) -> Result<Template, SpecError> {
    let template = Template::parse(text).map_err(|position| SpecError::BadTemplate {
        field,
        position: text.get(..position).unwrap_or_default().chars().count() + 1,
    })?;
    let unknown = template.slots().find(|&slot| !file.attributes.contains_key(slot));
    if let Some(slot) = unknown {
        return Err(SpecError::UnknownSlot {
            field,
            slot: slot.to_owned(),
            nearest: nearest(slot, file.attributes.keys().map(String::as_str)).map(str::to_owned),
        });
    }
    Ok(template)
}

fn check_all_used(file: &SpecFile, templates: [&Template; 2]) -> Result<(), SpecError> {
    let in_slot = |name: &str| templates.iter().any(|template| template.slots().any(|slot| slot == name));
    let has_text = |table: &AttributeTable| {
        table.values.iter().any(|value| !value.extra.is_empty() || !value.negative.is_empty())
    };
    let unused = file.attributes.iter().find(|(name, table)| !in_slot(name) && !has_text(table));
    match unused {
        Some((name, _)) => Err(SpecError::UnusedAttribute { attribute: name.clone() }),
        None => Ok(()),
    }
}

fn format(file: &SpecFile) -> Result<ImageFormat, SpecError> {
    let Some(value) = file.generation.get("format") else {
        return Ok(ImageFormat::Png);
    };
    let format = value.as_str().and_then(|name| ImageFormat::from_extension(name).ok());
    format.ok_or_else(|| SpecError::BadFormat { found: value.to_string() })
}

#[cfg(test)]
mod tests;
