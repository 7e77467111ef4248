//! Gradients of every kernel against those of its composition, for every choice of what is tracked.

use std::sync::Arc;

use super::cpu::Memory;
use super::*;

/// The seeded numbers of one input.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    n: usize,
    dtype: DType,
}

fn leaf(n: usize) -> Leaf {
    Leaf { n, dtype: DType::F32 }
}

/// Output and gradients of `operation` on seeded inputs, of the sum of its output weighed with seeded numbers.
fn differentiate<const N: usize>(
    leaves: [Leaf; N],
    tracked: [bool; N],
    operation: &dyn Fn([Tensor<1>; N]) -> Tensor<1>,
) -> (Vec<f32>, [Option<Vec<f32>>; N]) {
    let device = Device::flex().autodiff();
    let inputs: [Tensor<1>; N] = std::array::from_fn(|i| {
        // Every input takes its own part of one sequence.
        let values = numbers([(i + 1) * 1_000_003 % 9973 + leaves[i].n], &device);
        let start = values.dims()[0] - leaves[i].n;
        let values = values.narrow(0, start, leaves[i].n).cast(leaves[i].dtype).detach();
        if tracked[i] { values.require_grad() } else { values }
    });
    let output = operation(inputs.clone());
    let values = output.clone().inner().into_data().try_to_vec::<f32>().unwrap();
    let weights = numbers([output.dims()[0] + 17], &device).narrow(0, 17, output.dims()[0]);
    let gradients = tracked.contains(&true).then(|| (output * weights).sum().backward());
    let of_input = |input: Tensor<1>| {
        let gradient = input.grad(gradients.as_ref()?)?;
        assert_eq!(gradient.dtype(), input.dtype());
        Some(gradient.cast(DType::F32).into_data().try_to_vec::<f32>().unwrap())
    };
    (values, inputs.map(of_input))
}

/// Output and gradients equal the composition's, whatever is tracked; what is not tracked has none.
#[track_caller]
fn check<const N: usize>(
    leaves: [Leaf; N],
    kernel: &dyn Fn([Tensor<1>; N]) -> Tensor<1>,
    composition: &dyn Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let (expected, expected_gradients) = differentiate(leaves, [true; N], composition);
    for choice in 0..1_usize << N {
        let tracked = std::array::from_fn(|i| choice >> i & 1 == 1);
        let (found, gradients) = differentiate(leaves, tracked, kernel);
        tronie_testing::assert_close(&found, &expected, 1e-5);
        for (i, (found, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
            assert_eq!(found.is_some(), tracked[i], "input {i} of {tracked:?}");
            if let (Some(found), Some(expected)) = (found, expected) {
                let tolerance = if leaves[i].dtype == DType::F32 { 1e-5 } else { 1e-3 };
                tronie_testing::assert_close(found, expected, tolerance);
            }
        }
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.dims().iter().product::<usize>();
    x.reshape([n])
}

#[test]
fn gradients_of_products_equal_their_composition() {
    // (rows, d_in, d_out): tiny, odd, several chunks of bias sums
    for (rows, d_in, d_out) in [(3, 5, 7), (77, 33, 50), (300, 48, 320)] {
        for dtype in [DType::F32, DType::F16] {
            let leaves = [leaf(rows * d_in), Leaf { n: d_out * d_in, dtype }, leaf(d_out)];
            let run = |[x, weight, bias]: [Tensor<1>; 3]| {
                flat(linear(x.reshape([1, rows, d_in]), weight.reshape([d_out, d_in]), Some(bias)))
            };
            let composed = |[x, weight, bias]: [Tensor<1>; 3]| {
                flat(composed::linear(x.reshape([1, rows, d_in]), weight.reshape([d_out, d_in]), Some(bias)))
            };
            check(leaves, &run, &composed);
        }
        let run = |[x, weight]: [Tensor<1>; 2]| {
            flat(linear(x.reshape([rows, d_in]), weight.reshape([d_out, d_in]), None))
        };
        let composed = |[x, weight]: [Tensor<1>; 2]| {
            flat(composed::linear(x.reshape([rows, d_in]), weight.reshape([d_out, d_in]), None))
        };
        check([leaf(rows * d_in), leaf(d_out * d_in)], &run, &composed);
    }
}

#[test]
fn gradients_of_attention_equal_their_composition() {
    // (batch, queries, keys, heads, head, mask): odd sizes, several blocks, every number of vectors
    let cases = [
        (2, 5, 7, 2, 8, Mask::None),
        (1, 100, 77, 2, 40, Mask::None),
        (2, 200, 400, 1, 24, Mask::None),
        (1, 50, 30, 1, 80, Mask::None),
        (1, 9, 200, 1, 64, Mask::None),
        (1, 77, 77, 3, 16, Mask::Causal),
        (1, 300, 300, 1, 20, Mask::Causal),
    ];
    for (batch, n_queries, n_keys, n_heads, head, mask) in cases {
        let width = n_heads * head;
        let split = |[q, k, v]: [Tensor<1>; 3]| {
            let keys = [batch, n_keys, width];
            // Scores spread over several units, so that the weights differ.
            (q.reshape([batch, n_queries, width]) * 4.0, k.reshape(keys), v.reshape(keys))
        };
        let run = |inputs: [Tensor<1>; 3]| {
            let (q, k, v) = split(inputs);
            flat(attention(q, k, v, n_heads, mask))
        };
        let composed = |inputs: [Tensor<1>; 3]| {
            let (q, k, v) = split(inputs);
            flat(composed::attention(q, k, v, n_heads, mask))
        };
        let n = batch * width;
        check([leaf(n * n_queries), leaf(n * n_keys), leaf(n * n_keys)], &run, &composed);
    }
}

#[test]
fn gradients_of_norms_equal_their_composition() {
    // (batch, h, w, c, groups): small, not a multiple of any vector, several chunks
    for (batch, h, w, c, n_groups) in [(2, 3, 5, 32, 4), (1, 7, 9, 20, 5), (2, 40, 33, 48, 8)] {
        let leaves = [leaf(batch * h * w * c), leaf(c), leaf(c)];
        let map = |x: Tensor<1>| x.reshape([batch, h, w, c]) * 3.0 + 5.0;
        for then in [Then::Nothing, Then::Silu] {
            let run = |[x, weight, bias]: [Tensor<1>; 3]| {
                flat(group_norm_then(then, map(x), weight + 1.0, bias, (n_groups, 1e-6)))
            };
            let composed = |[x, weight, bias]: [Tensor<1>; 3]| {
                flat(composed::group_norm(then, map(x), weight + 1.0, bias, (n_groups, 1e-6)))
            };
            check(leaves, &run, &composed);
        }
        let rows = |x: Tensor<1>| map(x).reshape([batch, h * w, c]);
        let run = |[x, weight, bias]: [Tensor<1>; 3]| flat(layer_norm(rows(x), weight + 1.0, bias, 1e-5));
        let composed =
            |[x, weight, bias]: [Tensor<1>; 3]| flat(composed::layer_norm(rows(x), weight + 1.0, bias, 1e-5));
        check(leaves, &run, &composed);
    }
}

#[test]
fn gradients_of_gates_equal_their_composition() {
    for d in [16, 37, 1280] {
        let rows = |x: Tensor<1>| x.reshape([2, 33, 2 * d]) * 9.0;
        check([leaf(66 * 2 * d)], &|[x]| flat(geglu(rows(x))), &|[x]| flat(composed::geglu(rows(x))));
    }
}

#[test]
fn gradients_of_convolutions_equal_their_composition() {
    // (batch, h, w, c_in, c_out, kernel, stride, padding)
    let cases = [
        (2, 33, 38, 16, 32, 3, 1, 1), // Winograd with partial tiles
        (2, 9, 7, 20, 12, 3, 1, 1),   // too small for it
        (1, 40, 40, 4, 16, 3, 1, 1),  // too few channels for it
        (2, 16, 12, 8, 8, 3, 2, 1),   // downsampler of the UNet
        (1, 17, 17, 8, 8, 3, 2, 0),   // downsampler of the autoencoder
        (1, 16, 18, 8, 8, 3, 2, 0),   // a last row and column that no patch reaches
        (2, 6, 5, 12, 20, 1, 1, 0),   // pointwise
    ];
    for (batch, h, w, c_in, c_out, kernel, stride, padding) in cases {
        let geometry = ConvGeometry { stride, padding };
        let split = |[x, weight, bias]: [Tensor<1>; 3]| {
            (x.reshape([batch, h, w, c_in]), weight.reshape([c_out, c_in, kernel, kernel]), Some(bias))
        };
        let cache = ConvCache::default();
        let run = |inputs: [Tensor<1>; 3]| {
            let (x, weight, bias) = split(inputs);
            flat(conv2d(x, weight, bias, geometry, &cache))
        };
        let composed = |inputs: [Tensor<1>; 3]| {
            let (x, weight, bias) = split(inputs);
            flat(composed::conv2d(x, weight, bias, geometry))
        };
        let leaves = [batch * h * w * c_in, c_out * c_in * kernel * kernel, c_out].map(leaf);
        check(leaves, &run, &composed);
    }
}

#[test]
fn a_small_step_changes_the_output_as_the_gradient_says() {
    let operation = |[x, weight, bias]: [Tensor<1>; 3]| {
        flat(group_norm_silu(x.reshape([1, 4, 6, 16]), weight, bias, 4, 1e-6))
    };
    let leaves = [leaf(4 * 6 * 16), leaf(16), leaf(16)];
    let (_, [Some(gradient), ..]) = differentiate(leaves, [true; 3], &operation) else {
        panic!("a tracked input has a gradient");
    };
    // Along the gradient itself the weighed output changes by its square, per unit of the step.
    let along = |step: f32| {
        let direction = gradient.clone();
        let moved = |[x, weight, bias]: [Tensor<1>; 3]| {
            let direction = Tensor::from_data(
                burn::tensor::TensorData::new(direction.clone(), [leaves[0].n]),
                &x.device(),
            );
            operation([x + direction * step, weight, bias])
        };
        let (values, _) = differentiate(leaves, [false; 3], &moved);
        let weights = numbers([values.len() + 17], &Device::flex()).narrow(0, 17, values.len());
        let weights = weights.into_data().try_to_vec::<f32>().unwrap();
        values.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(b)).sum::<f64>()
    };
    let square: f64 = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum();
    let slope = (along(1e-2) - along(-1e-2)) / 2e-2;
    assert!((slope / square - 1.0).abs() < 1e-3, "{slope} along a gradient of square {square}");
}

#[test]
fn the_thread_count_does_not_change_a_bit_of_a_gradient() {
    let (h, c) = (40, 48);
    let leaves = [h * h * c, c * c * 9, c].map(leaf);
    let geometry = ConvGeometry { stride: 1, padding: 1 };
    let operation = |[x, weight, bias]: [Tensor<1>; 3]| {
        let matrix = weight.clone().narrow(0, 0, c * c).reshape([c, c]);
        let x = x.reshape([1, h, h, c]);
        let x = conv2d(x, weight.reshape([c, c, 3, 3]), Some(bias.clone()), geometry, &ConvCache::default());
        let x = group_norm_silu(x, bias.clone(), bias.clone(), 4, 1e-6).reshape([1, h * h, c]);
        let x = layer_norm(x, bias.clone(), bias.clone(), 1e-5);
        let x = linear(x, matrix, Some(bias));
        let x = attention(x.clone(), x.clone(), x, 3, Mask::None);
        flat(geglu(x))
    };
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| differentiate(leaves, [true; 3], &operation))
    };
    assert_eq!(run(1), run(8));
}

#[test]
fn nothing_is_kept_where_nothing_is_tracked() {
    let run = |is_tracked: bool| {
        let x = numbers([3], &Device::flex().autodiff());
        let x = Input::computed(&if is_tracked { x.require_grad() } else { x }).unwrap();
        let held = Arc::new([1.0; 3]);
        let observer = Arc::downgrade(&held);
        let out: Tensor<1> = record::record([x], Memory::new(vec![0.0], [1]), move |_| [Some(held.to_vec())]);
        (out, observer)
    };
    let (_out, held) = run(false);
    assert!(held.upgrade().is_none());
    let (_out, held) = run(true);
    assert!(held.upgrade().is_some());
}

#[test]
fn a_weight_outside_of_the_graph_is_a_constant_in_it() {
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    let gradient = |weight: Tensor<2>| {
        let x = numbers([1, 4, 8], &device).require_grad();
        let gradients = linear(x.clone(), weight, None).sum().backward();
        x.grad(&gradients).unwrap()
    };
    assert_same(gradient(numbers([5, 8], &plain)), gradient(numbers([5, 8], &device)), 1e-7);
}
