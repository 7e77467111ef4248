//! YOLO segmentation in the layout of ultralytics: a text file beside every picture, one polygon per line.
//!
//! <https://docs.ultralytics.com/datasets/segment/>: `class x1 y1 x2 y2 ...`, each coordinate divided by the side of the
//! picture. The classes are those of tobecwb's facial-features-yolo8x-seg, in their order.

use tronie_base::Progress;
use tronie_faces::Region;

use super::context::{Context, Item};
use super::staging::Staging;
use super::{ExportError, FormatRow, Need, coco, labels};
use crate::Split;

pub(super) const ROW: FormatRow = FormatRow {
    id: "yolo_seg",
    title: "ultralytics, YOLO segmentation",
    layout: "`images/train/NAME.png`, `labels/train/NAME.txt`, `data.yaml`; classes eye, eyebrow, mouth, nose; the splits are called \
             train, val, test",
    needs: Some(Need::Outlines),
    write,
};

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    context.each(progress, |item| {
        let split = folder(item.picture.split);
        staging.write(&format!("images/{split}/{}", item.name), &item.bytes)?;
        staging.count_picture();
        let regions = item.faces.iter().flat_map(|face| face.regions.iter().flatten());
        let lines: String = regions.map(|region| line(item, region)).collect();
        staging.write(&format!("labels/{split}/{}.txt", item.stem()), lines.as_bytes())
    })?;
    staging.write("data.yaml", yaml(context).as_bytes())
}

fn folder(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Validation => "val",
        Split::Test => "test",
    }
}

fn line(item: &Item<'_>, region: &Region) -> String {
    if region.outline.len() < 3 {
        return String::new();
    }
    let mut text = (labels::number(region.feature) - 1).to_string();
    for &point in &region.outline {
        let inside = coco::clamped(item, point);
        text.push_str(&format!(
            " {:.6} {:.6}",
            inside.x / item.width_px as f32,
            inside.y / item.height_px as f32
        ));
    }
    text + "\n"
}

/// Without `path`, ultralytics takes the folder of this file. It wants `train` and `val`: where a split is missing,
/// another stands in for it.
fn yaml(context: &Context<'_>) -> String {
    let splits = context.collection.splits();
    let first = splits.first().copied().unwrap_or(Split::Train);
    let mut text = String::new();
    for split in [Split::Train, Split::Validation] {
        let (there, note) =
            if splits.contains(&split) { (split, "") } else { (first, " # there is no such split") };
        text.push_str(&format!("{}: images/{}{note}\n", folder(split), folder(there)));
    }
    if splits.contains(&Split::Test) {
        text.push_str("test: images/test\n");
    }
    text.push_str("names:\n");
    for (number, name) in labels::feature_names().into_iter().skip(1).enumerate() {
        text.push_str(&format!("  {number}: {name}\n"));
    }
    text
}
