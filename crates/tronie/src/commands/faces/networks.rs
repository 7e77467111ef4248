//! `tronie faces annotators`: the table, and which networks are here.

use serde_json::json;
use tronie_faces::onnx::Network;
use tronie_faces::{ANNOTATORS, AnnotatorRow, FacesError, NetworkFile, NetworkFolders, Source};

use super::Eyes;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    eyes: Eyes,
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let folders = args.eyes.folders();
    for row in ANNOTATORS {
        let state = state(row, &folders);
        let usual = if row.is_default { "default" } else { "" };
        let mut text = format!("{:12} {usual:8} {}: {state}", row.id, row.title);
        let mut value = json!({
            "id": row.id, "title": row.title, "default": row.is_default, "state": state,
            "makes": row.makes.iter().map(|part| part.name()).collect::<Vec<_>>(),
        });
        if let Some(network) = row.source.network() {
            text.push_str(&format!("\n{:21} {}; {}", "", network.licence, network.source_url));
            if let Some(object) = value.as_object_mut() {
                let files = network.files.iter();
                let file = |file: &NetworkFile| json!({ "name": file.name, "sha256": file.sha256, "bytes": file.n_bytes });
                object.insert("files".into(), files.map(file).collect());
                object.insert("licence".into(), json!(network.licence));
                object.insert("credit".into(), json!(network.credit));
                object.insert("source".into(), json!(network.source_url));
            }
        }
        ui.result(&text, value)?;
    }
    Ok(())
}

fn state(row: &AnnotatorRow, folders: &NetworkFolders) -> String {
    match &row.source {
        Source::Arithmetic(_) => "needs no network".to_owned(),
        Source::Network(network, _) => in_words(folders.open(row.id, network)),
        Source::Embedded(network, bytes, _) => in_words(folders.open_or_embedded(row.id, network, bytes())),
    }
}

fn in_words(opened: Result<Network, FacesError>) -> String {
    opened.map_or_else(|error| error.to_string(), |found| found.path().display().to_string())
}
