//! FiftyOne: `samples.json` with labels in its classes, coordinates from 0 to 1.
//!
//! The layout that `fiftyone.types.FiftyOneDataset` takes for datasets of any version, because `metadata.json` names none:
//! `LegacyFiftyOneDatasetImporter` in fiftyone/utils/data/importers.py. Fields are found by reading the samples.

use serde_json::{Map, Value, json};
use tronie_base::Progress;
use tronie_faces::Face;
use tronie_faces::geometry::Point;
use tronie_image::ImageFormat;

use super::context::{Context, Item};
use super::staging::Staging;
use super::{ExportError, FormatRow, coco};

pub(super) const ROW: FormatRow = FormatRow {
    id: "fiftyone",
    title: "FiftyOne (`fiftyone.types.FiftyOneDataset`)",
    layout: "`data/train/NAME`, `samples.json`, `metadata.json`; splits are tags; faces are detections, landmarks are key points, \
             outlines are polylines, attributes are classifications",
    needs: None,
    write,
};

/// Names that FiftyOne gives a meaning of its own.
const RESERVED: [&str; 8] =
    ["id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "media_type", "file_name"];

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let mut samples = Vec::new();
    context.each(progress, |item| {
        staging.write(&format!("data/{}", item.path()), &item.bytes)?;
        staging.count_picture();
        samples.push(sample(context, item));
        Ok(())
    })?;
    let about = &context.collection.about;
    let metadata = json!({
        "name": about.name, "media_type": "image",
        "info": {
            "version": about.version, "description": about.description, "licence": context.licence(),
            "model": about.model.as_ref().map(|(id, _)| id), "spec": about.identity,
        },
    });
    staging.write("metadata.json", format!("{metadata:#}\n").as_bytes())?;
    staging.write("samples.json", format!("{}\n", json!({ "samples": samples })).as_bytes())
}

fn sample(context: &Context<'_>, item: &Item<'_>) -> Value {
    let media_type = ImageFormat::from_path(item.name.as_ref()).map(ImageFormat::media_type).ok();
    let mut fields = Map::new();
    fields.insert("filepath".to_owned(), format!("data/{}", item.path()).into());
    fields.insert("tags".to_owned(), json!([item.picture.split.name()]));
    let metadata = json!({
        "_cls": "ImageMetadata", "size_bytes": item.bytes.len(), "mime_type": media_type,
        "width": item.width_px, "height": item.height_px, "num_channels": null,
    });
    fields.insert("metadata".to_owned(), metadata);
    for (key, value) in context.row(item.picture, item.name) {
        add_field(&mut fields, &key, value);
    }
    let faces =
        |label: &dyn Fn(&Face) -> Vec<Value>| item.faces.iter().flat_map(label).collect::<Vec<Value>>();
    for (name, class, list, labels) in [
        ("faces", "Detections", "detections", faces(&|face| vec![detection(item, face)])),
        ("landmarks", "Keypoints", "keypoints", faces(&|face| key_points(item, face).into_iter().collect())),
        ("outlines", "Polylines", "polylines", faces(&|face| polylines(item, face))),
    ] {
        if !labels.is_empty() {
            fields.insert(name.to_owned(), json!({ "_cls": class, list: labels }));
        }
    }
    Value::Object(fields)
}

/// A field of the metadata: numbers and texts as they are, what is below `attributes` as classifications.
fn add_field(fields: &mut Map<String, Value>, key: &str, value: Value) {
    match value {
        Value::Object(attributes) if key == "attributes" => {
            for (name, value) in attributes {
                let label = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                fields
                    .insert(format!("attribute_{name}"), json!({ "_cls": "Classification", "label": label }));
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        _ if RESERVED.contains(&key) => {}
        value => {
            // Names of fields may not begin with an underscore or hold dots.
            fields.insert(key.trim_start_matches('_').replace('.', "_"), value);
        }
    }
}

fn detection(item: &Item<'_>, face: &Face) -> Value {
    let [left, top, width, height] = coco::clipped(item, &face.rect);
    let (w, h) = (f64::from(item.width_px), f64::from(item.height_px));
    json!({
        "_cls": "Detection", "label": "face", "confidence": face.score, "tags": [],
        "bounding_box": [left / w, top / h, width / w, height / h],
    })
}

fn key_points(item: &Item<'_>, face: &Face) -> Option<Value> {
    let points = face.landmarks_68.as_deref().or(face.points.as_ref().map(<[Point; 5]>::as_slice))?;
    Some(json!({ "_cls": "Keypoint", "label": "face", "tags": [], "points": relative(item, points) }))
}

fn polylines(item: &Item<'_>, face: &Face) -> Vec<Value> {
    let regions = face.regions.iter().flatten();
    let polyline = |region: &tronie_faces::Region| {
        json!({
            "_cls": "Polyline", "label": region.feature, "confidence": region.score, "tags": [], "closed": true, "filled": true,
            "points": [relative(item, &region.outline)],
        })
    };
    regions.map(polyline).collect()
}

fn relative(item: &Item<'_>, points: &[Point]) -> Vec<[f32; 2]> {
    points.iter().map(|point| [point.x / item.width_px as f32, point.y / item.height_px as f32]).collect()
}
