//! Packs a diffusers folder into the archive that the program embeds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const ARCHIVE: &str = "models/tronie-mini.tar.zst";

/// Writes `models/tronie-mini.tar.zst` from `folder`: same files, same bytes, whatever the clock says.
pub fn pack_mini(folder: &Path) -> Result<()> {
    ensure!(folder.join("model_index.json").is_file(), "{} is not a diffusers folder", folder.display());
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "json" || extension == "safetensors")
    });
    files.sort();
    let encoder = zstd::Encoder::new(File::create(ARCHIVE)?, 19)?;
    let mut archive = tar::Builder::new(encoder);
    for file in &files {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, file.strip_prefix(folder)?, bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?;
    println!("{ARCHIVE}: {} files, {} bytes", files.len(), fs::metadata(ARCHIVE)?.len());
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
