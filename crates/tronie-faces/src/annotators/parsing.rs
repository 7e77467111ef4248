//! Which part of a face every pixel is, in 19 classes, by BiSeNet networks trained on CelebAMask-HQ.
//!
//! Yu et al. 2018 (arXiv:1808.00897). The face goes in as FFHQ aligns it, 512x512, normalized with ImageNet's mean and
//! deviation, as in `test.py` of zllrunning/face-parsing.PyTorch; the class is the largest of 19 numbers of a pixel.
//!
//! Two orders of the classes are in use. Records always have that of face-parsing.PyTorch, which SFHQ's masks have too;
//! networks trained with the order of CelebAMask-HQ's own code are rows of their own, and their classes are renamed.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::templates::ffhq_image_from_crop;
use crate::geometry::{Point, Transform};
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::sample::Outside;
use crate::{Face, FacesError};

/// Number of classes.
const N_CLASSES: usize = 19;
/// Names of the classes in the order of records. "Left" is the left side of the picture's person in CelebAMask-HQ's words,
/// which the networks have learnt as the left side of the picture.
pub const CLASSES: [&str; N_CLASSES] = [
    "background",
    "skin",
    "l_brow",
    "r_brow",
    "l_eye",
    "r_eye",
    "glasses",
    "l_ear",
    "r_ear",
    "earring",
    "nose",
    "mouth",
    "u_lip",
    "l_lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
];
/// The class of records for each class of CelebAMask-HQ: background, skin, nose, glasses, eyes, brows, ears, mouth, lips,
/// hair, hat, earring, necklace, neck, cloth.
const FROM_CELEBA: [u8; N_CLASSES] = [0, 1, 10, 6, 4, 5, 2, 3, 7, 8, 11, 12, 13, 17, 18, 9, 15, 14, 16];
pub(super) const SIDE_PX: usize = 512;
/// ImageNet's mean and deviation (torchvision), for bytes.
const INPUT: InputContract = InputContract {
    mean: [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
    scale: [1.0 / (0.229 * 255.0), 1.0 / (0.224 * 255.0), 1.0 / (0.225 * 255.0)],
    ..InputContract::square(SIDE_PX)
};

const fn row(
    id: &'static str,
    title: &'static str,
    files: &'static [NetworkFile],
    open: fn(Session) -> Box<dyn Annotator>,
) -> AnnotatorRow {
    AnnotatorRow {
        id,
        title,
        makes: &[Part::Parsing],
        reads: &[Part::Points],
        is_default: false,
        source: Source::Network(
            NetworkRow {
                files,
                source_url: "https://github.com/zllrunning/face-parsing.PyTorch (export to ONNX)",
                licence: "MIT; trained on CelebAMask-HQ, which is for non-commercial research",
                credit: "zllrunning",
                input: INPUT,
                outputs: &[], // the first of three is the one without auxiliary heads
                n_outputs: 1,
            },
            open,
        ),
    }
}

pub(super) const ROW: AnnotatorRow = row(
    "bisenet",
    "19 classes of pixels (BiSeNet, order of face-parsing.PyTorch)",
    &[NetworkFile::named("79999_iter.onnx")],
    |session| Box::new(BiSeNet { session, from_network: None }),
);

pub(super) const CELEBA_ROW: AnnotatorRow = row(
    "bisenet_celeba",
    "19 classes of pixels (BiSeNet, order of CelebAMask-HQ)",
    &[NetworkFile::named("bisenet_celeba.onnx")],
    |session| Box::new(BiSeNet { session, from_network: Some(FROM_CELEBA) }),
);

/// The classes of the pixels around a face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parsing {
    /// Part of the FFHQ crop of the face that each of [`CLASSES`] covers; they add up to 1.
    pub areas: Vec<f32>,
    /// Classes of the 512x512 pixels of the crop, rows from the top; not in records.
    #[serde(skip)]
    pub classes: Vec<u8>,
    /// Two rows of three numbers: x and y in the image of (x, y, 1) in the crop.
    pub image_from_crop: [[f64; 3]; 2],
}

impl Parsing {
    pub(super) fn new(classes: Vec<u8>, image_from_crop: &Transform) -> Self {
        let mut areas = vec![0.0; N_CLASSES];
        let part = 1.0 / classes.len().max(1) as f32;
        for &class in &classes {
            if let Some(area) = areas.get_mut(usize::from(class)) {
                *area += part;
            }
        }
        Self { areas, classes, image_from_crop: [image_from_crop.x, image_from_crop.y] }
    }

    /// The class at a place of the crop; `None` outside.
    #[must_use]
    pub fn class_at(&self, in_crop: Point) -> Option<u8> {
        let side = SIDE_PX as f32;
        let is_inside = (0.0..side).contains(&in_crop.x) && (0.0..side).contains(&in_crop.y);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside of the crop")]
        let index = || in_crop.y as usize * SIDE_PX + in_crop.x as usize;
        is_inside.then(index).and_then(|index| self.classes.get(index)).copied()
    }

    /// From the crop to the image.
    #[must_use]
    pub fn transform(&self) -> Transform {
        let [x, y] = self.image_from_crop;
        Transform { x, y }
    }
}

pub(super) struct BiSeNet {
    session: Session,
    /// The class of records for each class of the network, where they differ.
    from_network: Option<[u8; N_CLASSES]>,
}

impl Annotator for BiSeNet {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let n_pixels = SIDE_PX * SIDE_PX;
        for face in faces {
            let aligned = face.points.and_then(|points| ffhq_image_from_crop(&points, SIDE_PX));
            let Some(image_from_crop) = aligned else { continue };
            let values = INPUT.values(picture, &image_from_crop, Outside::Mirror);
            let outputs = self.session.run(&[values], INPUT.shape())?;
            let rows = self.session.rows_of(&outputs, 0, (1, N_CLASSES * n_pixels))?;
            let classes = rows.first().map(|row| largest(row, n_pixels)).unwrap_or_default();
            let renamed = classes.into_iter().map(|class| self.renamed(class)).collect();
            face.parsing = Some(Parsing::new(renamed, &image_from_crop));
        }
        Ok(())
    }
}

impl BiSeNet {
    fn renamed(&self, class: u8) -> u8 {
        let renamed = self.from_network.as_ref().and_then(|names| names.get(usize::from(class)));
        renamed.copied().unwrap_or(class)
    }
}

/// The plane with the largest value at each pixel, the first of equal ones.
pub(super) fn largest(planes: &[f32], n_pixels: usize) -> Vec<u8> {
    let mut best = vec![(f32::NEG_INFINITY, 0); n_pixels];
    for (plane, class) in planes.chunks_exact(n_pixels).zip(0_u8..) {
        for (best, &value) in best.iter_mut().zip(plane) {
            if value > best.0 {
                *best = (value, class);
            }
        }
    }
    best.into_iter().map(|(_, class)| class).collect()
}

#[cfg(test)]
mod tests;
