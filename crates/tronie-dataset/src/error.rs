//! What can be wrong with a spec, and what can stop a build.

use std::io;
use std::path::{Path, PathBuf};

use tronie_base::{Cancelled, Fault, Faulty, LockError, WriteError};
use tronie_faces::FacesError;
use tronie_image::ImageError;

use crate::curation::CurationError;
use crate::generator::BoxedFaulty;
use crate::likeness::MAX_PAIRS;
use crate::spec::MAX_IMAGES;

/// A spec that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Any of the others, and the file it is in.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<SpecError>,
    },
    /// The file cannot be read.
    #[error("cannot read: {source}")]
    Read {
        /// What the operating system said.
        source: io::Error,
    },
    /// Not TOML, or a key or type that a spec does not have.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
        /// The key that was meant, if there is one close by.
        nearest: Option<String>,
    },
    /// A name that cannot be a folder or a table key everywhere.
    #[error("{place} \"{found}\", expected letters, digits, \"-\" and \"_\"")]
    BadName {
        /// What is named.
        place: &'static str,
        /// The name.
        found: String,
    },
    /// A brace that opens or closes nothing.
    #[error(
        "{field}: brace at character {position} is not part of a {{slot}}; write {{{{ or }}}} for a brace"
    )]
    BadTemplate {
        /// `template` or `negative_prompt`.
        field: &'static str,
        /// Where, in characters from 1.
        position: usize,
    },
    /// A slot that no attribute fills.
    #[error("{field} has a slot {{{slot}}}, but there is no attribute of that name")]
    UnknownSlot {
        /// `template` or `negative_prompt`.
        field: &'static str,
        /// The slot.
        slot: String,
        /// The attribute that was meant, if there is one close by.
        nearest: Option<String>,
    },
    /// An attribute that changes nothing.
    #[error("attribute \"{attribute}\" is in no slot and has no extra or negative text")]
    UnusedAttribute {
        /// The attribute.
        attribute: String,
    },
    /// An attribute without values.
    #[error("attribute \"{attribute}\" has no values")]
    NoValues {
        /// The attribute.
        attribute: String,
    },
    /// Two values with one id.
    #[error("attribute \"{attribute}\" has the value \"{value}\" twice")]
    RepeatedValue {
        /// The attribute.
        attribute: String,
        /// The value.
        value: String,
    },
    /// A weight that is no weight.
    #[error("attribute \"{attribute}\", value \"{value}\": weight {found}, expected 0 to 1000000")]
    BadWeight {
        /// The attribute.
        attribute: String,
        /// The value.
        value: String,
        /// The weight.
        found: f64,
    },
    /// A range of numbers that is empty, or does not go with the text.
    #[error(
        "attribute \"{attribute}\", value \"{value}\": expected number = [smallest, largest] together with {{n}} in every text"
    )]
    BadNumber {
        /// The attribute.
        attribute: String,
        /// The value.
        value: String,
    },
    /// A reference to an attribute that is not there.
    #[error("{place} names the attribute \"{found}\", expected one of: {expected}")]
    UnknownAttribute {
        /// Who refers to it.
        place: String,
        /// The name.
        found: String,
        /// The attributes there are.
        expected: String,
    },
    /// A reference to a value that is not there.
    #[error("{place} names the value \"{found}\" of \"{attribute}\", expected one of: {expected}")]
    UnknownValue {
        /// Who refers to it.
        place: String,
        /// The attribute.
        attribute: String,
        /// The value.
        found: String,
        /// The values there are.
        expected: String,
    },
    /// A condition on an attribute that has conditions.
    #[error(
        "attribute \"{attribute}\" depends on \"{on}\", which has conditions itself, expected one without"
    )]
    ChainedCondition {
        /// The attribute with the condition.
        attribute: String,
        /// The one it depends on.
        on: String,
    },
    /// An attribute both fixed and repeated over, or repeated over twice.
    #[error("{place} uses the attribute \"{attribute}\" twice")]
    AttributeTwice {
        /// The row or quota.
        place: String,
        /// The attribute.
        attribute: String,
    },
    /// Both ways of stating counts, or none.
    #[error("{}, expected one of them", if *has_both { "both [quota] and [[rows]]" } else { "neither [quota] nor [[rows]]" })]
    QuotaOrRows {
        /// Whether there are both.
        has_both: bool,
    },
    /// A cell of zero images.
    #[error(
        "cell \"{cell}\" has a count of 0, expected at least 1; leave it out with [[exclude]] and a reason"
    )]
    EmptyCell {
        /// The cell.
        cell: String,
    },
    /// Two cells of one name.
    #[error("cell \"{cell}\" is there twice")]
    RepeatedCell {
        /// The cell.
        cell: String,
    },
    /// A cell in which nothing is left to draw.
    #[error("cell \"{cell}\": no value of \"{attribute}\" is left to draw{with}")]
    NoValueLeft {
        /// The cell.
        cell: String,
        /// The attribute.
        attribute: String,
        /// With which values of others, empty when always.
        with: String,
    },
    /// A cell that fixes a value whose condition it does not meet.
    #[error("cell \"{cell}\": {value} needs \"{on}\" to be one of: {expected}; found {found}")]
    ConditionNotMet {
        /// The cell.
        cell: String,
        /// The value and its attribute.
        value: String,
        /// The attribute it depends on.
        on: String,
        /// The values that may have.
        expected: String,
        /// What it is in the cell.
        found: String,
    },
    /// An exclusion that excludes nothing.
    #[error("[[exclude]] \"{when}\" matches no cell")]
    UselessExclusion {
        /// Its condition.
        when: String,
    },
    /// Nothing is left to make.
    #[error("no cells are left: every one is excluded")]
    NoCells,
    /// More images than a folder is for.
    #[error("{found} images, expected at most {MAX_IMAGES}")]
    TooManyImages {
        /// How many.
        found: u64,
    },
    /// Counts that do not add up to what the spec says.
    #[error("the cells add up to {found} images, expected total = {expected}")]
    TotalDiffers {
        /// The sum.
        found: u64,
        /// The statement.
        expected: u64,
    },
    /// Rules of curation that cannot be meant.
    #[error(transparent)]
    Curation(#[from] CurationError),
    /// A file format that is not written.
    #[error("generation.format is {found}, expected \"png\", \"jpeg\" or \"webp\"")]
    BadFormat {
        /// What it is.
        found: String,
    },
}

impl SpecError {
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

impl Faulty for SpecError {
    fn fault(&self) -> Fault {
        match self {
            Self::InFile { source, .. } => source.fault(),
            Self::Read { source } if source.kind() != io::ErrorKind::NotFound => Fault::Environment,
            _ => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InFile { source, .. } => source.hint(),
            Self::Curation(error) => error.hint(),
            Self::Syntax { nearest: Some(name), .. } => Some(format!("did you mean \"{name}\"?")),
            Self::UnknownSlot { nearest: Some(name), .. } => Some(format!("did you mean {{{name}}}?")),
            Self::UnknownSlot { slot, .. } => Some(format!("add [attributes.{slot}]")),
            Self::UnusedAttribute { attribute } => Some(format!("write {{{attribute}}} into the template")),
            Self::ConditionNotMet { on, found, .. } if found == "drawn" => {
                Some(format!("add {on} to the row's set or for_each"))
            }
            Self::ConditionNotMet { .. } => Some("leave the cell out with [[exclude]] and a reason".into()),
            _ => None,
        }
    }
}

/// A build that stopped. Everything finished until then is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file could not be read, removed or listed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Someone else is building here, or nobody can.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A folder with files of some other origin.
    #[error("{} holds files but no dataset, for example {example}", folder.display())]
    NotADataset {
        /// The folder.
        folder: PathBuf,
        /// One of its files.
        example: String,
    },
    /// A folder that another spec began.
    #[error("{} was begun from another spec: {}", folder.display(), changes.join("; "))]
    AnotherSpec {
        /// The folder.
        folder: PathBuf,
        /// What changed between that spec and this one.
        changes: Vec<String>,
    },
    /// A folder that another model began.
    #[error("{} was begun with the model {found}, now it is {expected}", folder.display())]
    AnotherModel {
        /// The folder.
        folder: PathBuf,
        /// Model of the folder, with its hash.
        found: String,
        /// Model of this run, with its hash.
        expected: String,
    },
    /// A shard that does not exist.
    #[error("shard \"{found}\", expected i/n with 1 <= i <= n")]
    BadShard {
        /// What was asked for.
        found: String,
    },
    /// The generator failed.
    #[error("images {first} to {last}: {cause}")]
    Generate {
        /// Index of the first image of the batch.
        first: u64,
        /// Index of its last image.
        last: u64,
        /// What went wrong.
        cause: BoxedFaulty,
    },
    /// The generator returned something else than was asked for.
    #[error("images {first} to {last}: the generator returned {found}, expected {expected}")]
    BadGenerator {
        /// Index of the first image of the batch.
        first: u64,
        /// Index of its last image.
        last: u64,
        /// What it returned.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The annotators failed.
    #[error("looking at candidates: {cause}")]
    Measure {
        /// What went wrong.
        cause: BoxedFaulty,
    },
    /// The annotators returned something else than was asked for.
    #[error("the annotators returned {found} answers, expected {expected}")]
    BadMeasurer {
        /// How many answers.
        found: usize,
        /// For how many pictures.
        expected: usize,
    },
    /// A taste that cannot be read.
    #[error("taste of [measure]: {0}")]
    Taste(FacesError),
    /// A folder whose pictures cannot be listed.
    #[error(transparent)]
    Pictures(FacesError),
    /// More pairs of alike pictures than a search keeps.
    #[error("more than {MAX_PAIRS} pairs of pictures are alike")]
    TooManyPairs,
    /// Embeddings that cannot be compared.
    #[error("embeddings of {expected} and of {found} numbers, expected those of one network")]
    MixedEmbeddings {
        /// Numbers of one.
        found: usize,
        /// Numbers of another.
        expected: usize,
    },
    /// A folder's own spec cannot be read.
    #[error(transparent)]
    BadSpec(Box<SpecError>),
    /// A folder in which no decisions were made.
    #[error("{} has no candidates.jsonl: no build with rules of curation has ended in it", folder.display())]
    NotCurated {
        /// The folder.
        folder: PathBuf,
    },
    /// A picture about which nothing was decided.
    #[error("{} has no candidate \"{found}\"", folder.display())]
    NoCandidate {
        /// The folder.
        folder: PathBuf,
        /// What was asked for.
        found: String,
    },
    /// A picture for the contact sheet could not be used.
    #[error("contact sheet: {0}")]
    Image(#[from] ImageError),
    /// A record that is not what this program writes.
    #[error("{}: not a record of this program: {source}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Faulty for BuildError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled(_) => Fault::Interrupted,
            Self::Write(error) => error.fault(),
            Self::Io { .. } => Fault::Environment,
            Self::Lock(error) => error.fault(),
            Self::NotADataset { .. }
            | Self::AnotherSpec { .. }
            | Self::AnotherModel { .. }
            | Self::BadShard { .. }
            | Self::TooManyPairs
            | Self::MixedEmbeddings { .. }
            | Self::NotCurated { .. }
            | Self::NoCandidate { .. }
            | Self::BadRecord { .. } => Fault::Input,
            Self::Generate { cause, .. } => cause.fault(),
            Self::Measure { cause } => cause.fault(),
            Self::Taste(error) | Self::Pictures(error) => error.fault(),
            Self::BadSpec(error) => error.fault(),
            Self::BadGenerator { .. } | Self::BadMeasurer { .. } => Fault::Bug,
            Self::Image(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write(error) => error.hint(),
            Self::Io { source, .. } if is_refusal(source) => Some("choose a folder you may write to".into()),
            Self::Lock(error) => error.hint(),
            Self::NotADataset { .. } => Some("choose a new or empty folder".into()),
            Self::AnotherSpec { .. } | Self::AnotherModel { .. } => Some(
                "choose another folder, or start this one over with --force, which deletes its images".into(),
            ),
            Self::Generate { cause, .. } | Self::Measure { cause } => cause.hint(),
            Self::Taste(error) | Self::Pictures(error) => error.hint(),
            Self::TooManyPairs => Some("ask for more likeness: a larger cosine, fewer bits".into()),
            Self::NotCurated { .. } => Some("run `tronie dataset build` to the end first".into()),
            Self::NoCandidate { .. } => Some("`tronie dataset review` lists them".into()),
            Self::Image(error) => error.hint(),
            Self::BadRecord { .. } => Some("start the folder over with --force".into()),
            _ => None,
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory
    )
}
