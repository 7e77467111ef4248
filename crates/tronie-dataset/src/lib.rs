//! A dataset is a program: a spec goes in, a balanced and reproducible folder of portraits comes out.
//!
//! - [`Spec`]: a checked TOML spec. [`Spec::item`] says what picture `index` is, from the spec and the index alone.
//! - [`plan()`]: what a spec will make, before anything is made.
//! - [`build()`]: makes it, resumably: killed at any moment and started again, the folder ends up the same bytes.
//! - [`status()`]: how far a folder is.
//! - [`Collection`]: pictures in any of the layouts that are read; [`export()`]: into any of [`FORMATS`].
//! - [`Generator`]: whoever turns items into pictures. This crate knows no model.
//!
//! Data flow: TOML → `SpecFile` (what was written) → [`Spec`] (what it means: cells and their counts) → [`Item`]s →
//! [`Generator`] → folder.

mod build;
mod canonical;
mod cells;
mod collection;
mod disk;
mod error;
mod export;
mod file;
mod folder;
mod generator;
mod items;
mod names;
mod plan;
mod report;
mod spec;
mod status;
mod template;

pub use build::{BuildOptions, Shard, Summary, build};
pub use cells::{Cell, Excluded};
pub use collection::{About, Collection, Layout, Picture, Split};
pub use error::{BuildError, SpecError};
pub use export::{
    Annotations, ExportError, ExportOptions, Exported, FORMATS, FormatRow, Need, export, format,
};
pub use generator::{BoxedFaulty, GeneratedImage, Generator};
pub use items::Item;
pub use plan::{Plan, Rate, plan};
pub use spec::{MAX_IMAGES, Spec};
pub use status::{Status, status};
