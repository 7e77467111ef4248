//! Every CPU kernel against the same operation composed of Burn's own; `gradients` does the same for what training runs.
#![expect(clippy::cast_possible_truncation, reason = "test values are small")]

use burn::tensor::{DType, Device};

use super::*;

mod gradients;

/// Numbers in -1..1 from a counter.
fn numbers<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    let n: usize = dims.iter().product();
    let hash = |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761) ^ 0x9e37;
    let values: Vec<f32> =
        (0..n).map(|i| hash(i).wrapping_mul(2_246_822_519) as f32 / u32::MAX as f32 * 2.0 - 1.0).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, dims), device)
}

#[track_caller]
fn assert_same<const D: usize>(kernel: Tensor<D>, composed: Tensor<D>, tolerance: f64) {
    assert_eq!(kernel.dims(), composed.dims());
    let kernel = kernel.into_data().try_to_vec::<f32>().unwrap();
    let composed = composed.into_data().try_to_vec::<f32>().unwrap();
    tronie_testing::assert_close(&kernel, &composed, tolerance);
}

#[test]
fn convolutions_of_every_kind_equal_burns() {
    let device = Device::flex();
    // (batch, h, w, c_in, c_out, kernel, stride, padding)
    let cases = [
        (2, 33, 38, 16, 32, 3, 1, 1),   // Winograd with partial tiles
        (1, 64, 64, 32, 16, 3, 1, 1),   // Winograd, several blocks
        (1, 150, 140, 48, 16, 3, 1, 1), // Winograd, one row of tiles per block
        (2, 9, 7, 20, 12, 3, 1, 1),     // too small for it
        (1, 3, 2, 20, 24, 3, 1, 1),     // fewer pixels than channels
        (1, 1, 1, 4, 2, 3, 1, 1),       // one pixel
        (1, 5, 4, 3, 4, 5, 1, 2),       // a kernel larger than the image's rest
        (3, 30, 31, 70, 8, 3, 1, 1),    // pieces of the cache that end inside of an image
        (1, 40, 40, 4, 16, 3, 1, 1),    // too few channels for it
        (2, 16, 12, 8, 8, 3, 2, 1),     // downsampler of the UNet
        (1, 17, 17, 8, 8, 3, 2, 0),     // downsampler of the autoencoder
        (2, 6, 5, 12, 20, 1, 1, 0),     // pointwise
    ];
    for (batch, h, w, c_in, c_out, kernel, stride, padding) in cases {
        let geometry = ConvGeometry { stride, padding };
        let x = numbers([batch, h, w, c_in], &device);
        let weight = numbers([c_out, c_in, kernel, kernel], &device);
        let bias = Some(numbers([c_out], &device));
        let found = conv2d(x.clone(), weight.clone(), bias.clone(), geometry, &ConvCache::default());
        assert_same(found, composed::conv2d(x, weight, bias, geometry), 1e-5);
    }
}

#[test]
fn a_pixel_has_the_same_bits_alone_and_beside_other_images() {
    let device = Device::flex();
    // A patch of 1,152 numbers is summed in several steps, and 3x5 pixels are few.
    for (h, w, c_in, c_out) in [(3, 5, 128, 24), (16, 16, 128, 24), (32, 32, 16, 16)] {
        let (x, weight) = (numbers([4, h, w, c_in], &device), numbers([c_out, c_in, 3, 3], &device));
        let geometry = ConvGeometry { stride: 1, padding: 1 };
        let conv = |x| conv2d(x, weight.clone(), None, geometry, &ConvCache::default());
        let bits = |x: Tensor<4>| x.into_data().try_to_vec::<f32>().unwrap();
        let all = conv(x.clone());
        for image in 0..4 {
            let alone = conv(x.clone().narrow(0, image, 1));
            assert_eq!(bits(alone), bits(all.clone().narrow(0, image, 1)), "{h}x{w}");
        }
    }
}

#[test]
fn a_cache_notices_another_weight() {
    let device = Device::flex();
    let (x, cache) = (numbers([1, 32, 32, 16], &device), ConvCache::default());
    let weights = [numbers([16, 16, 3, 3], &device), numbers([16, 16, 3, 3], &device) * 2.0];
    let geometry = ConvGeometry { stride: 1, padding: 1 };
    let [one, two] = weights.map(|weight| conv2d(x.clone(), weight, None, geometry, &cache));
    assert_same(two, one * 2.0, 1e-6);
}

#[test]
fn half_precision_weights_compute_in_f32() {
    let device = Device::flex();
    let x = numbers([3, 5, 24], &device);
    let weight = numbers([10, 24], &device).cast(DType::F16);
    let kernel = linear(x.clone(), weight.clone(), Some(numbers([10], &device)));
    let composed =
        x.reshape([15, 24]).matmul(weight.cast(DType::F32).transpose()) + numbers([1, 10], &device);
    assert_same(kernel, composed.reshape([3, 5, 10]), 1e-6);
}

#[test]
fn attention_equals_its_composition() {
    let device = Device::flex();
    let (q, k) = (numbers([2, 50, 48], &device), numbers([2, 33, 48], &device));
    assert_same(
        attention(q.clone(), k.clone(), k.clone(), 3, Mask::None),
        composed::attention(q.clone(), k.clone(), k, 3, Mask::None),
        1e-5,
    );
    assert_same(
        attention(q.clone(), q.clone(), q.clone(), 6, Mask::Causal),
        composed::attention(q.clone(), q.clone(), q, 6, Mask::Causal),
        1e-5,
    );
}

#[test]
fn norms_equal_their_composition() {
    let device = Device::flex();
    // (batch, h, w, c, groups): small, not a multiple of any vector, several chunks
    for (batch, h, w, c, n_groups) in [(2, 3, 5, 32, 4), (1, 7, 9, 20, 5), (2, 40, 33, 48, 8)] {
        let map = || numbers([batch, h, w, c], &device) * 3.0 + 5.0;
        let (weight, bias) = (|| numbers([c], &device) + 1.0, || numbers([c], &device));
        for (norm, then) in
            [(group_norm as fn(_, _, _, _, _) -> _, Then::Nothing), (group_norm_silu, Then::Silu)]
        {
            let found = norm(map(), weight(), bias(), n_groups, 1e-6);
            assert_same(found, composed::group_norm(then, map(), weight(), bias(), (n_groups, 1e-6)), 1e-5);
        }
        let rows = || map().reshape([batch, h * w, c]);
        let found = layer_norm(rows(), weight(), bias(), 1e-5);
        assert_same(found, composed::layer_norm(rows(), weight(), bias(), 1e-5), 1e-5);
    }
}

#[test]
fn a_norm_of_equal_values_is_its_bias() {
    let device = Device::flex();
    let x = Tensor::<4>::full([1, 4, 4, 8], 1e4, &device);
    let bias = numbers([8], &device);
    let y = group_norm(x, Tensor::ones([8], &device), bias.clone(), 2, 1e-6);
    assert_same(y, bias.reshape([1, 1, 1, 8]).expand([1, 4, 4, 8]), 1e-4);
}

#[test]
fn gates_equal_their_composition() {
    for d in [16, 37, 1280] {
        // From -9 to 9: beyond that GELU is the identity or zero.
        let x = numbers([2, 33, 2 * d], &Device::flex()) * 9.0;
        assert_same(geglu(x.clone()), composed::geglu(x), 1e-6);
    }
}
