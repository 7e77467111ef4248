//! 68 landmarks in iBUG order by face-api's `face_landmark_68_model`, and the five points read off them.
//!
//! The network is a small DenseNet by Vincent Mühler, <https://github.com/justadudewhohacks/face-api.js>; it answers
//! x0, y0, x1, ... as parts of the side of its crop. 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 lips.

use tronie_image::Pixels;

use super::crops::{TIGHT, see};
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Point;
use crate::geometry::templates::FivePoints;
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::{Face, FacesError};

/// Input of the face-api networks: the graph itself subtracts the mean and divides.
pub(super) const FACE_API_INPUT: InputContract = InputContract::square(112);

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "landmarks68",
    title: "68 landmarks (face-api)",
    makes: &[Part::Landmarks68, Part::Points],
    reads: &[Part::Box],
    is_default: true,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile {
                name: "faceapi_landmark68.onnx",
                sha256: Some("b5b70ab5edd5534ff215a352ee0c02bfad04a598607823c9e672eaafa1409c76"),
                n_bytes: Some(1_435_393),
            }],
            source_url: "https://github.com/vladmandic/face-api/tree/189226d63aabb48cb40776fd1c453ebc0fa722f1/model (face_landmark_68_model, converted to ONNX)",
            licence: "MIT",
            credit: "Vincent Mühler, Vladimir Mandic",
            input: FACE_API_INPUT,
            outputs: &["landmarks"],
            n_outputs: 1,
        },
        |session| Box::new(Landmarks68 { session, input: FACE_API_INPUT, crop: TIGHT }),
    ),
};

/// A network that answers x0, y0, x1, ... of 68 landmarks as parts of the side of its crop.
pub(super) struct Landmarks68 {
    pub(super) session: Session,
    pub(super) input: InputContract,
    /// Side of the crop over the longer side of the box.
    pub(super) crop: f32,
}

impl Annotator for Landmarks68 {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let Self { session, input, crop } = self;
        let seen = see(session, input, picture, (faces, *crop))?;
        let rows = session.rows_of(&seen.outputs, 0, (faces.len(), 136))?;
        for ((face, row), image_from_crop) in faces.iter_mut().zip(rows).zip(&seen.image_from_crop) {
            let side = input.width_px as f32;
            let (pairs, _) = row.as_chunks::<2>();
            let landmarks: Vec<Point> =
                pairs.iter().map(|[x, y]| image_from_crop.apply(Point::new(x * side, y * side))).collect();
            face.points = face.points.or_else(|| five_points(&landmarks));
            face.landmarks_68 = Some(landmarks);
        }
        Ok(())
    }
}

/// Eyes as the means of their outlines, nose tip and mouth corners; `None` for other than 68 landmarks.
pub(super) fn five_points(landmarks: &[Point]) -> Option<FivePoints> {
    let left_eye = Point::mean(landmarks.get(36..42)?);
    let right_eye = Point::mean(landmarks.get(42..48)?);
    Some([left_eye, right_eye, *landmarks.get(30)?, *landmarks.get(48)?, *landmarks.get(54)?])
}
