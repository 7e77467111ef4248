//! Who somebody is: aligned faces through a recognition network, as directions of unit length.

use serde::{Deserialize, Serialize};
use tronie_image::Pixels;

use super::Annotator;
use crate::geometry::templates::arcface_image_from_crop;
use crate::networks::InputContract;
use crate::onnx::Session;
use crate::sample::Outside;
use crate::{Face, FacesError};

/// A face as a recognition network sees it. Only embeddings of one network can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Id of the annotator that made it.
    pub network: String,
    /// The network's answer, scaled to length 1.
    pub values: Vec<f32>,
}

/// A network on faces aligned to the ArcFace template.
pub(super) struct Recognition {
    pub(super) id: &'static str,
    pub(super) input: InputContract,
    pub(super) width: usize,
    pub(super) session: Session,
}

impl Annotator for Recognition {
    fn annotate(&self, picture: &Pixels, faces: &mut Vec<Face>) -> Result<(), FacesError> {
        // Faces whose points coincide have no embedding.
        let align = |face: &Face| arcface_image_from_crop(&face.points?, self.input.width_px);
        let aligned: Vec<_> = faces.iter_mut().filter_map(|face| Some((align(face)?, face))).collect();
        let values: Vec<Vec<f32>> = aligned
            .iter()
            .map(|(image_from_crop, _)| self.input.values(picture, image_from_crop, Outside::Black))
            .collect();
        let outputs = self.session.run(&values, self.input.shape())?;
        let rows = self.session.rows_of(&outputs, 0, (values.len(), self.width))?;
        for ((_, face), row) in aligned.into_iter().zip(rows) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            let values = row.iter().map(|value| value / length.max(f32::MIN_POSITIVE)).collect();
            face.embedding = Some(Embedding { network: self.id.to_owned(), values });
        }
        Ok(())
    }
}
