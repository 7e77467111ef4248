//! What every crate of tronie shares and none owns.
//!
//! - [`Fault`]: what kind of failure this is; one table turns it into exit codes and HTTP statuses.
//! - [`Progress`]: how long work reports itself and learns that it was cancelled.
//! - [`derive_seed`]: a seed from (namespace, index), the same on every machine and shard.
//! - [`write_atomic`]: a file is there whole or not at all.
//! - [`sha256_hex`], [`sha256_of_file`], [`hex`]: hashes the way people and files write them.
//! - [`FolderLock`]: one process at a time in a folder.

mod atomic_file;
mod fault;
mod folder_lock;
mod hash;
mod progress;
mod seed;

pub use atomic_file::{AtomicFile, TEMPORARY, WriteError, temporary_sibling, write_atomic};
pub use fault::{Fault, Faulty};
pub use folder_lock::{FolderLock, LockError};
pub use hash::{hex, sha256_hex, sha256_of_file};
pub use progress::{Cancelled, Progress, Silent};
pub use seed::derive_seed;
