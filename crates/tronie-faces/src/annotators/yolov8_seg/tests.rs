use super::*;

/// Values of 8400 candidates, of which the first few are given: center, size, feature, score.
fn candidates(given: &[([f32; 4], usize, f32)]) -> Vec<f32> {
    let mut values = vec![0.0; N_VALUES * N_CANDIDATES];
    for (index, &(place, feature, score)) in given.iter().enumerate() {
        let mut set = |row: usize, value: f32| values[row * N_CANDIDATES + index] = value;
        (0..4).for_each(|row| set(row, place[row]));
        set(4 + feature, score);
        set(8 + 5, 2.0); // twice the sixth prototype
    }
    values
}

/// Prototypes of which the sixth is positive within an ellipse and the others are noise.
fn masks(center: (f32, f32), radii: (f32, f32)) -> Vec<f32> {
    let value = |index: usize| {
        let (plane, place) = (index / (MASK_SIDE * MASK_SIDE), index % (MASK_SIDE * MASK_SIDE));
        let position = |index: usize| (index as f32 + 0.5) * MASK_PIXEL;
        let (x, y) = (position(place % MASK_SIDE) - center.0, position(place / MASK_SIDE) - center.1);
        if plane == 5 { 1.0 - (x / radii.0).hypot(y / radii.1) } else { (index % 7) as f32 - 3.0 }
    };
    (0..N_MASKS * MASK_SIDE * MASK_SIDE).map(value).collect()
}

#[test]
fn a_region_has_the_area_and_the_outline_of_its_mask() {
    let found = candidates(&[([320.0, 200.0, 130.0, 70.0], 2, 0.9)]);
    // A picture of 1280x640 is halved and lies 160 pixels down in the input.
    let picture = Pixels::new(1280, 640, vec![0; 1280 * 640 * 3]).unwrap();
    let image_from_input = Fit::Middle.image_from_input(&picture, &INPUT);
    let regions = regions(&found, &masks((320.0, 200.0), (60.0, 30.0)), &image_from_input);
    assert_eq!(regions.len(), 1);
    let region = &regions[0];
    assert_eq!((region.feature, region.score), (Feature::Mouth, 0.9));
    assert_eq!(region.rect, Rect::from([510.0, 10.0, 770.0, 150.0]));
    let expected = std::f32::consts::PI * 120.0 * 60.0;
    assert!(
        (region.area_px / expected - 1.0).abs() < 0.02,
        "{} square pixels, expected {expected}",
        region.area_px
    );
    for point in &region.outline {
        let radius = ((point.x - 640.0) / 120.0).hypot((point.y - 80.0) / 60.0);
        assert!((radius - 1.0).abs() < 0.05, "{point:?}");
    }
}

#[test]
fn a_mask_ends_at_its_box() {
    let found = candidates(&[([320.0, 200.0, 40.0, 20.0], 0, 0.9)]);
    let regions = regions(&found, &masks((320.0, 200.0), (60.0, 60.0)), &Transform::IDENTITY);
    assert!((regions[0].area_px - 800.0).abs() < 1.0, "{}", regions[0].area_px);
}

#[test]
fn the_surer_of_two_that_overlap_stays_unless_they_are_different_parts() {
    let place = [320.0, 200.0, 40.0, 20.0];
    let found = candidates(&[(place, 0, 0.6), (place, 0, 0.8), (place, 1, 0.7), (place, 3, 0.2)]);
    let regions = regions(&found, &masks((320.0, 200.0), (60.0, 60.0)), &Transform::IDENTITY);
    let kept: Vec<_> = regions.iter().map(|region| (region.feature, region.score)).collect();
    assert_eq!(kept, [(Feature::Eye, 0.8), (Feature::Eyebrow, 0.7)]);
}
