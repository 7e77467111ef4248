//! How defective a region is, and how visible the edge of one that was replaced.
#![expect(clippy::indexing_slicing, reason = "three channels of a colour")]

use super::Version;
use super::blend::Patch;
use super::regions::{Area, FaceRegion};
use crate::annotators::Luma;
use crate::geometry::{Point, Rect};

/// Mean distance of a region from the median of good versions, in grey levels: half of it is the noise of resampling.
const USUAL_DISTANCE: f32 = 4.0;
/// A version whose rest of the face differs by more, as a standard deviation in grey levels, shows another pose: its parts do not fit.
const MAX_MISFIT: f64 = 12.0;
/// From here on the median is one of most versions, not of a damaged and a clean one.
const MIN_FOR_MEDIAN: usize = 3;

/// One number for each version, see [`super::compose`].
pub(super) fn defects(
    region: &FaceRegion,
    versions: &[Version<'_>],
    landmarks: &[&[Point]],
    (patches, area): (&[Option<Patch>], Option<&Area>),
) -> Vec<f32> {
    let details =
        versions.iter().zip(landmarks).map(|(version, points)| detail_defect(region, version, points));
    let details: Vec<f32> = details.collect();
    let distances = match patches.iter().flatten().count() >= MIN_FOR_MEDIAN {
        true => area.map(|area| distances_from_median(patches, area)),
        false => None,
    };
    let distances = distances.unwrap_or_else(|| vec![0.0; versions.len()]);
    let scores =
        details.into_iter().zip(distances).map(|(detail, distance)| detail + distance / USUAL_DISTANCE);
    let fits = |patch: &Option<Patch>| patch.as_ref().is_some_and(|patch| patch.misfit <= MAX_MISFIT);
    scores.zip(patches).map(|(score, patch)| if fits(patch) { score } else { f32::INFINITY }).collect()
}

/// How far the fine structure of the region over that of the face is from what is usual, in standard deviations of its logarithm.
fn detail_defect(region: &FaceRegion, version: &Version<'_>, points: &[Point]) -> f32 {
    let own: Vec<Point> =
        points.iter().enumerate().filter(|(index, _)| region.has(*index)).map(|(_, point)| *point).collect();
    let detail = |rect: &Rect| Luma::of_box(version.pixels, rect).map(|luma| luma.laplacian_deviation());
    let (own, face) = (detail(&bounds(&own)), detail(&bounds(points)));
    match (own, face) {
        (Some(own), Some(face)) if own > 0.0 && face > 0.0 => {
            let (mean, deviation) = region.usual_detail;
            ((own / face).ln() - mean).abs() / deviation
        }
        _ => f32::INFINITY,
    }
}

fn bounds(points: &[Point]) -> Rect {
    let empty =
        Rect { left: f32::INFINITY, top: f32::INFINITY, right: f32::NEG_INFINITY, bottom: f32::NEG_INFINITY };
    points.iter().fold(empty, |rect, point| Rect {
        left: rect.left.min(point.x),
        top: rect.top.min(point.y),
        right: rect.right.max(point.x),
        bottom: rect.bottom.max(point.y),
    })
}

/// Mean absolute distance of each patch from the median of all inside an area, in grey levels; infinite for a version without one.
fn distances_from_median(patches: &[Option<Patch>], area: &Area) -> Vec<f32> {
    let inside: Vec<usize> = (0..area.weights.len()).filter(|&index| area.is_inside(index)).collect();
    let median = |&index: &usize| -> [f32; 3] {
        std::array::from_fn(|channel| {
            let mut values: Vec<f32> =
                patches.iter().flatten().map(|patch| patch.at(index)[channel]).collect();
            values.sort_by(f32::total_cmp);
            let at = |index: usize| values.get(index).copied().unwrap_or_default();
            f32::midpoint(at(values.len() / 2), at(values.len().saturating_sub(1) / 2))
        })
    };
    let medians: Vec<[f32; 3]> = inside.iter().map(median).collect();
    let distance = |patch: &Patch| {
        let sum: f32 =
            inside.iter().zip(&medians).map(|(&index, median)| difference(patch.at(index), *median)).sum();
        sum / inside.len().max(1) as f32
    };
    patches.iter().map(|patch| patch.as_ref().map_or(f32::INFINITY, distance)).collect()
}

/// How much more neighbours differ across the edge of an area with `new` in it than they do in `old`, in grey levels, 0 or more.
pub(super) fn seam(old: &Patch, new: &Patch, area: &Area) -> f32 {
    let (mut sum, mut n) = (0.0, 0);
    for index in (0..area.weights.len()).filter(|&index| area.is_inside(index)) {
        for outside in area.neighbours(index).filter(|&index| !area.is_inside(index)) {
            sum += difference(new.at(index), old.at(outside)) - difference(old.at(index), old.at(outside));
            n += 1;
        }
    }
    (sum / n.max(1) as f32).max(0.0)
}

/// Mean over the three colours.
fn difference(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / 3.0
}
