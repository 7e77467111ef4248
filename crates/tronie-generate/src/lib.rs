//! Pipelines: one request in, portraits with their full history out.

mod infotext;

pub use infotext::Infotext;
