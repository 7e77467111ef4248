//! Parts of a face by the network inside the program: seven of the nineteen classes of [`CLASSES`](crate::CLASSES).
//!
//! It does not know ears, neck, clothes, hats and glasses, which are background, skin or hair to it, and does not part the lips
//! from the mouth.

use tronie_image::Pixels;

use super::{N_PARTS, Own, PARSING_CELL_PX, PARSING_INPUT};
use crate::annotators::parsing::{Parsing, SIDE_PX, largest};
use crate::annotators::{Annotator, AnnotatorRow, Part};
use crate::geometry::Transform;
use crate::geometry::templates::ffhq_image_from_crop;
use crate::networks::NetworkFile;
use crate::onnx::Session;
use crate::sample::Outside;
use crate::{Face, FacesError};

const MAP_SIDE: usize = PARSING_INPUT.width_px / PARSING_CELL_PX;
/// The class of records for each part on the left and on the right side of the picture.
const CLASS_OF_PART: [[u8; 2]; N_PARTS] = [[0, 0], [1, 1], [2, 3], [4, 5], [10, 10], [11, 11], [17, 17]];

pub(in crate::annotators) const ROW: AnnotatorRow = Own {
    id: "tronie_parsing",
    title: "skin, brows, eyes, nose, mouth, hair, background of pixels (inside the program)",
    makes: &[Part::Parsing],
    reads: &[Part::Points],
    is_default: false,
    files: &[NetworkFile::named("tronie-parsing.onnx")],
    input: PARSING_INPUT,
    outputs: &["parsing"],
    bytes: || include_bytes!("../../../../../models/tronie-faces/parsing.onnx"),
    open: |session| Box::new(ParsingNetwork { session }),
}
.row();

/// The part that a class of records belongs to: background, skin, brows, eyes, nose, mouth, hair as 0 to 6. Neck and clothes
/// are background; `None` for ears, glasses, hats and jewelry, which no part contains.
#[must_use]
pub fn part_of(class: u8) -> Option<u8> {
    match class {
        14 | 16 => Some(0),
        12 | 13 => Some(5), // lips
        class => (0..).zip(CLASS_OF_PART).find(|(_, sides)| sides.contains(&class)).map(|(part, _)| part),
    }
}

struct ParsingNetwork {
    session: Session,
}

impl Annotator for ParsingNetwork {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        for face in faces {
            let side_px = PARSING_INPUT.width_px;
            let Some(image_from_input) = face.points.and_then(|p| ffhq_image_from_crop(&p, side_px)) else {
                continue;
            };
            let values = PARSING_INPUT.values(picture, &image_from_input, Outside::Black);
            let outputs = self.session.run(&[values], PARSING_INPUT.shape())?;
            let rows = self.session.rows_of(&outputs, 0, (1, N_PARTS * MAP_SIDE * MAP_SIDE))?;
            let planes: Vec<f32> = rows
                .first()
                .map(|row| row.chunks_exact(MAP_SIDE * MAP_SIDE).flat_map(enlarged).collect())
                .unwrap_or_default();
            let parts = largest(&planes, SIDE_PX * SIDE_PX).into_iter().enumerate();
            let classes = parts.map(|(index, part)| class(part, index % SIDE_PX)).collect();
            let step = side_px as f64 / SIDE_PX as f64;
            let input_from_crop = Transform { x: [step, 0.0, 0.0], y: [0.0, step, 0.0] };
            face.parsing = Some(Parsing::new(classes, &image_from_input.after(&input_from_crop)));
        }
        Ok(())
    }
}

fn class(part: u8, column: usize) -> u8 {
    let sides = CLASS_OF_PART.get(usize::from(part)).copied().unwrap_or_default();
    if column < SIDE_PX / 2 { sides[0] } else { sides[1] }
}

/// A plane of the map at the size of records, by bilinear interpolation; edge values go on to the border.
fn enlarged(plane: &[f32]) -> Vec<f32> {
    let places: Vec<(usize, usize, f32)> = (0..SIDE_PX).map(place).collect();
    let value = |row: usize, column: usize| plane.get(row * MAP_SIDE + column).copied().unwrap_or_default();
    let mut out = Vec::with_capacity(SIDE_PX * SIDE_PX);
    for &(top, bottom, down) in &places {
        out.extend(places.iter().map(|&(left, right, across)| {
            let mix = |row: usize| value(row, left) + (value(row, right) - value(row, left)) * across;
            mix(top) + (mix(bottom) - mix(top)) * down
        }));
    }
    out
}

/// The two cells whose middles are around a pixel, and how far it is from the first to the second, 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the map, not below 0"
)]
fn place(pixel: usize) -> (usize, usize, f32) {
    let position =
        ((pixel as f32 + 0.5) * MAP_SIDE as f32 / SIDE_PX as f32 - 0.5).clamp(0.0, (MAP_SIDE - 1) as f32);
    let first = position as usize;
    (first, (first + 1).min(MAP_SIDE - 1), position - first as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enlarged_plane_keeps_ramps_and_middles() {
        let ramp: Vec<f32> = (0..MAP_SIDE * MAP_SIDE).map(|index| (index % MAP_SIDE) as f32).collect();
        let large = enlarged(&ramp);
        let scale = MAP_SIDE as f32 / SIDE_PX as f32;
        for column in [20, 100, 255, 490] {
            let expected = (column as f32 + 0.5) * scale - 0.5;
            assert!((large[300 * SIDE_PX + column] - expected).abs() < 1e-4, "{column}");
        }
        assert_eq!((large[0], large[SIDE_PX - 1]), (0.0, (MAP_SIDE - 1) as f32));
    }

    #[test]
    fn brows_and_eyes_have_the_class_of_their_side() {
        assert_eq!([class(2, 0), class(2, 511), class(3, 255), class(3, 256)], [2, 3, 4, 5]);
        assert_eq!([class(0, 9), class(6, 300), class(5, 300)], [0, 17, 11]);
    }
}
