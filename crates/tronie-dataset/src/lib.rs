//! A dataset is a program: a spec goes in, a balanced and reproducible folder of portraits comes out.
//!
//! - [`Spec`]: a checked TOML spec. [`Spec::item`] says what picture `index` is, from the spec and the index alone.
//! - [`plan()`]: what a spec will make, before anything is made.
//! - [`build()`]: makes it, resumably: killed at any moment and started again, the folder ends up the same bytes.
//! - [`status()`]: how far a folder is.
//! - [`Curation`]: rules by which pictures are kept: [`MEASURES`], filters, verified attributes, duplicates, attempts.
//! - [`report()`]: what was asked for against what was measured; [`decided`], [`review()`]: decisions, and ones by hand.
//! - [`search()`], [`alike`]: duplicates in folders, leaks between them, pictures with two labels.
//! - [`Collection`]: pictures in any of the layouts that are read; [`export()`]: into any of [`FORMATS`].
//! - [`Generator`], [`Measurer`]: whoever turns items into pictures, and whoever looks at them. This crate knows no model.
//!
//! Data flow: TOML → `SpecFile` (what was written) → [`Spec`] (what it means: cells and their counts) → [`Item`]s →
//! [`Generator`] → folder. With rules: candidates → [`Measurer`] → `annotations` → `judge` → `rounds` (which are kept, which
//! are needed next) → [`Generator`] again, until nothing is needed → `audit` → folder.

mod annotations;
mod audit;
mod build;
mod candidate;
mod canonical;
mod cells;
mod collection;
mod curate;
mod curation;
mod dedup;
mod disk;
mod error;
mod export;
mod file;
mod fingerprint;
mod folder;
mod generator;
mod items;
mod judge;
mod likeness;
mod maker;
mod measurer;
mod measures;
mod names;
mod plan;
mod report;
mod review;
mod rounds;
mod spec;
mod statistics;
mod status;
mod template;
#[cfg(test)]
mod testing;

pub use audit::{
    AttributeAudit, Audit, CellAudit, Divergence, JointAudit, JointRow, PairAudit, Stop, Three, ValueAudit,
    report,
};
pub use build::{BuildOptions, Crew, Shard, Summary, build};
pub use cells::{Cell, Excluded};
pub use collection::{About, Collection, Layout, Picture, Split};
pub use curation::{Curation, CurationError, MAX_ATTEMPTS};
pub use dedup::{Findings, Repeat, Search, Trouble, remember_different, search, set_aside};
pub use error::{BuildError, SpecError};
pub use export::{
    Annotations, ExportError, ExportOptions, Exported, FORMATS, FormatRow, Need, export, format,
};
pub use generator::{BoxedFaulty, GeneratedImage, Generator};
pub use items::Item;
pub use judge::Reason;
pub use likeness::{Likeness, Limits, MAX_PAIRS, Pair, Print, alike, best};
pub use measurer::{FaceMeasurer, Measurer};
pub use measures::{MEASURES, MeasureRow, Measured, Measures, Read};
pub use plan::{Plan, Rate, plan};
pub use review::{Decided, Decision, Ruling, decided, review};
pub use spec::{MAX_IMAGES, Spec};
pub use statistics::Interval;
pub use status::{Status, status};
