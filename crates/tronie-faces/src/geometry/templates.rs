//! Where aligned faces have their features: the ArcFace template of five points, and the oriented square of FFHQ.

use super::{Point, Transform};

/// Eyes, nose tip and mouth corners of a face: left eye, right eye, nose, left and right mouth corner, "left" as seen in
/// the picture.
pub type FivePoints = [Point; 5];

/// Side of the picture that [`ARCFACE`] is given in.
pub const ARCFACE_SIDE_PX: usize = 112;

/// The five points in a 112x112 picture that ArcFace-type networks are trained on: `arcface_dst` in insightface's
/// `python-package/insightface/utils/face_align.py`.
pub const ARCFACE: FivePoints = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];

/// From the picture of `side_px` pixels that has `points_in_image` on the ArcFace template to the image they are in.
///
/// `None` when the points coincide. As in insightface's `norm_crop`, the centers of pixels are taken for whole numbers on
/// both sides, which is where its networks have learnt faces to be.
#[must_use]
pub fn arcface_image_from_crop(points_in_image: &FivePoints, side_px: usize) -> Option<Transform> {
    let scale = side_px as f32 / ARCFACE_SIDE_PX as f32;
    let template = ARCFACE.map(|point| Point::new(point.x * scale, point.y * scale));
    let image_from_template = Transform::similarity(points_in_image, &template)?.inverse()?;
    let template_from_crop = Transform::translation(-0.5, -0.5);
    Some(Transform::translation(0.5, 0.5).after(&image_from_template).after(&template_from_crop))
}

/// From the picture of `side_px` pixels that shows a face as FFHQ does to the image it is in.
///
/// `None` when eyes and mouth coincide. Karras et al. 2019 (arXiv:1812.04948), appendix A; the numbers are those of
/// `recreate_aligned_images` in NVlabs/ffhq-dataset, `download_ffhq.py`: the square is centered a tenth of the way from the
/// eyes to the mouth, turned halfway between the line of the eyes and the normal of the line from eyes to mouth, and its
/// half side is the larger of 2.0 eye distances and 1.8 eye-to-mouth distances.
#[must_use]
pub fn ffhq_image_from_crop(points_in_image: &FivePoints, side_px: usize) -> Option<Transform> {
    let [left_eye, right_eye, _, left_mouth, right_mouth] =
        points_in_image.map(|point| (f64::from(point.x), f64::from(point.y)));
    let middle = |a: (f64, f64), b: (f64, f64)| (f64::midpoint(a.0, b.0), f64::midpoint(a.1, b.1));
    let (eyes, mouth) = (middle(left_eye, right_eye), middle(left_mouth, right_mouth));
    let across = (right_eye.0 - left_eye.0, right_eye.1 - left_eye.1);
    let down = (mouth.0 - eyes.0, mouth.1 - eyes.1);
    let direction = (across.0 + down.1, across.1 - down.0);
    let half_side = (across.0.hypot(across.1) * 2.0).max(down.0.hypot(down.1) * 1.8);
    let length = direction.0.hypot(direction.1);
    if !(length > 0.0 && half_side > 0.0) {
        return None;
    }
    // One pixel of the crop to the right.
    let step = 2.0 * half_side / side_px as f64;
    let (x, y) = (direction.0 / length * step, direction.1 / length * step);
    let center = (eyes.0 + 0.1 * down.0, eyes.1 + 0.1 * down.1);
    let half = side_px as f64 / 2.0;
    Some(Transform { x: [x, -y, center.0 - half * x + half * y], y: [y, x, center.1 - half * y - half * x] })
}
