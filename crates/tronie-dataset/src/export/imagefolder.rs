//! Hugging Face `imagefolder`: a folder of pictures for each split, and `metadata.jsonl` in it.
//!
//! <https://huggingface.co/docs/datasets/image_dataset#imagefolder>: `file_name` is relative to the metadata.

use serde_json::Value;
use tronie_base::Progress;

use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow, card};
use crate::Split;
use crate::folder::METADATA;

pub(super) const ROW: FormatRow = FormatRow {
    id: "imagefolder",
    title: "Hugging Face datasets, pictures as files",
    layout: "`train/NAME`, `train/metadata.jsonl`, the same for other splits; `README.md`, `samples.png`",
    needs: None,
    write,
};

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    write_pictures(context, staging, progress)?;
    let splits = context.collection.splits().into_iter();
    let files = splits.map(|split| (split, format!("{}/**", split.name()))).collect::<Vec<_>>();
    card::write_for(context, staging, &files)
}

/// The pictures and the metadata of every split.
pub(super) fn write_pictures(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let mut lines = Split::ALL.map(|split| (split, String::new()));
    context.each(progress, |item| {
        staging.write(&item.path(), &item.bytes)?;
        staging.count_picture();
        let row = Value::Object(context.row(item.picture, item.name));
        for (_, text) in lines.iter_mut().filter(|(split, _)| *split == item.picture.split) {
            text.push_str(&format!("{row}\n"));
        }
        Ok(())
    })?;
    for (split, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        staging.write(&format!("{}/{METADATA}", split.name()), text.as_bytes())?;
    }
    Ok(())
}
