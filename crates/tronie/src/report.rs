//! The one shape in which errors reach a person: what failed, on what value, what to do next.

use tronie_base::{Fault, Faulty};

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) fault: Fault,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Report {
    /// A problem with what was typed.
    pub(crate) fn input(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { fault: Fault::Input, message: message.into(), hint: hint.map(str::to_owned) }
    }
}

impl<E: Faulty> From<E> for Report {
    fn from(error: E) -> Self {
        Self { fault: error.fault(), message: error.to_string(), hint: error.hint() }
    }
}
