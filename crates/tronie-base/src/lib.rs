//! What every crate of tronie shares and none owns.
//!
//! - [`Fault`]: what kind of failure this is; one table turns it into exit codes and HTTP statuses.
//! - [`Progress`]: how long work reports itself and learns that it was cancelled.
//! - [`derive_seed`]: a seed from (namespace, index), the same on every machine and shard.
//! - [`write_atomic`]: a file is there whole or not at all.

mod atomic_file;
mod fault;
mod progress;
mod seed;

pub use atomic_file::{AtomicFile, TEMPORARY, WriteError, temporary_sibling, write_atomic};
pub use fault::{Fault, Faulty};
pub use progress::{Cancelled, Progress, Silent};
pub use seed::derive_seed;
