use tronie_testing::{Golden, assert_close};

use super::templates::{ARCFACE, FivePoints, arcface_image_from_crop, ffhq_image_from_crop};
use super::*;

fn points(golden: &Golden, case: usize) -> FivePoints {
    let values = golden.f32(&format!("{case}.points"));
    let (pairs, _) = values.as_chunks::<2>();
    std::array::from_fn(|index| Point::from(pairs[index]))
}

#[track_caller]
fn assert_transform(found: &Transform, golden: &Golden, name: &str) {
    let expected = golden.f64(name);
    let found = [found.x, found.y].concat();
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{name}: {found} {expected}");
    }
}

#[test]
fn similarities_and_alignments_equal_the_reference() {
    let golden = Golden::open("faces/geometry");
    for case in 0..6 {
        let points = points(&golden, case);
        let fitted = Transform::similarity(&points, &ARCFACE).unwrap();
        assert_transform(&fitted, &golden, &format!("{case}.similarity"));
        let aligned = arcface_image_from_crop(&points, 112).unwrap();
        assert_transform(&aligned, &golden, &format!("{case}.arcface"));
        let aligned = arcface_image_from_crop(&points, 256).unwrap();
        assert_transform(&aligned, &golden, &format!("{case}.arcface_256"));
        let aligned = ffhq_image_from_crop(&points, 512).unwrap();
        assert_transform(&aligned, &golden, &format!("{case}.ffhq"));
    }
}

#[test]
fn suppression_keeps_what_the_reference_keeps() {
    let golden = Golden::open("faces/geometry");
    let (boxes, scores) = (golden.f32("boxes"), golden.f32("scores"));
    let (boxes, _) = boxes.as_chunks::<4>();
    let boxes: Vec<(Rect, f32)> =
        boxes.iter().zip(scores).map(|(&rect, score)| (rect.into(), score)).collect();
    for limit in [0.1, 0.3, 0.7] {
        let kept: Vec<f32> = suppress(&boxes, limit).into_iter().map(|index| index as f32).collect();
        assert_close(&kept, &golden.f32(&format!("kept_{limit}")), 0.0);
    }
}

#[test]
fn a_transform_after_its_inverse_changes_nothing() {
    let image_from_crop = Transform { x: [1.5, -0.4, 20.0], y: [0.3, 0.8, -7.0] };
    let crop_from_image = image_from_crop.inverse().unwrap();
    let both = image_from_crop.after(&crop_from_image);
    let point = both.apply(Point::new(3.0, 4.0));
    assert!(point.distance(Point::new(3.0, 4.0)) < 1e-5);
    assert_eq!(Transform { x: [1.0, 2.0, 0.0], y: [2.0, 4.0, 0.0] }.inverse(), None);
}

#[test]
fn points_that_coincide_have_no_alignment() {
    let same = [Point::new(7.0, 7.0); 5];
    assert_eq!(Transform::similarity(&same, &ARCFACE), None);
    assert_eq!(arcface_image_from_crop(&same, 112), None);
    assert_eq!(ffhq_image_from_crop(&same, 512), None);
}

#[test]
fn boxes_overlap_by_their_common_area() {
    let a = Rect::from([0.0, 0.0, 10.0, 10.0]);
    assert_eq!(a.iou(&a), 1.0);
    assert_eq!(a.iou(&Rect::from([5.0, 0.0, 15.0, 10.0])), 1.0 / 3.0);
    assert_eq!(a.iou(&Rect::from([20.0, 0.0, 30.0, 10.0])), 0.0);
    assert_eq!(Rect::from([5.0, 5.0, 5.0, 5.0]).iou(&Rect::from([5.0, 5.0, 5.0, 5.0])), 0.0);
    assert_eq!(a.square(1.5), Rect::from([-2.5, -2.5, 12.5, 12.5]));
}
