//! 106 landmarks by insightface's `2d106det`.
//!
//! Input and output as in insightface's `model_zoo/landmark.py`: the square of 1.5 times the longer side of the box, bytes
//! as they are (the graph normalizes them), and coordinates from -1 to 1 across the crop.

use tronie_image::Pixels;

use super::crops::see;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Point;
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::{Face, FacesError};

/// Side of the crop over the longer side of the box.
const MARGIN: f32 = 1.5;
const INPUT: InputContract = InputContract::square(192);

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "landmarks106",
    title: "106 landmarks (insightface)",
    makes: &[Part::Landmarks106],
    reads: &[Part::Box],
    is_default: false,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile::named("2d106det.onnx")],
            source_url: "https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
            licence: "non-commercial research only",
            credit: "insightface",
            input: INPUT,
            outputs: &[],
            n_outputs: 1,
        },
        |session| Box::new(Landmarks106 { session }),
    ),
};

struct Landmarks106 {
    session: Session,
}

impl Annotator for Landmarks106 {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let seen = see(&self.session, &INPUT, picture, (faces, MARGIN))?;
        let rows = self.session.rows_of(&seen.outputs, 0, (faces.len(), 212))?;
        let half = INPUT.width_px as f32 / 2.0;
        for ((face, row), image_from_crop) in faces.iter_mut().zip(rows).zip(&seen.image_from_crop) {
            let (pairs, _) = row.as_chunks::<2>();
            let in_image =
                |&[x, y]: &[f32; 2]| image_from_crop.apply(Point::new((x + 1.0) * half, (y + 1.0) * half));
            face.landmarks_106 = Some(pairs.iter().map(in_image).collect());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::onnx::tests::convolution;

    #[test]
    fn coordinates_from_minus_one_to_one_span_the_crop() {
        // The first landmark's x is the mean of red, its y minus that of green; all other numbers are 0.
        let mut weights = [[0.0; 3]; 212];
        (weights[0], weights[1]) = ([1.0, 0.0, 0.0], [0.0, -1.0, 0.0]);
        let network = Landmarks106 { session: convolution(&weights, 192, true) };
        let picture = Pixels::new(200, 200, [1, 1, 0].repeat(40_000)).unwrap();
        let mut faces = vec![Face::new(Rect::from([80.0, 60.0, 120.0, 100.0]), 0.9, None)];
        network.annotate(&picture, &mut faces).unwrap();
        let landmarks = faces[0].landmarks_106.as_ref().unwrap();
        assert_eq!(landmarks.len(), 106);
        // The crop is 60 pixels wide around (100, 80).
        assert!(landmarks[0].distance(Point::new(130.0, 50.0)) < 1e-3, "{:?}", landmarks[0]);
        assert!(landmarks[1].distance(Point::new(100.0, 80.0)) < 1e-3, "{:?}", landmarks[1]);
    }
}
