use tronie_testing::{Golden, assert_close, synthetic};

use super::*;

fn gradients() -> Vec<Vec<f32>> {
    let shapes: [(&str, &[usize]); 3] =
        [("proj.bias", &[24]), ("proj.weight", &[72, 64]), ("conv.weight", &[6, 5, 3, 3])];
    shapes.map(|(name, shape)| synthetic::input(name, shape)).into()
}

#[test]
fn gradients_are_clipped_as_torch_clips_them() {
    let golden = Golden::open("training/steadying");
    for max_norm in [1.0, 1000.0] {
        let mut gradients = gradients();
        let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let norm = clip(&mut slices, max_norm);
        let expected = golden.f64(&format!("clip/{max_norm}/norm"))[0];
        assert!((norm / expected - 1.0).abs() < 1e-6, "{norm}, expected {expected}");
        assert_close(&gradients[0], &golden.f32(&format!("clip/{max_norm}/proj.bias")), 1e-6);
        let after = global_norm(gradients.iter().map(Vec::as_slice));
        assert!((after / norm.min(max_norm) - 1.0).abs() < 1e-6, "{after}");
    }
}

#[test]
fn gradients_without_a_finite_norm_are_left_alone_and_told() {
    let mut gradient = [3.0, f32::NAN, 4e5];
    assert!(clip(&mut [&mut gradient], 1.0).is_nan());
    assert_eq!((gradient[0], gradient[2]), (3.0, 4e5));
    let mut zero = [0.0; 3];
    assert_eq!(clip(&mut [&mut zero], 1.0), 0.0);
    assert_eq!(zero, [0.0; 3]);
    assert_eq!(global_norm([]), 0.0);
}

#[test]
fn the_norm_is_exact_where_f32_would_lose_it() {
    // 2^26 squares of 1 and one of 2^13: in f32 the sum would stick at 2^24.
    let ones = vec![1.0; 1 << 22];
    let norm = global_norm(std::iter::repeat_n(ones.as_slice(), 16).chain([[8192.0].as_slice()]));
    assert_eq!(norm, f64::from((1 << 26) + (1 << 26)).sqrt());
}
