//! Square crops around boxes, the way landmark and attribute networks are fed.

use tronie_image::Pixels;

use crate::geometry::Transform;
use crate::networks::InputContract;
use crate::onnx::{Output, Session};
use crate::sample::Outside;
use crate::{Face, FacesError};

/// Side of the crop over the longer side of the box, for networks trained on tight faces. Between 1.0 and 1.1 the mean
/// error of the 68 landmarks is smallest; 0.9 and 1.3 are slightly worse.
pub(super) const TIGHT: f32 = 1.05;

/// What a network says about each face, with the transform of each crop.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) image_from_crop: Vec<Transform>,
    pub(super) outputs: Vec<Output>,
}

/// Runs a network on the square around each face, black outside the picture.
pub(super) fn see(
    session: &Session,
    input: &InputContract,
    picture: &Pixels,
    (faces, factor): (&[Face], f32),
) -> Result<Seen, FacesError> {
    let square = |face: &Face| face.rect.square(factor).image_from_crop(input.width_px, input.height_px);
    let image_from_crop: Vec<Transform> = faces.iter().map(square).collect();
    let values: Vec<Vec<f32>> =
        image_from_crop.iter().map(|transform| input.values(picture, transform, Outside::Black)).collect();
    let outputs = session.run(&values, input.shape())?;
    Ok(Seen { image_from_crop, outputs })
}

impl Session {
    /// The rows of an output, one for each of `n` pictures, each of `width` values.
    pub(super) fn rows_of<'a>(
        &self,
        outputs: &'a [Output],
        index: usize,
        (n, width): (usize, usize),
    ) -> Result<Vec<&'a [f32]>, FacesError> {
        let output = outputs.get(index);
        let found = output.map(|output| output.shape.clone()).unwrap_or_default();
        let rows: Vec<&[f32]> = output.into_iter().flat_map(Output::rows).collect();
        if rows.len() == n && rows.iter().all(|row| row.len() == width) {
            return Ok(rows);
        }
        let expected = format!("{n} rows of {width} values");
        let path = self.network().path().to_owned();
        Err(FacesError::WrongOutputShape { path, index, found, expected })
    }
}
