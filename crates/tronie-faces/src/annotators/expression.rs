//! Seven expressions by face-api's `face_expression_model`.
//!
//! Good for happy, angry and surprised. "Disgusted" and "fearful" agree with what was asked for in one case of eight and
//! are not to be relied on.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::crops::{TIGHT, see};
use super::landmarks68::FACE_API_INPUT;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::networks::{NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::{Face, FacesError};

/// Probabilities of the seven expressions; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    /// None of the others.
    pub neutral: f32,
    /// Smiling, laughing.
    pub happy: f32,
    /// Sad.
    pub sad: f32,
    /// Angry.
    pub angry: f32,
    /// Afraid; unreliable.
    pub fearful: f32,
    /// Disgusted; unreliable.
    pub disgusted: f32,
    /// Surprised.
    pub surprised: f32,
}

impl Expression {
    /// In the order of networks: neutral, happy, sad, angry, fearful, disgusted, surprised.
    #[must_use]
    pub fn probabilities(&self) -> [f32; 7] {
        let Self { neutral, happy, sad, angry, fearful, disgusted, surprised } = *self;
        [neutral, happy, sad, angry, fearful, disgusted, surprised]
    }
}

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "expression",
    title: "seven expressions (face-api)",
    makes: &[Part::Expression],
    reads: &[Part::Box],
    is_default: true,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile {
                name: "faceapi_expression.onnx",
                sha256: Some("bc878d49c7c8a31a7a4def56829d6d225566ca0b17a37b318f39ff114aef2799"),
                n_bytes: Some(1_302_838),
            }],
            source_url: "https://github.com/vladmandic/face-api/tree/189226d63aabb48cb40776fd1c453ebc0fa722f1/model (face_expression_model, converted to ONNX)",
            licence: "MIT",
            credit: "Vincent Mühler, Vladimir Mandic",
            input: FACE_API_INPUT,
            outputs: &["probabilities"],
            n_outputs: 1,
        },
        |session| Box::new(ExpressionNetwork { session }),
    ),
};

struct ExpressionNetwork {
    session: Session,
}

impl Annotator for ExpressionNetwork {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let seen = see(&self.session, &FACE_API_INPUT, picture, (faces, TIGHT))?;
        let rows = self.session.rows_of(&seen.outputs, 0, (faces.len(), 7))?;
        for (face, row) in faces.iter_mut().zip(rows) {
            if let &[neutral, happy, sad, angry, fearful, disgusted, surprised] = row {
                face.expression =
                    Some(Expression { neutral, happy, sad, angry, fearful, disgusted, surprised });
            }
        }
        Ok(())
    }
}
