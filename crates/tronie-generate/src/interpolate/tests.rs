use tronie_testing::{Golden, assert_close};

use super::*;

#[test]
fn every_way_equals_torchs() {
    use Interpolation::{Bicubic, BicubicAntialiased, Bilinear, BilinearAntialiased, Nearest, NearestExact};
    let ways = [
        ("nearest", Nearest),
        ("nearest-exact", NearestExact),
        ("bilinear", Bilinear),
        ("bicubic", Bicubic),
        ("bilinear-antialiased", BilinearAntialiased),
        ("bicubic-antialiased", BicubicAntialiased),
    ];
    let golden = Golden::open("pipeline/interpolate");
    let x = TensorData::new(golden.f32("x"), [1, 2, 5, 7]);
    let x = Tensor::<4>::from_data(x, &Device::flex());
    for (name, way) in ways {
        for [h, w] in [[8, 13], [10, 14], [3, 4]] {
            println!("{name} {h}x{w}");
            let found = resized(&x, [h, w], way);
            assert_eq!(found.dims(), [1, 2, h, w]);
            assert_close(
                &found.into_data().try_to_vec().unwrap(),
                &golden.f32(&format!("{name} {h}x{w}")),
                1e-6,
            );
        }
    }
}

#[test]
fn a_map_of_one_place_becomes_a_map_of_that_value() {
    let x = Tensor::<4>::full([1, 1, 1, 1], 3.5, &Device::flex());
    for way in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::BicubicAntialiased] {
        let found: Vec<f32> = resized(&x, [3, 2], way).into_data().try_to_vec().unwrap();
        assert!(found.iter().all(|value| (value - 3.5).abs() < 1e-6), "{way:?} {found:?}");
    }
}
