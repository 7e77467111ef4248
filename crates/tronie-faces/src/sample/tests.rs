use tronie_testing::{Golden, synthetic};

use super::*;

/// The picture of `crops` in reference/faces.py: 40x30 pixels of noise.
fn picture() -> Pixels {
    let unit =
        synthetic::input("picture", &[30, 40, 3]).into_iter().map(|value| f64::from(value) / 3_f64.sqrt());
    Pixels::new(40, 30, unit.map(|unit| ((unit + 1.0) * 127.5).floor() as u8).collect()).unwrap()
}

#[test]
fn crops_equal_the_reference() {
    let golden = Golden::open("faces/crops");
    for name in ["turned", "enlarged", "reduced", "far_away"] {
        let &[a, b, c, d, e, f] = golden.f64(&format!("{name}.matrix")) else { panic!("2x3") };
        let transform = Transform { x: [a, b, c], y: [d, e, f] };
        let cases = [
            ("black", Outside::Black, 1),
            ("edge", Outside::Edge, 1),
            ("mirror", Outside::Mirror, 1),
            ("averaged", Outside::Mirror, 3),
        ];
        for (kind, outside, points_per_side) in cases {
            let sampling = Sampling { width_px: 12, height_px: 10, outside, points_per_side };
            let found = sample(&picture(), &transform, sampling);
            let expected = golden.f32(&format!("{name}.{kind}"));
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3 && found.len() == expected.len(), "{name} {kind}: {worst}");
        }
    }
}

#[test]
fn the_identity_gives_the_picture_back() {
    let picture = picture();
    let sampling = Sampling { width_px: 40, height_px: 30, outside: Outside::Black, points_per_side: 1 };
    assert_eq!(crop(&picture, &Transform::IDENTITY, sampling).unwrap(), picture);
}

#[test]
fn places_far_outside_are_read_without_overflow() {
    let far = Transform { x: [1e300, 0.0, 1e300], y: [0.0, 1e300, f64::NAN] };
    for outside in [Outside::Black, Outside::Edge, Outside::Mirror] {
        let sampling = Sampling { width_px: 2, height_px: 2, outside, points_per_side: 1 };
        assert_eq!(sample(&picture(), &far, sampling).len(), 12);
    }
}
