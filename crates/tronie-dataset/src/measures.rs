//! What a spec can measure on a picture: numbers and names, read from what annotators saw.
//!
//! Measures of a face are those of the largest one. A measure without a value, such as the sharpness of the face of a
//! picture without faces, passes no filter and verifies nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tronie_faces::{AnnotatorRow, CLASSES, Expression, Face, Part, Seen};

/// Id of the measure that a learnt taste gives, the only one that is not read from a picture alone.
pub(crate) const TASTE: &str = "taste";

/// Something that can be measured on a picture.
#[derive(Debug, Clone, Copy)]
pub struct MeasureRow {
    /// What specs and records call it; permanent.
    pub id: &'static str,
    /// What it is, with unit and range.
    pub title: &'static str,
    /// What has to be known about faces for it.
    pub part: Part,
    /// How it is read.
    pub read: Read,
}

/// How a measure is read.
#[derive(Debug, Clone, Copy)]
pub enum Read {
    /// A number of what was seen.
    Number(fn(&Seen) -> Option<f32>),
    /// One of some names.
    Name(&'static [&'static str], fn(&Seen) -> Option<&'static str>),
    /// The probability that somebody would keep the picture, by the taste that the spec names.
    Taste,
}

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measured {
    /// A number.
    Number(f32),
    /// A name.
    Name(String),
}

/// Measures of one picture by id; what could not be measured is absent.
pub type Measures = BTreeMap<String, Measured>;

const EXPRESSIONS: [&str; 7] = ["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"];

const AGE_GROUPS: [&str; 5] = ["child", "teenager", "young", "middle", "old"];
const HAIR_COLORS: [&str; 6] = ["dark", "blond", "red", "gray", "colored", "bald"];

const fn number(
    id: &'static str,
    part: Part,
    title: &'static str,
    read: fn(&Seen) -> Option<f32>,
) -> MeasureRow {
    MeasureRow { id, title, part, read: Read::Number(read) }
}

/// Every measure there is. Specs, records, documentation and tests read this.
pub const MEASURES: &[MeasureRow] = &[
    number("n_faces", Part::Box, "faces in the picture", |seen| Some(seen.faces.len() as f32)),
    number("face_score", Part::Box, "the detector's confidence, 0 to 1", |seen| Some(face(seen)?.score)),
    number("face_share", Part::Box, "part of the picture that the face's box covers, 0 to 1", face_share),
    number("face_px", Part::Quality, "side of a square of the area of the face, pixels", |seen| {
        Some(face(seen)?.quality?.face_px)
    }),
    number("sharpness", Part::Quality, "deviation of the Laplacian of the face; 15 to 37 is usual", |seen| {
        Some(face(seen)?.quality?.sharpness)
    }),
    number("brightness", Part::Quality, "mean luma of the face, 0 to 1", |seen| {
        Some(face(seen)?.quality?.brightness)
    }),
    number("clipped", Part::Quality, "part of the face that is black or white, 0 to 1", |seen| {
        Some(face(seen)?.quality?.clipped)
    }),
    number("noise", Part::Quality, "noise of the face, luma levels; 2 to 9 is usual", |seen| {
        Some(face(seen)?.quality?.noise)
    }),
    number("blockiness", Part::Quality, "JPEG blocks in the face; 1 without, above 1.2 they show", |seen| {
        Some(face(seen)?.quality?.blockiness)
    }),
    number("age_years", Part::AgeGender, "apparent age, years", |seen| {
        Some(face(seen)?.age_gender?.age_years)
    }),
    number("male", Part::AgeGender, "probability of male, 0 to 1", |seen| Some(face(seen)?.age_gender?.male)),
    MeasureRow {
        id: "expression",
        title: "the likeliest of seven expressions",
        part: Part::Expression,
        read: Read::Name(&EXPRESSIONS, |seen| likeliest(&face(seen)?.expression?)),
    },
    MeasureRow {
        id: "age_group",
        title: "group of the apparent age: up to 12, 19, 35, 55 years, above",
        part: Part::Attributes,
        read: Read::Name(&AGE_GROUPS, |seen| {
            AGE_GROUPS.get(face(seen)?.attributes?.age_group as usize).copied()
        }),
    },
    number("glasses", Part::Attributes, "probability of glasses or sunglasses, 0 to 1", |seen| {
        Some(face(seen)?.attributes?.glasses)
    }),
    number("smile", Part::Attributes, "probability of a smile, 0 to 1", |seen| {
        Some(face(seen)?.attributes?.smile)
    }),
    MeasureRow {
        id: "hair",
        title: "the likeliest color of the hair",
        part: Part::Attributes,
        read: Read::Name(&HAIR_COLORS, |seen| {
            HAIR_COLORS.get(largest(&face(seen)?.attributes?.hair.probabilities())?).copied()
        }),
    },
    number("yaw_deg", Part::HeadPose, "turn to the right side of the picture, degrees, -90 to 90", |seen| {
        Some(face(seen)?.head_pose?.yaw_deg)
    }),
    number("pitch_deg", Part::HeadPose, "turn upwards, degrees, -90 to 90", |seen| {
        Some(face(seen)?.head_pose?.pitch_deg)
    }),
    number("roll_deg", Part::HeadPose, "turn clockwise in the picture, degrees, -180 to 180", |seen| {
        Some(face(seen)?.head_pose?.roll_deg)
    }),
    number("hair_area", Part::Parsing, "part of the aligned face that is hair, 0 to 1", |seen| {
        area(seen, "hair")
    }),
    number("hat_area", Part::Parsing, "part of the aligned face that is a hat, 0 to 1", |seen| {
        area(seen, "hat")
    }),
    number("glasses_area", Part::Parsing, "part of the aligned face that is glasses, 0 to 1", |seen| {
        area(seen, "glasses")
    }),
    number("earring_area", Part::Parsing, "part of the aligned face that is earrings, 0 to 1", |seen| {
        area(seen, "earring")
    }),
    MeasureRow {
        id: TASTE,
        title: "probability that the person whose taste was learnt would keep the picture, 0 to 1",
        part: Part::Box,
        read: Read::Taste,
    },
];

/// The measure of an id.
pub(crate) fn measure(id: &str) -> Option<&'static MeasureRow> {
    MEASURES.iter().find(|row| row.id == id)
}

/// Everything that can be read from what some annotators saw.
pub(crate) fn measures(seen: &Seen, annotators: &[&AnnotatorRow]) -> Measures {
    let is_made = |part: Part| annotators.iter().any(|row| row.makes.contains(&part));
    let read = |row: &MeasureRow| {
        let value = match row.read {
            Read::Number(read) => read(seen).filter(|value| value.is_finite()).map(Measured::Number),
            Read::Name(_, read) => read(seen).map(|name| Measured::Name(name.to_owned())),
            Read::Taste => None,
        };
        Some((row.id.to_owned(), value?))
    };
    MEASURES.iter().filter(|row| is_made(row.part)).filter_map(read).collect()
}

fn face(seen: &Seen) -> Option<&Face> {
    seen.faces.iter().max_by(|a, b| a.rect.area().total_cmp(&b.rect.area()))
}

fn face_share(seen: &Seen) -> Option<f32> {
    Some(face(seen)?.rect.area() / (seen.width_px as f32 * seen.height_px as f32))
}

fn area(seen: &Seen, class: &str) -> Option<f32> {
    let index = CLASSES.iter().position(|name| *name == class)?;
    face(seen)?.parsing.as_ref()?.areas.get(index).copied()
}

/// The likeliest expression.
fn likeliest(expression: &Expression) -> Option<&'static str> {
    let Expression { neutral, happy, sad, angry, fearful, disgusted, surprised } = *expression;
    let values = [neutral, happy, sad, angry, fearful, disgusted, surprised];
    EXPRESSIONS.get(largest(&values)?).copied()
}

/// The first of the largest numbers.
fn largest(values: &[f32]) -> Option<usize> {
    let best = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|&value| value == best)
}

#[cfg(test)]
mod tests;
