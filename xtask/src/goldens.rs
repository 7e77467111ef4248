//! Every file below `testdata/` has a row in its folder's MANIFEST.toml, and is what the row says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "MANIFEST.toml";
/// All goldens together, so that a clone stays small.
const MAX_TOTAL_BYTES: u64 = 6_000_000;

/// One golden. Written by `reference/golden.py`, or by `cargo xtask manifest` for files of our own making.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// One sentence on what it is.
    note: String,
    /// "reference" or, admitted, "self".
    origin: String,
    /// The script below `reference/`; empty for origin "self".
    script: String,
    script_sha256: String,
    versions: String,
    /// Largest relative error a test accepts.
    tolerance: f64,
    bytes: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

/// Fails on a file without a row, a row without a file, a changed file, or too many bytes.
pub fn check() -> Result<()> {
    let files = crate::tracked_files("testdata")?;
    let mut total_bytes = 0;
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = file.parent().context("a golden lies in a folder")?;
        if name == MANIFEST {
            for listed in read_manifest(folder)?.keys() {
                ensure!(
                    folder.join(listed).is_file(),
                    "{} lists {listed}, which is not there",
                    file.display()
                );
            }
            continue;
        }
        let rows = read_manifest(folder)?;
        let row = rows.get(&name).with_context(|| format!("{} has no manifest row", file.display()))?;
        total_bytes += row.bytes;
        check_row(file, row)?;
    }
    ensure!(total_bytes <= MAX_TOTAL_BYTES, "goldens take {total_bytes} bytes, at most {MAX_TOTAL_BYTES}");
    println!("{} files, {total_bytes} bytes", files.len());
    Ok(())
}

fn check_row(file: &Path, row: &Row) -> Result<()> {
    let bytes = fs::read(file)?;
    ensure!(row.sha256 == sha256(&bytes), "{} is not the file its manifest describes", file.display());
    match row.origin.as_str() {
        "self" => Ok(()),
        "reference" => {
            let script = Path::new("reference").join(&row.script);
            let source =
                fs::read(&script).with_context(|| format!("{} made {}", script.display(), file.display()))?;
            if row.script_sha256 != sha256(&source) {
                bail!("{} changed since it made {}: run it again", script.display(), file.display());
            }
            Ok(())
        }
        other => bail!("{}: origin \"{other}\", expected \"reference\" or \"self\"", file.display()),
    }
}

/// Adds or replaces the row of a golden that we made ourselves.
pub fn record(file: &Path, note: &str) -> Result<()> {
    let bytes = fs::read(file)?;
    let folder = file.parent().context("a golden lies in a folder")?;
    let name = file.file_name().context("a golden has a name")?.to_string_lossy().into_owned();
    let mut rows = if folder.join(MANIFEST).is_file() { read_manifest(folder)? } else { BTreeMap::new() };
    let row = Row {
        note: note.to_owned(),
        origin: "self".into(),
        script: String::new(),
        script_sha256: String::new(),
        versions: String::new(),
        tolerance: 0.0,
        bytes: bytes.len() as u64,
        sha256: sha256(&bytes),
        seed: None,
    };
    rows.insert(name, row);
    let text =
        format!("# Written by reference/golden.py; xtask goldens checks it.\n\n{}", toml::to_string(&rows)?);
    Ok(fs::write(folder.join(MANIFEST), text)?)
}

fn read_manifest(folder: &Path) -> Result<BTreeMap<String, Row>> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
