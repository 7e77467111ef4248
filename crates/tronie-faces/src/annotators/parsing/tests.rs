use super::*;
use crate::geometry::Rect;
use crate::onnx::tests::convolution;

/// A picture whose left half is red and whose right half is blue, with an upright face in its middle.
fn two_halves() -> (Pixels, Face) {
    let row = [[255, 0, 0].repeat(200), [0, 0, 255].repeat(200)].concat();
    let points = [(-30.0, -20.0), (30.0, -20.0), (0.0, 5.0), (-20.0, 40.0), (20.0, 40.0)];
    let points = points.map(|(x, y)| Point::new(200.0 + x, 200.0 + y));
    let face = Face::new(Rect::from([150.0, 150.0, 250.0, 250.0]), 0.9, Some(points));
    (Pixels::new(400, 400, row.repeat(400)).unwrap(), face)
}

fn parsed(from_network: Option<[u8; N_CLASSES]>) -> Parsing {
    let mut weights = [[0.0; 3]; N_CLASSES];
    weights[2] = [1.0, 0.0, -1.0];
    weights[13] = [-1.0, 0.0, 1.0];
    let network = BiSeNet { session: convolution(&weights, 512, false), from_network };
    let (pixels, face) = two_halves();
    let mut faces = vec![face];
    network.annotate(&pixels, &mut faces).unwrap();
    faces[0].parsing.clone().unwrap()
}

#[test]
fn classes_lie_where_their_colors_are() {
    let found = parsed(None);
    assert_eq!(found.class_at(Point::new(100.0, 300.0)), Some(2));
    assert_eq!(found.class_at(Point::new(400.0, 300.0)), Some(13));
    assert_eq!(found.class_at(Point::new(512.0, 300.0)), None);
    assert!((found.areas[2] - 0.5).abs() < 0.01 && (found.areas[13] - 0.5).abs() < 0.01, "{:?}", found.areas);
    // The border between the colors is the middle of the picture.
    let middle = found.transform().apply(Point::new(256.0, 256.0));
    assert!((middle.x - 200.0).abs() < 1e-3, "{middle:?}");
}

#[test]
fn classes_of_the_other_order_are_renamed() {
    let found = parsed(Some(FROM_CELEBA));
    assert_eq!(CLASSES[usize::from(found.class_at(Point::new(100.0, 300.0)).unwrap())], "nose");
    assert_eq!(CLASSES[usize::from(found.class_at(Point::new(400.0, 300.0)).unwrap())], "hair");
    let mut all = FROM_CELEBA.to_vec();
    all.sort_unstable();
    assert_eq!(all, (0..19).collect::<Vec<u8>>());
}

#[test]
fn an_output_of_another_number_of_classes_is_refused() {
    let network = BiSeNet { session: convolution(&[[1.0; 3]; 11], 512, false), from_network: None };
    let (pixels, face) = two_halves();
    let error = network.annotate(&pixels, &mut vec![face]).unwrap_err();
    assert!(error.to_string().contains("output 0 has shape [1, 11, 512, 512]"), "{error}");
}
