//! The program as a person meets it: a folder, a command, what comes out, and how it ended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod dataset;
mod edit;
mod evaluate;
mod export;
mod faces;
mod generate;
mod inversion;
mod lora;
mod models;
mod pictures;
mod readme;
mod reproduce;
mod support;
mod train;
