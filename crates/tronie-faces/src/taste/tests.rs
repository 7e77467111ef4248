use super::*;
use crate::Face;
use crate::geometry::{Point, Rect};

/// A picture of 512x512 with a face of this place and side.
fn seen(x: f32, y: f32, side: f32) -> Seen {
    let face = Face::new(Rect::around(Point::new(x, y), side, side), 0.9, None);
    Seen { width_px: 512, height_px: 512, faces: vec![face] }
}

/// Good are faces in the middle of a fair size; what is around them on all sides is bad, which no line can part.
fn pictures() -> Vec<(Seen, bool)> {
    let places = (0..120).map(|index| {
        let part = |prime: usize| (index * prime % 121) as f32 / 120.0;
        (60.0 + 400.0 * part(37), 60.0 + 400.0 * part(53), 60.0 + 300.0 * part(71))
    });
    let is_good = |(x, y, side): (f32, f32, f32)| {
        (x - 256.0).abs() < 130.0 && (y - 256.0).abs() < 130.0 && side < 300.0
    };
    places.map(|place| (seen(place.0, place.1, place.2), is_good(place))).collect()
}

#[test]
fn a_taste_for_the_middle_is_learnt() {
    let pictures = pictures();
    let labels: Vec<Label<'_>> =
        pictures.iter().map(|(seen, is_good)| Label { seen, is_good: *is_good }).collect();
    let taste = Taste::learn(&labels).unwrap();
    assert!(taste.cross_validation.auc.value > 0.85, "{:?}", taste.cross_validation);
    assert!(taste.judge(&seen(256.0, 256.0, 160.0)).good > 0.7);
    assert!(taste.judge(&seen(70.0, 440.0, 160.0)).good < 0.3);
    let nobody = Seen { width_px: 512, height_px: 512, faces: vec![] };
    assert!(taste.judge(&nobody).good.is_finite());
    assert_eq!(Taste::learn(&labels).unwrap(), taste);
}

#[test]
fn folds_hold_good_and_bad_in_equal_parts() {
    let rows: Vec<(Features, bool)> = (0..50).map(|index| ([0.0; N_FEATURES], index < 20)).collect();
    let folds = folds(&rows);
    for fold in 0..N_FOLDS {
        let n =
            |kind: bool| rows.iter().zip(&folds).filter(|(row, of)| row.1 == kind && **of == fold).count();
        assert_eq!((n(true), n(false)), (4, 6));
    }
}

#[test]
fn a_few_labels_are_too_few() {
    let pictures = pictures();
    let labels: Vec<Label<'_>> =
        pictures.iter().take(9).map(|(seen, _)| Label { seen, is_good: true }).collect();
    let error = Taste::learn(&labels).unwrap_err();
    assert!(error.to_string().contains("9 good and 0 bad"), "{error}");
}
