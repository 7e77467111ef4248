//! Pipelines: one request in, portraits with their full history out.
