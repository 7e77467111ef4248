//! Files stay short enough to be read. Functions are held to their budget by clippy (clippy.toml).

use std::fs;

use anyhow::{Result, ensure};

/// Lines of one source file; a file's tests lie beside it and may be twice as long.
const MAX_LINES: usize = 500;

/// Fails with the list of all files over budget.
pub fn check() -> Result<()> {
    let mut over = Vec::new();
    for file in crate::tracked_files("*.rs")? {
        let is_test = file.file_stem().is_some_and(|stem| stem == "tests")
            || file.components().any(|part| part.as_os_str() == "tests");
        let budget = if is_test { 2 * MAX_LINES } else { MAX_LINES };
        let n_lines = fs::read_to_string(&file)?.lines().count();
        if n_lines > budget {
            over.push(format!("{}: {n_lines} lines, at most {budget}", file.display()));
        }
    }
    ensure!(over.is_empty(), "{}", over.join("\n"));
    Ok(())
}
