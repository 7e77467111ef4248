//! Age, sex, expression, glasses, smile and hair by the network inside the program.
//!
//! Age, sex and expression are filled in only where no larger network has done so.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::{AGE_MIDDLE_YEARS, AGE_UNIT_YEARS, ATTRIBUTES_CROP, ATTRIBUTES_INPUT, N_HAIR, Own};
use crate::annotators::crops::see;
use crate::annotators::{AgeGender, Annotator, AnnotatorRow, Expression, Part};
use crate::networks::NetworkFile;
use crate::onnx::Session;
use crate::{Face, FacesError};

/// What the first look at a face tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    /// By the apparent age.
    pub age_group: AgeGroup,
    /// Probability of glasses or sunglasses.
    pub glasses: f32,
    /// Probability of a smile.
    pub smile: f32,
    /// Color of the hair.
    pub hair: HairColor,
}

/// Groups of ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgeGroup {
    /// Up to 12 years.
    Child,
    /// 13 to 19 years.
    Teenager,
    /// 20 to 35 years.
    Young,
    /// 36 to 55 years.
    Middle,
    /// From 56 years.
    Old,
}

impl AgeGroup {
    /// The group of an age in years.
    #[must_use]
    pub fn of(years: f32) -> Self {
        match years {
            ..13.0 => Self::Child,
            ..20.0 => Self::Teenager,
            ..36.0 => Self::Young,
            ..56.0 => Self::Middle,
            _ => Self::Old,
        }
    }
}

/// Probabilities of the colors of hair; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HairColor {
    /// Black or brown.
    pub dark: f32,
    /// Blond.
    pub blond: f32,
    /// Red or orange.
    pub red: f32,
    /// Gray or white.
    pub gray: f32,
    /// Dyed: blue, green, pink, purple.
    pub colored: f32,
    /// No hair.
    pub bald: f32,
}

impl HairColor {
    /// In the order of the fields.
    #[must_use]
    pub fn probabilities(&self) -> [f32; N_HAIR] {
        let Self { dark, blond, red, gray, colored, bald } = *self;
        [dark, blond, red, gray, colored, bald]
    }
}

pub(in crate::annotators) const ROW: AnnotatorRow = Own {
    id: "tronie_attributes",
    title: "age, sex, expression, glasses, smile, hair color (inside the program)",
    makes: &[Part::Attributes, Part::AgeGender, Part::Expression],
    reads: &[Part::Box],
    is_default: true,
    files: &[NetworkFile::named("tronie-attributes.onnx")],
    input: ATTRIBUTES_INPUT,
    outputs: &["attributes"],
    bytes: || include_bytes!("../../../../../models/tronie-faces/attributes.onnx"),
    open: |session| Box::new(AttributesNetwork { session }),
}
.row();

/// Age, sex, seven expressions, glasses, smile, hair.
const N: usize = 11 + N_HAIR;

struct AttributesNetwork {
    session: Session,
}

impl Annotator for AttributesNetwork {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let seen = see(&self.session, &ATTRIBUTES_INPUT, picture, (faces, ATTRIBUTES_CROP))?;
        let rows = self.session.rows_of(&seen.outputs, 0, (faces.len(), N))?;
        for (face, row) in faces.iter_mut().zip(rows) {
            fill(face, row);
        }
        Ok(())
    }
}

fn fill(face: &mut Face, row: &[f32]) {
    let Some((&[age, male], rest)) = row.split_first_chunk() else { return };
    let Some((expressions, rest)) = rest.split_first_chunk::<7>() else { return };
    let Some((&[glasses, smile], hair)) = rest.split_first_chunk() else { return };
    let age_years = (AGE_MIDDLE_YEARS + age * AGE_UNIT_YEARS).max(0.0);
    let [neutral, happy, sad, angry, fearful, disgusted, surprised] = softmax(*expressions);
    let expression = Expression { neutral, happy, sad, angry, fearful, disgusted, surprised };
    let Ok(hair) = <[f32; N_HAIR]>::try_from(hair) else { return };
    let [dark, blond, red, gray, colored, bald] = softmax(hair);
    face.age_gender.get_or_insert(AgeGender { age_years, male: sigmoid(male) });
    face.expression.get_or_insert(expression);
    face.attributes = Some(Attributes {
        age_group: AgeGroup::of(age_years),
        glasses: sigmoid(glasses),
        smile: sigmoid(smile),
        hair: HairColor { dark, blond, red, gray, colored, bald },
    });
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn softmax<const N: usize>(logits: [f32; N]) -> [f32; N] {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.map(|logit| (logit - largest).exp());
    let sum: f32 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    #[test]
    fn what_a_larger_network_said_stays() {
        let rect = Rect { left: 0.0, top: 0.0, right: 9.0, bottom: 9.0 };
        let mut face = Face::new(rect, 1.0, None);
        face.age_gender = Some(AgeGender { age_years: 7.0, male: 0.2 });
        let mut row = [0.0; N];
        row[0] = -1.0; // 20 years
        row[1] = 9.0;
        row[3] = 20.0; // happy
        row[9] = 5.0; // glasses
        row[12] = 20.0; // blond
        fill(&mut face, &row);
        assert_eq!(face.age_gender, Some(AgeGender { age_years: 7.0, male: 0.2 }));
        assert!(face.expression.unwrap().happy > 0.99);
        let found = face.attributes.unwrap();
        assert_eq!(found.age_group, AgeGroup::Young);
        assert!(found.glasses > 0.99 && found.smile == 0.5 && found.hair.blond > 0.99);
    }

    #[test]
    fn every_age_has_a_group() {
        let groups = [0.0, 12.9, 13.0, 19.9, 20.0, 35.9, 36.0, 55.9, 56.0, 110.0].map(AgeGroup::of);
        use AgeGroup::{Child, Middle, Old, Teenager, Young};
        assert_eq!(groups, [Child, Child, Teenager, Teenager, Young, Young, Middle, Middle, Old, Old]);
    }
}
