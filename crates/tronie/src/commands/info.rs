//! `tronie info <image>...`: what an image says about how it was made.

use std::path::PathBuf;

use serde_json::{Value, json};
use tronie_generate::history::history_in;
use tronie_generate::record;

use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// PNG, JPEG or WebP files
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    for path in &args.images {
        let entries = tronie_image::read_text_from(path)?;
        let request = history_in(&entries, path).ok().map(|history| history.request);
        let fields: Vec<Value> =
            entries.iter().map(|entry| json!({ "key": entry.key, "text": entry.value })).collect();
        let mut text = format!("{}\n", path.display());
        for entry in entries.iter().filter(|entry| entry.key != record::KEYWORD) {
            text.push_str(&format!("[{}]\n{}\n", entry.key, entry.value));
        }
        if let Some(request) = &request {
            let pretty = serde_json::to_string_pretty(request).unwrap_or_default();
            text.push_str(&format!("[{}]\n{pretty}\n", record::KEYWORD));
        }
        if entries.is_empty() {
            text.push_str("(no text in this file)\n");
        }
        let value = json!({ "path": path.display().to_string(), "text": fields, "request": request });
        ui.result(text.trim_end(), value)?;
    }
    Ok(())
}
