//! Apparent age and gender by face-api's `age_gender_model`.
//!
//! A guess from one picture. Against the age asked for in prompts its mean error is about 6 years; babies come out a few
//! years too old, the very old too young, and children's gender is hardly better than chance.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::crops::{TIGHT, see};
use super::landmarks68::FACE_API_INPUT;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::networks::{NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::{Face, FacesError};

/// How old somebody looks, and how likely male.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AgeGender {
    /// Apparent age in years.
    pub age_years: f32,
    /// Probability of "male", of the two classes the network knows.
    pub male: f32,
}

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "age_gender",
    title: "apparent age and gender (face-api)",
    makes: &[Part::AgeGender],
    reads: &[Part::Box],
    is_default: true,
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile {
                name: "faceapi_age_gender.onnx",
                sha256: Some("ada6a6c8397cf889dcdf067a4eb5ef79ea15440868365e3ce308d5a73c7c4700"),
                n_bytes: Some(1_696_940),
            }],
            source_url: "https://github.com/vladmandic/face-api/tree/189226d63aabb48cb40776fd1c453ebc0fa722f1/model (age_gender_model, converted to ONNX)",
            licence: "MIT",
            credit: "Vincent Mühler, Vladimir Mandic",
            input: FACE_API_INPUT,
            outputs: &["age", "gender"],
            n_outputs: 2,
        },
        |session| Box::new(AgeGenderNetwork { session }),
    ),
};

struct AgeGenderNetwork {
    session: Session,
}

impl Annotator for AgeGenderNetwork {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let seen = see(&self.session, &FACE_API_INPUT, picture, (faces, TIGHT))?;
        let ages = self.session.rows_of(&seen.outputs, 0, (faces.len(), 1))?;
        let genders = self.session.rows_of(&seen.outputs, 1, (faces.len(), 2))?;
        for ((face, age), gender) in faces.iter_mut().zip(ages).zip(genders) {
            if let (&[age_years], &[male, _]) = (age, gender) {
                face.age_gender = Some(AgeGender { age_years, male });
            }
        }
        Ok(())
    }
}
