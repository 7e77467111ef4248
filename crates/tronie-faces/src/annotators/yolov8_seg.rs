//! Outlines of eyes, eyebrows, mouth and nose by a YOLOv8-seg network, such as tobecwb's facial-features-yolo8x-seg.
//!
//! ultralytics' export at 640x640 has two outputs: 40 rows by 8400 candidates (center, size, four class scores, 32 mask
//! coefficients), and 32 prototype masks of 160x160. The mask of a candidate is where the sum of prototypes, weighted by
//! its coefficients, is positive, inside of its box (`process_mask` in ultralytics/utils/ops.py).

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::detector::Fit;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::{Point, Rect, Transform, suppress};
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::sample::Outside;
use crate::{Face, FacesError};

/// Part of a face, in the order of the network's classes (`data.yaml` of the data set).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// An eye.
    Eye,
    /// An eyebrow.
    Eyebrow,
    /// The mouth.
    Mouth,
    /// The nose.
    Nose,
}

/// A part of a face and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Which part.
    pub feature: Feature,
    /// The network's confidence, 0 to 1.
    pub score: f32,
    /// Its box in the picture.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// Square pixels of the picture that it covers.
    pub area_px: f32,
    /// Its outline: the upper edge from left to right, then the lower edge back.
    pub outline: Vec<Point>,
}

const FEATURES: [Feature; 4] = [Feature::Eye, Feature::Eyebrow, Feature::Mouth, Feature::Nose];
const N_CANDIDATES: usize = 8400;
const N_MASKS: usize = 32;
const N_VALUES: usize = 4 + FEATURES.len() + N_MASKS;
/// Side of the prototype masks, and of one of their pixels in pixels of the input.
const MASK_SIDE: usize = 160;
const MASK_PIXEL: f32 = 4.0;
/// Thresholds of ultralytics' `predict`.
const MIN_SCORE: f32 = 0.25;
const MAX_IOU: f32 = 0.7;
const INPUT: InputContract = InputContract { scale: [1.0 / 255.0; 3], ..InputContract::square(640) };

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "yolov8_seg",
    title: "outlines of eyes, brows, mouth and nose (YOLOv8-seg)",
    makes: &[Part::Regions],
    reads: &[Part::Box],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("facial-features-yolo8x-seg.onnx")],
            source_url: "https://github.com/tobecwb/facial-features-yolo8x-seg (export with ultralytics)",
            licence: "CC BY 4.0 (data); AGPL-3.0 (ultralytics, which trains and exports it)",
            credit: "tobecwb",
            input: INPUT,
            outputs: &["output0", "output1"],
            n_outputs: 2,
        },
        |session| Box::new(Regions { session }),
    ),
};

struct Regions {
    session: Session,
}

impl Annotator for Regions {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let image_from_input = Fit::Middle.image_from_input(picture, &INPUT);
        let outputs =
            self.session.run(&[INPUT.values(picture, &image_from_input, Outside::Black)], INPUT.shape())?;
        let candidates = self.session.rows_of(&outputs, 0, (1, N_VALUES * N_CANDIDATES))?;
        let masks = self.session.rows_of(&outputs, 1, (1, N_MASKS * MASK_SIDE * MASK_SIDE))?;
        let regions = match (candidates.first(), masks.first()) {
            (Some(candidates), Some(masks)) => regions(candidates, masks, &image_from_input),
            _ => Vec::new(),
        };
        for face in faces {
            let of_face = regions.iter().filter(|region| holds(&face.rect, region.rect.center()));
            face.regions = Some(of_face.cloned().collect());
        }
        Ok(())
    }
}

fn holds(rect: &Rect, point: Point) -> bool {
    (rect.left..rect.right).contains(&point.x) && (rect.top..rect.bottom).contains(&point.y)
}

/// A region in pixels of the input, before its mask is made.
struct Candidate {
    feature: Feature,
    score: f32,
    rect: Rect,
    coefficients: Vec<f32>,
}

/// The regions of a picture, the surest first.
fn regions(candidates: &[f32], masks: &[f32], image_from_input: &Transform) -> Vec<Region> {
    let rows: Vec<&[f32]> = candidates.chunks_exact(N_CANDIDATES).collect();
    let found: Vec<Candidate> = (0..N_CANDIDATES).filter_map(|index| candidate(&rows, index)).collect();
    let mut kept: Vec<&Candidate> = Vec::new();
    for feature in FEATURES {
        let of_feature: Vec<&Candidate> =
            found.iter().filter(|candidate| candidate.feature == feature).collect();
        let boxes: Vec<(Rect, f32)> =
            of_feature.iter().map(|candidate| (candidate.rect, candidate.score)).collect();
        kept.extend(suppress(&boxes, MAX_IOU).into_iter().filter_map(|index| of_feature.get(index)));
    }
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    kept.into_iter().map(|candidate| candidate.region(masks, image_from_input)).collect()
}

fn candidate(rows: &[&[f32]], index: usize) -> Option<Candidate> {
    let value = |row: usize| rows.get(row)?.get(index).copied();
    let scores: Vec<(Feature, f32)> =
        FEATURES.into_iter().zip(4..).filter_map(|(feature, row)| Some((feature, value(row)?))).collect();
    let (feature, score) = scores.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if score <= MIN_SCORE {
        return None;
    }
    let coefficients = (N_VALUES - N_MASKS..N_VALUES).map(value).collect::<Option<_>>()?;
    let rect = Rect::around(Point::new(value(0)?, value(1)?), value(2)?, value(3)?);
    Some(Candidate { feature, score, rect, coefficients })
}

impl Candidate {
    fn region(&self, masks: &[f32], image_from_input: &Transform) -> Region {
        let planes: Vec<&[f32]> = masks.chunks_exact(MASK_SIDE * MASK_SIDE).collect();
        let spans: Vec<(f32, f32, f32)> =
            (0..MASK_SIDE).filter_map(|column| self.span(&planes, column)).collect();
        let upper = spans.iter().map(|&(x, top, _)| Point::new(x, top));
        let lower = spans.iter().rev().map(|&(x, _, bottom)| Point::new(x, bottom));
        let area = spans.iter().map(|(_, top, bottom)| (bottom - top) * MASK_PIXEL).sum::<f32>();
        let in_image = |point: Point| image_from_input.apply(point);
        let (low, high) = (
            in_image(Point::new(self.rect.left, self.rect.top)),
            in_image(Point::new(self.rect.right, self.rect.bottom)),
        );
        #[expect(clippy::cast_possible_truncation, reason = "a scale of the order of 1")]
        let scale = image_from_input.scale() as f32;
        Region {
            feature: self.feature,
            score: self.score,
            rect: Rect { left: low.x, top: low.y, right: high.x, bottom: high.y },
            area_px: area * scale * scale,
            outline: upper.chain(lower).map(in_image).collect(),
        }
    }

    /// The mask in one column of the prototypes: x, and from where to where y is inside, in pixels of the input; between
    /// the rows the edge is where the straight line through their values is zero.
    fn span(&self, planes: &[&[f32]], column: usize) -> Option<(f32, f32, f32)> {
        let center = |index: usize| (index as f32 + 0.5) * MASK_PIXEL;
        let value = |row: usize| -> f32 {
            let at = |plane: &&[f32]| plane.get(row * MASK_SIDE + column).copied().unwrap_or(0.0);
            planes
                .iter()
                .map(at)
                .zip(&self.coefficients)
                .map(|(value, coefficient)| value * coefficient)
                .sum()
        };
        let is_inside = |row: &usize| holds(&self.rect, Point::new(center(column), center(*row)));
        let inside: Vec<usize> = (0..MASK_SIDE).filter(is_inside).filter(|&row| value(row) > 0.0).collect();
        let (first, last) = (*inside.first()?, *inside.last()?);
        // How far the edge lies beyond a row towards its neighbor, in rows; the box cuts a mask that goes on.
        let beyond = |row: usize, neighbor: Option<usize>| {
            let (here, there) = (value(row), neighbor.filter(|row| *row < MASK_SIDE).map_or(0.0, value));
            if there < 0.0 { here / (here - there) } else { 1.0 }
        };
        let top = center(first) - beyond(first, first.checked_sub(1)) * MASK_PIXEL;
        let bottom = center(last) + beyond(last, last.checked_add(1)) * MASK_PIXEL;
        Some((center(column), top.max(self.rect.top), bottom.min(self.rect.bottom)))
    }
}

#[cfg(test)]
mod tests;
