//! No dependency whose licence would bind the program: the project is MIT OR Apache-2.0.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};

/// Licences that are fine on their own.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "OpenSSL",
];

/// Fails with the list of all packages the program is built from whose licence offers no allowed choice.
pub fn check() -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}\t{l}"])
        .output()?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let packages: BTreeSet<(&str, &str)> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let refused = packages.iter().filter(|package| !is_allowed(package.1));
    let refused: Vec<String> =
        refused.map(|(name, licence)| format!("{name}: licence \"{licence}\"")).collect();
    ensure!(refused.is_empty(), "{}", refused.join("\n"));
    println!("{} packages", packages.len());
    Ok(())
}

/// Whether an SPDX expression of ANDs of ORs (which is all that occurs) leaves an allowed choice.
fn is_allowed(expression: &str) -> bool {
    let parts = expression.split(" AND ").map(|part| part.trim_matches(['(', ')']));
    parts.into_iter().all(|part| {
        part.split(" OR ")
            .flat_map(|choice| choice.split('/'))
            .any(|choice| ALLOWED.contains(&choice.trim_matches(['(', ')', ' '])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_licences_needs_one_allowed_member() {
        assert!(is_allowed("MIT OR Apache-2.0"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("LGPL-2.1-or-later OR MIT"));
        assert!(!is_allowed("GPL-3.0-only"));
        assert!(!is_allowed("MIT AND AGPL-3.0"));
    }
}
