//! What all detectors share: the picture goes in whole, candidates come out, the best of overlapping ones stay.

use tronie_image::Pixels;

use super::Annotator;
use crate::geometry::templates::FivePoints;
use crate::geometry::{Rect, Transform, suppress};
use crate::networks::InputContract;
use crate::onnx::{Output, Session};
use crate::sample::Outside;
use crate::{Face, FacesError};

/// How a picture is laid into the input of a detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fit {
    /// Stretched to fill it, whatever its proportions.
    Stretch,
    /// Scaled to fit, in the top left corner; black beside it.
    TopLeft,
    /// Scaled to fit, in the middle; black beside it.
    Middle,
}

impl Fit {
    pub(super) fn image_from_input(self, picture: &Pixels, input: &InputContract) -> Transform {
        let (width, height) = (f64::from(picture.width_px()), f64::from(picture.height_px()));
        let (x, y) = (width / input.width_px as f64, height / input.height_px as f64);
        let scale = x.max(y);
        let margin = |side: f64, input_px: usize| {
            if self == Self::Middle { (side - scale * input_px as f64) / 2.0 } else { 0.0 }
        };
        match self {
            Self::Stretch => Transform { x: [x, 0.0, 0.0], y: [0.0, y, 0.0] },
            Self::TopLeft | Self::Middle => Transform {
                x: [scale, 0.0, margin(width, input.width_px)],
                y: [0.0, scale, margin(height, input.height_px)],
            },
        }
    }
}

/// A face in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) rect: Rect,
    pub(super) score: f32,
    pub(super) points: Option<FivePoints>,
}

/// What tells one detector from another.
#[derive(Clone, Copy)]
pub(super) struct DetectorContract {
    pub(super) input: InputContract,
    pub(super) fit: Fit,
    /// Number of values per picture of each output, in the order read.
    pub(super) widths: &'static [usize],
    /// Smallest score of a face.
    pub(super) min_score: f32,
    /// Largest overlap of two faces, as intersection over union.
    pub(super) max_iou: f32,
    /// Candidates from the values of one picture: as many slices as `widths` has numbers. Low scores may be left in.
    pub(super) decode: fn(&[&[f32]]) -> Vec<Candidate>,
}

/// A network that finds faces.
pub(super) struct Detector {
    pub(super) contract: DetectorContract,
    pub(super) session: Session,
}

impl Annotator for Detector {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let DetectorContract { input, fit, widths, min_score, max_iou, decode } = self.contract;
        let image_from_input = fit.image_from_input(picture, &input);
        let outside = if fit == Fit::Stretch { Outside::Edge } else { Outside::Black };
        let outputs =
            self.session.run(&[input.values(picture, &image_from_input, outside)], input.shape())?;
        let rows: Vec<&[f32]> = widths
            .iter()
            .enumerate()
            .map(|(index, &width)| self.values(&outputs, index, width))
            .collect::<Result<_, _>>()?;
        let mut found: Vec<Candidate> = decode(&rows);
        found.retain(|face| {
            let [left, top, right, bottom] = face.rect.into();
            face.score > min_score
                && [face.score, left, top, right, bottom].iter().all(|value| value.is_finite())
        });
        let boxes: Vec<(Rect, f32)> = found.iter().map(|face| (face.rect, face.score)).collect();
        let kept = suppress(&boxes, max_iou);
        faces.extend(kept.iter().filter_map(|&index| found.get(index)).map(|face| {
            let corner = |x, y| image_from_input.apply(crate::geometry::Point::new(x, y));
            let (low, high) =
                (corner(face.rect.left, face.rect.top), corner(face.rect.right, face.rect.bottom));
            let rect = Rect { left: low.x, top: low.y, right: high.x, bottom: high.y };
            Face::new(
                rect,
                face.score,
                face.points.map(|points| points.map(|point| image_from_input.apply(point))),
            )
        }));
        Ok(())
    }
}

impl Detector {
    /// All values of an output, whatever sides of one the exporter gave it.
    fn values<'a>(&self, outputs: &'a [Output], index: usize, width: usize) -> Result<&'a [f32], FacesError> {
        let output = outputs.get(index);
        output.map(|output| output.values.as_slice()).filter(|values| values.len() == width).ok_or_else(
            || {
                let found = output.map(|output| output.shape.clone()).unwrap_or_default();
                let path = self.session.network().path().to_owned();
                FacesError::WrongOutputShape { path, index, found, expected: format!("{width} values") }
            },
        )
    }
}

/// Strides of the three maps that most detectors answer on.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];

/// Cells of a square input of `side_px` pixels, row by row: column, row.
pub(super) fn cells(side_px: usize, stride: usize) -> impl Iterator<Item = (f32, f32)> {
    let n = side_px / stride;
    (0..n * n).map(move |index| ((index % n) as f32, (index / n) as f32))
}

/// Number of cells.
pub(super) const fn n_cells(side_px: usize, stride: usize) -> usize {
    (side_px / stride) * (side_px / stride)
}
