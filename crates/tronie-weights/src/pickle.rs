//! Reading pickles without running them.
//!
//! A pickle is a program for a small stack machine, and two of its instructions call any Python function by name:
//! loading a foreign `.ckpt` in Python runs whatever its author wrote. Here nothing is ever called. The machine builds
//! inert data from the few instructions and the few names that checkpoints consist of ([`globals`]) and refuses
//! everything else, naming it. Every loop, allocation and depth is bounded, so a hostile file costs neither memory nor
//! time.
//!
//! - [`machine`]: the instructions, [`call`]: what the allowed names stand for, [`arena`]: the objects they make
//! - [`tree`]: the finished [`Value`], [`storage`]: where the numbers of a tensor are
//! - [`archive`]: files of PyTorch 1.6 and later (zip), [`legacy`]: files from before
//!
//! Instruction set: CPython `Lib/pickletools.py`. File formats: `torch/serialization.py`.

mod archive;
mod arena;
mod call;
mod cursor;
mod error;
mod globals;
mod legacy;
mod machine;
mod numpy;
mod opcode;
mod storage;
mod tree;
mod value;
mod zip;

pub use error::{Limit, PickleError, PickleProblem};
pub use storage::TensorView;
pub use value::Value;
pub use zip::{ArchiveError, EntryProblem};

pub(crate) use archive::Archive;
pub(crate) use legacy::Legacy;
pub(crate) use machine::{Foreign, Interpreted, Mentioned};
pub(crate) use storage::{ReadError, StoredRange};
