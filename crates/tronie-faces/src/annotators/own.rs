//! The networks inside the program: what each sees, which their trainer and their annotators share, and their rows.
//!
//! All take red, green and blue as -1 to 1. They run where no file of a larger network is found, and a file of their own name
//! in a folder of networks goes before them. `models/tronie-faces/README.md` says what they have learned from and how good
//! they are.

pub(super) mod attributes;
pub(super) mod detector;
pub(super) mod embedding;
pub(super) mod landmarks;
pub(super) mod parsing;

pub use parsing::part_of;

use super::{Annotator, AnnotatorRow, Part, Source};
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;

/// Faces in a whole picture, stretched to a square.
pub const DETECTOR_INPUT: InputContract = input(128);
/// Side of a cell of the detector's map, each of which has five numbers: the logit of a face whose middle is near, and how
/// far its left, upper, right and lower side are from the middle of the cell, as logarithms of [`DETECTOR_UNIT_PX`].
pub const DETECTOR_CELL_PX: usize = 8;
/// A distance of the detector with logarithm 0.
pub const DETECTOR_UNIT_PX: f32 = 16.0;
/// 68 landmarks in the square around a face, [`LANDMARKS_CROP`] times as large as its box.
pub const LANDMARKS_INPUT: InputContract = input(80);
/// Room for boxes that are a little off.
pub const LANDMARKS_CROP: f32 = 1.2;
/// Who it is, by the face on the ArcFace template.
pub const EMBEDDING_INPUT: InputContract = input(64);
/// Numbers of an embedding.
pub const EMBEDDING_WIDTH: usize = 256;
/// Attributes in the square around a face, [`ATTRIBUTES_CROP`] times as large as its box.
pub const ATTRIBUTES_INPUT: InputContract = input(64);
/// Room for the hair.
pub const ATTRIBUTES_CROP: f32 = 1.5;
/// Age of which the network says 0.
pub const AGE_MIDDLE_YEARS: f32 = 40.0;
/// Years of one unit of its answer.
pub const AGE_UNIT_YEARS: f32 = 20.0;
/// Colors of hair that are told apart: dark, blond, red, gray, another color, bald.
pub const N_HAIR: usize = 6;
/// Parts of a face that lies as in FFHQ.
pub const PARSING_INPUT: InputContract = input(96);
/// Side of a cell of the map of parts.
pub const PARSING_CELL_PX: usize = 2;
/// Parts: background, skin, brows, eyes, nose, mouth, hair.
pub const N_PARTS: usize = 7;

const fn input(side_px: usize) -> InputContract {
    InputContract { mean: [127.5; 3], scale: [1.0 / 127.5; 3], ..InputContract::square(side_px) }
}

/// What differs from one of these networks to the next.
struct Own {
    id: &'static str,
    title: &'static str,
    makes: &'static [Part],
    reads: &'static [Part],
    is_default: bool,
    files: &'static [NetworkFile],
    input: InputContract,
    outputs: &'static [&'static str],
    bytes: fn() -> &'static [u8],
    open: fn(Session) -> Box<dyn Annotator>,
}

impl Own {
    const fn row(self) -> AnnotatorRow {
        let Self { id, title, makes, reads, is_default, files, input, outputs, bytes, open } = self;
        let network = NetworkRow {
            files,
            source_url: "models/tronie-faces/README.md",
            licence: "MIT OR Apache-2.0",
            credit: "tronie; learned from SFHQ and SFHQ-T2I by David Beniaguev and from Female facial features by tobecwb",
            input,
            outputs,
            n_outputs: 1,
        };
        AnnotatorRow { id, title, makes, reads, is_default, source: Source::Embedded(network, bytes, open) }
    }
}
