//! Masks: 8-bit PNG with a palette, whose indices are classes, beside the pictures.

use serde_json::{Map, Value, json};
use tronie_base::Progress;

use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow, Need, labels};

pub(super) const ROW: FormatRow = FormatRow {
    id: "masks",
    title: "segmentation trainers, FiftyOne's ImageSegmentationDirectory, CVAT",
    layout: "`data/train/NAME.png` and `labels/train/NAME.png`; `labels.json` names the classes: the 19 of face-parsing.PyTorch with \
             `--masks`, else background, eye, eyebrow, mouth, nose",
    needs: Some(Need::Classes),
    write,
};

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let names = labels::names(context);
    let palette = labels::palette(names.len());
    context.each(progress, |item| {
        staging.write(&format!("data/{}", item.path()), &item.bytes)?;
        let mask = labels::of(context, item)?.encode(Some(&palette))?;
        staging.count_picture();
        staging.write(&format!("labels/{}/{}.png", item.picture.split.name(), item.stem()), &mask)
    })?;
    let classes = names.iter().zip(&palette).enumerate();
    let classes: Map<String, Value> = classes
        .map(|(class, (name, color))| (class.to_string(), json!({ "name": name, "color": color })))
        .collect();
    staging.write("labels.json", format!("{:#}\n", Value::Object(classes)).as_bytes())
}
