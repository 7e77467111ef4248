//! The 468-point mesh of MediaPipe, forehead included: Kartynnik et al. 2019 (arXiv:1907.06724).
//!
//! 10 is the top of the forehead, 152 the chin, 234 and 454 the sides, 33 and 263 the outer eye corners, 1 the nose tip,
//! 61 and 291 the mouth corners.

use tronie_image::Pixels;

use super::crops::see;
use super::{Annotator, AnnotatorRow, Part, Source};
use crate::geometry::Point;
use crate::networks::{InputContract, NetworkFile, NetworkRow};
use crate::onnx::Session;
use crate::{Face, FacesError};

/// Side of the crop over the longer side of the box: the network is trained with a quarter of margin on each side.
const MARGIN: f32 = 1.5;
const INPUT: InputContract = InputContract { scale: [1.0 / 255.0; 3], ..InputContract::square(192) };

pub(super) const ROW: AnnotatorRow = AnnotatorRow {
    id: "facemesh468",
    title: "468 mesh points with depth (MediaPipe)",
    makes: &[Part::Mesh468],
    reads: &[Part::Box],
    is_default: false, // 10 kB for every face
    source: Source::Network(
        NetworkRow {
            files: &[NetworkFile {
                name: "facemesh468.onnx",
                sha256: Some("32f4ce3deb8a41d5bbe1e236174ed65b523eb5f7a3bf9e729f924927be879b0c"),
                n_bytes: Some(2_983_525),
            }],
            source_url: "https://github.com/vladmandic/human/tree/151df64d6143db8d0cf14df39e69be2f655f9f34/models (facemesh, converted to ONNX)",
            licence: "Apache-2.0",
            credit: "Google MediaPipe, Vladimir Mandic",
            input: INPUT,
            outputs: &["mesh"],
            n_outputs: 1,
        },
        |session| Box::new(FaceMesh { session }),
    ),
};

struct FaceMesh {
    session: Session,
}

impl Annotator for FaceMesh {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        let seen = see(&self.session, &INPUT, picture, (faces, MARGIN))?;
        let rows = self.session.rows_of(&seen.outputs, 0, (faces.len(), 468 * 3))?;
        for ((face, row), image_from_crop) in faces.iter_mut().zip(rows).zip(&seen.image_from_crop) {
            #[expect(clippy::cast_possible_truncation, reason = "a scale of the order of 1")]
            let depth_scale = image_from_crop.scale() as f32;
            let (triples, _) = row.as_chunks::<3>();
            let in_image = |&[x, y, z]: &[f32; 3]| {
                let point = image_from_crop.apply(Point::new(x, y));
                [point.x, point.y, z * depth_scale]
            };
            face.mesh_468 = Some(triples.iter().map(in_image).collect());
        }
        Ok(())
    }
}
