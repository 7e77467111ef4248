//! Pages that are generated from the code. The tests that compare them leave a `.new.md` beside each that differs.

use std::fs;

use anyhow::{Result, bail};

/// Writes the pages again.
pub fn write() -> Result<()> {
    // The tests fail where a page differs, which is what is about to be mended.
    let outcome = crate::cargo(&["test", "--workspace", "--bin", "tronie", "commands::reference"]);
    let mut n_written = 0;
    for entry in fs::read_dir("docs")? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if let Some(stem) = name.strip_suffix(".new.md") {
            fs::rename(&path, format!("{stem}.md"))?;
            println!("wrote {stem}.md");
            n_written += 1;
        }
    }
    match outcome {
        Err(error) if n_written == 0 => bail!("no page was made: {error}"),
        _ => Ok(()),
    }
}
