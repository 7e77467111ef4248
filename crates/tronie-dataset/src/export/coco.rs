//! COCO: faces with 5 and 68 key points, and areas of facial features.
//!
//! <https://cocodataset.org/#format-data>. Boxes and polygons are in pixels from the top left corner, as ours; key points
//! are places of pixels, the center of the first being 0 (detectron2 adds a half to them), so ours lose a half.

use serde_json::{Value, json};
use tronie_base::Progress;
use tronie_faces::geometry::{Point, Rect};
use tronie_faces::{Face, Feature};
use tronie_image::Indexed;

use super::context::{Context, Item};
use super::staging::Staging;
use super::{ExportError, FormatRow, Need, labels};
use crate::Split;

pub(super) const ROW: FormatRow = FormatRow {
    id: "coco",
    title: "COCO: pycocotools, detectron2, MMPose, FiftyOne, CVAT, Label Studio",
    layout: "`train/NAME`; `annotations/face_keypoints_5_train.json`, `face_keypoints_68_train.json` and `instances_train.json` \
             (polygons, or run lengths of masks with `--masks`), where there is something to be in them",
    needs: Some(Need::Faces),
    write,
};

/// Names of the five points.
const FIVE: [&str; 5] = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"];
/// Chains of the 68 points of iBUG 300-W, from 0: first, last, and whether the last is joined to the first.
const CHAINS: [(usize, usize, bool); 9] = [
    (0, 16, false),  // jaw
    (17, 21, false), // brows
    (22, 26, false),
    (27, 30, false), // bridge of the nose
    (31, 35, false),
    (36, 41, true), // eyes
    (42, 47, true),
    (48, 59, true), // lips
    (60, 67, true),
];

/// One file of annotations.
struct File {
    name: &'static str,
    categories: Value,
    annotations: Vec<Value>,
}

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let mut sets: Vec<(Split, Vec<Value>, [File; 3])> =
        context.collection.splits().into_iter().map(|split| (split, Vec::new(), files(context))).collect();
    let mut n_seen = 0;
    context.each(progress, |item| {
        n_seen += 1;
        staging.write(&item.path(), &item.bytes)?;
        staging.count_picture();
        let Some((_, images, files)) = sets.iter_mut().find(|(split, ..)| *split == item.picture.split)
        else {
            return Ok(());
        };
        images.push(json!({
            "id": n_seen, "file_name": item.name, "width": item.width_px, "height": item.height_px,
        }));
        let [five, many, areas] = files;
        for face in item.faces {
            five.add(n_seen, key_points(item, face, face.points.as_ref().map(<[Point; 5]>::as_slice)));
            many.add(n_seen, key_points(item, face, face.landmarks_68.as_deref()));
        }
        for area in instances(context, item)? {
            areas.add(n_seen, Some(area));
        }
        Ok(())
    })?;
    let about = &context.collection.about;
    for (split, images, files) in sets {
        for file in files.into_iter().filter(|file| !file.annotations.is_empty()) {
            let name = format!("annotations/{}_{}.json", file.name, split.name());
            let content = json!({
                "info": { "description": about.name, "version": about.version.to_string() },
                "licenses": [{ "id": 1, "name": context.licence(), "url": "" }],
                "images": images, "annotations": file.annotations, "categories": file.categories,
            });
            staging.write(&name, format!("{content}\n").as_bytes())?;
        }
    }
    Ok(())
}

impl File {
    fn add(&mut self, image_id: usize, annotation: Option<Value>) {
        let Some(mut annotation) = annotation else { return };
        if let Some(fields) = annotation.as_object_mut() {
            fields.insert("id".to_owned(), (self.annotations.len() + 1).into());
            fields.insert("image_id".to_owned(), image_id.into());
            fields.insert("iscrowd".to_owned(), 0.into());
        }
        self.annotations.push(annotation);
    }
}

/// The three files of a split, empty.
fn files(context: &Context<'_>) -> [File; 3] {
    let face = |names: Vec<String>, skeleton: Vec<[usize; 2]>| json!([{ "id": 1, "name": "face", "supercategory": "face", "keypoints": names, "skeleton": skeleton }]);
    let names_68 = (0..68).map(|number| format!("ibug_{number}")).collect();
    let features = labels::names(context).into_iter().enumerate().skip(1);
    let features: Vec<Value> =
        features.map(|(id, name)| json!({ "id": id, "name": name, "supercategory": "face" })).collect();
    let file = |name, categories| File { name, categories, annotations: Vec::new() };
    [
        file("face_keypoints_5", face(FIVE.map(str::to_owned).to_vec(), Vec::new())),
        file("face_keypoints_68", face(names_68, skeleton())),
        file("instances", Value::Array(features)),
    ]
}

/// Pairs of points that are joined by a line, counted from 1.
fn skeleton() -> Vec<[usize; 2]> {
    let chain = |&(first, last, is_closed): &(usize, usize, bool)| {
        let lines = (first..last).map(|point| [point + 1, point + 2]);
        lines.chain(is_closed.then_some([last + 1, first + 1])).collect::<Vec<_>>()
    };
    CHAINS.iter().flat_map(chain).collect()
}

fn key_points(item: &Item<'_>, face: &Face, points: Option<&[Point]>) -> Option<Value> {
    let points = points?;
    let is_inside = |point: &Point| {
        (0.0..item.width_px as f32).contains(&point.x) && (0.0..item.height_px as f32).contains(&point.y)
    };
    let flat = points.iter().flat_map(|point| {
        // Not labeled, and then of no place, where a point is outside of the picture.
        if is_inside(point) { [round(point.x - 0.5), round(point.y - 0.5), 2.0] } else { [0.0; 3] }
    });
    let [x, y, width, height] = clipped(item, &face.rect);
    Some(json!({
        "category_id": 1, "keypoints": flat.collect::<Vec<f64>>(), "num_keypoints": points.iter().filter(|p| is_inside(p)).count(),
        "bbox": [x, y, width, height], "area": round_f64(width * height), "score": round(face.score),
    }))
}

/// The areas of a picture: outlines as polygons, or masks as run lengths.
fn instances(context: &Context<'_>, item: &Item<'_>) -> Result<Vec<Value>, ExportError> {
    if context.options.masks.is_some() {
        let mask = labels::of(context, item)?;
        return Ok((1..=u8::MAX).filter_map(|class| runs(&mask, class)).collect());
    }
    let regions = item.faces.iter().flat_map(|face| face.regions.iter().flatten());
    let areas = regions.filter_map(|region| polygon(item, region.feature, &region.outline));
    Ok(areas.collect())
}

fn polygon(item: &Item<'_>, feature: Feature, outline: &[Point]) -> Option<Value> {
    let inside: Vec<Point> = outline.iter().map(|&point| clamped(item, point)).collect();
    let (first, rest) = inside.split_first().filter(|(_, rest)| rest.len() >= 2)?;
    let ends = rest.iter().fold([first.x, first.y, first.x, first.y], |[left, top, right, bottom], point| {
        [left.min(point.x), top.min(point.y), right.max(point.x), bottom.max(point.y)]
    });
    let next = inside.iter().cycle().skip(1);
    let twice: f64 = inside.iter().zip(next).map(|(a, b)| f64::from(a.x * b.y - b.x * a.y)).sum();
    let flat: Vec<f64> = inside.iter().flat_map(|point| [round(point.x), round(point.y)]).collect();
    Some(json!({
        "category_id": labels::number(feature), "segmentation": [flat], "area": round_f64(twice.abs() / 2.0),
        "bbox": clipped(item, &Rect::from(ends)),
    }))
}

/// All pixels of a class as lengths of runs down the columns, the first outside.
fn runs(mask: &Indexed, class: u8) -> Option<Value> {
    let (width, height) = (mask.width_px as usize, mask.height_px as usize);
    let is_inside = |place: usize| mask.classes.get(place % height * width + place / height) == Some(&class);
    let mut counts = vec![0_usize];
    let mut state = false;
    let (mut n_pixels, mut columns, mut rows) = (0_usize, (width, 0), (height, 0));
    for place in 0..width * height {
        let is_in = is_inside(place);
        if is_in != state {
            counts.push(0);
            state = is_in;
        }
        if let Some(run) = counts.last_mut() {
            *run += 1;
        }
        if is_in {
            n_pixels += 1;
            columns = (columns.0.min(place / height), columns.1.max(place / height + 1));
            rows = (rows.0.min(place % height), rows.1.max(place % height + 1));
        }
    }
    (n_pixels > 0).then(|| {
        json!({
            "category_id": class, "segmentation": { "counts": counts, "size": [height, width] }, "area": n_pixels,
            "bbox": [columns.0, rows.0, columns.1 - columns.0, rows.1 - rows.0],
        })
    })
}

/// A point, moved into the picture.
pub(super) fn clamped(item: &Item<'_>, point: Point) -> Point {
    Point::new(point.x.clamp(0.0, item.width_px as f32), point.y.clamp(0.0, item.height_px as f32))
}

/// Left, top, width and height of the part of a box that is in the picture.
pub(super) fn clipped(item: &Item<'_>, rect: &Rect) -> [f64; 4] {
    let low = clamped(item, Point::new(rect.left, rect.top));
    let high = clamped(item, Point::new(rect.right, rect.bottom));
    [round(low.x), round(low.y), round(high.x - low.x), round(high.y - low.y)]
}

/// Hundredths: no annotator sees finer.
fn round(value: f32) -> f64 {
    round_f64(f64::from(value))
}

fn round_f64(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns_and_begin_outside() {
        let mask = Indexed { width_px: 3, height_px: 2, classes: vec![1, 0, 0, 0, 1, 1] };
        let area = runs(&mask, 1).unwrap();
        assert_eq!(area["segmentation"], json!({ "counts": [0, 1, 2, 1, 1, 1], "size": [2, 3] }));
        assert_eq!((area["area"].clone(), area["bbox"].clone()), (json!(3), json!([0, 0, 3, 2])));
        assert!(runs(&mask, 2).is_none());
    }

    #[test]
    fn the_skeleton_joins_points_that_there_are() {
        let lines = skeleton();
        assert!(lines.iter().flatten().all(|point| (1..=68).contains(point)));
        assert_eq!(lines.len(), 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8);
    }
}
