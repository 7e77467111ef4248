//! Dependencies point down only.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Top to bottom. A crate may depend on any crate of a lower row, and on none of its own row or above.
const LAYERS: &[&[&str]] = &[
    &["tronie"],
    &["tronie-server"],
    &["tronie-jobs"],
    &["tronie-dataset", "tronie-train", "tronie-evaluate", "tronie-video"],
    &["tronie-generate"],
    &["tronie-faces"],
    &["tronie-models"],
    &["tronie-sampling"],
    &["tronie-prompt"],
    &["tronie-weights", "tronie-image"],
    &["tronie-tensor"],
    &["tronie-base"],
];

/// (crate that may not be used, the only crates that may use it directly).
const CONFINED: &[(&str, &[&str])] = &[
    ("burn", &["tronie-tensor"]),
    ("burn-flex", &["tronie-tensor"]),
    ("gemm", &["tronie-tensor"]),
    ("faer", &["tronie-models", "tronie-evaluate"]),
    ("rten", &["tronie-faces"]),
    ("rten-tensor", &["tronie-faces"]),
    ("tokio", &["tronie-server", "tronie"]),
    ("ureq", &["tronie-weights"]),
    ("clap", &["tronie"]),
    ("indicatif", &["tronie"]),
    ("anyhow", &["tronie", "xtask"]),
];

/// Fails on the first edge that points up or sideways, and on a confined dependency outside its crates.
pub fn check() -> Result<()> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    for package in metadata["packages"].as_array().context("metadata has packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().context("packages have dependencies")? {
            let is_dev = dependency["kind"] == "dev";
            check_edge(name, dependency["name"].as_str().unwrap_or_default(), is_dev)?;
        }
    }
    Ok(())
}

fn check_edge(from: &str, to: &str, is_dev: bool) -> Result<()> {
    if let Some((_, allowed)) = CONFINED.iter().find(|row| row.0 == to) {
        ensure!(is_dev || allowed.contains(&from), "{from} may not use {to}, only {allowed:?} may");
    }
    if to == "tronie-testing" {
        ensure!(is_dev, "{from} uses tronie-testing outside its tests");
        return Ok(());
    }
    let (Some(from_row), Some(to_row)) = (row_of(from), row_of(to)) else {
        let is_ours = to.starts_with("tronie") && !matches!(from, "xtask" | "tronie-testing");
        ensure!(!is_ours, "{from} -> {to}: add the crate to LAYERS in xtask/src/layers.rs");
        return Ok(());
    };
    ensure!(from_row < to_row, "{from} -> {to} points up or sideways");
    Ok(())
}

fn row_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_up_and_sideways_are_refused() {
        assert!(check_edge("tronie-models", "tronie-tensor", false).is_ok());
        assert!(check_edge("tronie-tensor", "tronie-models", false).is_err());
        assert!(check_edge("tronie-dataset", "tronie-train", false).is_err());
        assert!(check_edge("tronie-models", "burn", false).is_err());
        assert!(check_edge("tronie-prompt", "tronie-testing", false).is_err());
        assert!(check_edge("tronie-prompt", "tronie-testing", true).is_ok());
    }
}
