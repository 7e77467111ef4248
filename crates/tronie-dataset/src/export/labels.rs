//! The class of every pixel of a picture: from a folder of masks, or from outlines of facial features.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "pixel kernel: every place is clamped into the picture before it is written"
)]

use std::path::Path;

use tronie_faces::geometry::Point;
use tronie_faces::{CLASSES, Feature};
use tronie_image::{Indexed, read_file};

use super::ExportError;
use super::context::{Context, Item};

/// Classes where there are only outlines. Later ones cover earlier ones.
const FEATURES: [(&str, Option<Feature>); 5] = [
    ("background", None),
    ("eye", Some(Feature::Eye)),
    ("eyebrow", Some(Feature::Eyebrow)),
    ("mouth", Some(Feature::Mouth)),
    ("nose", Some(Feature::Nose)),
];

/// Names of the classes, from 0.
pub(super) fn names(context: &Context<'_>) -> Vec<&'static str> {
    match context.options.masks {
        Some(_) => CLASSES.to_vec(),
        None => feature_names(),
    }
}

/// Names of the classes of outlines, from 0, the background.
pub(super) fn feature_names() -> Vec<&'static str> {
    FEATURES.iter().map(|(name, _)| *name).collect()
}

/// The number of a feature among [`feature_names`].
pub(super) fn number(feature: Feature) -> u8 {
    let numbers = FEATURES.iter().zip(0_u8..);
    numbers.filter(|((_, other), _)| *other == Some(feature)).map(|(_, number)| number).next().unwrap_or(0)
}

/// A color for each class, as far from those of its neighbors as the color map of PASCAL VOC has them: the bits of the number,
/// dealt to red, green and blue from the highest down.
pub(super) fn palette(n_classes: usize) -> Vec<[u8; 3]> {
    let channel = |class: usize, channel: usize| {
        (0..8).map(|bit| ((class >> (3 * bit + channel)) & 1) << (7 - bit)).sum::<usize>() as u8
    };
    (0..n_classes).map(|class| [0, 1, 2].map(|index| channel(class, index))).collect()
}

/// The classes of a picture's pixels.
pub(super) fn of(context: &Context<'_>, item: &Item<'_>) -> Result<Indexed, ExportError> {
    match &context.options.masks {
        Some(folder) => from_file(folder, item),
        None => from_outlines(item),
    }
}

fn from_file(folder: &Path, item: &Item<'_>) -> Result<Indexed, ExportError> {
    let path = folder.join(&item.picture.file_name).with_extension("png");
    let mask = Indexed::decode(&read_file(&path)?);
    let in_file = |source| tronie_image::ImageError::InFile { path, source: Box::new(source) };
    let mask = mask.map_err(in_file)?;
    let picture = || item.picture.file_name.clone();
    if (mask.width_px, mask.height_px) != (item.width_px, item.height_px) {
        return Err(ExportError::OtherSize {
            picture: picture(),
            found: format!("{}x{}", item.width_px, item.height_px),
            what: "mask is",
            expected: format!("{}x{}", mask.width_px, mask.height_px),
        });
    }
    match mask.classes.iter().find(|class| usize::from(**class) >= CLASSES.len()) {
        Some(&found) => Err(ExportError::BadClass { picture: picture(), found, largest: CLASSES.len() - 1 }),
        None => Ok(mask),
    }
}

fn from_outlines(item: &Item<'_>) -> Result<Indexed, ExportError> {
    let mut mask = Indexed::new(item.width_px, item.height_px)?;
    let regions = || item.faces.iter().flat_map(|face| face.regions.iter().flatten());
    for (class, (_, feature)) in FEATURES.iter().enumerate() {
        for region in regions().filter(|region| Some(region.feature) == *feature) {
            fill(&mut mask, &region.outline, class as u8);
        }
    }
    Ok(mask)
}

/// Gives a class to all pixels whose centers are inside of an outline, by the rule of even and odd crossings.
fn fill(mask: &mut Indexed, outline: &[Point], class: u8) {
    let width = mask.width_px as usize;
    for row in 0..mask.height_px as usize {
        let y = row as f32 + 0.5;
        let ends = outline.iter().zip(outline.iter().cycle().skip(1));
        let crosses = ends.filter(|(a, b)| (a.y <= y) != (b.y <= y));
        let mut places: Vec<f32> =
            crosses.map(|(a, b)| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x)).collect();
        places.sort_by(f32::total_cmp);
        for pair in places.chunks_exact(2) {
            // Centers lie at whole numbers and a half.
            let column = |x: f32| ((x - 0.5).ceil().max(0.0) as usize).min(width);
            let (from, to) = (column(pair[0]), column(pair[1]));
            mask.classes[row * width + from..row * width + to].fill(class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_whose_centers_are_inside_of_an_outline_get_its_class() {
        let mut mask = Indexed::new(5, 4).unwrap();
        let outline = [(1.0, 1.0), (3.6, 1.0), (3.6, 3.0), (1.0, 3.0)].map(|(x, y)| Point::new(x, y));
        fill(&mut mask, &outline, 7);
        let rows: Vec<&[u8]> = mask.classes.chunks(5).collect();
        assert_eq!(rows, [[0; 5], [0, 7, 7, 7, 0], [0, 7, 7, 7, 0], [0; 5]]);
        // Outside of the picture nothing happens.
        fill(&mut mask, &[Point::new(-9.0, -9.0), Point::new(1e9, -8.0), Point::new(1e9, 0.4)], 1);
        assert!(!mask.classes.contains(&1));
    }

    #[test]
    fn the_first_colors_are_those_of_pascal_voc() {
        assert_eq!(palette(4), [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]);
        assert_eq!(palette(20)[15..18], [[192, 128, 128], [0, 64, 0], [128, 64, 0]]);
    }
}
