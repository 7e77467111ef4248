#![expect(clippy::cast_possible_truncation, reason = "test values are small")]

use proptest::prelude::*;

use super::*;

/// The definition, in f64.
fn reference(q: &[f32], k: &[f32], v: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { batch, n_queries, n_keys, n_heads, head, mask } = shape;
    let width = n_heads * head;
    let mut out = vec![0.0; q.len()];
    for (b, n, row) in
        (0..batch).flat_map(|b| (0..n_heads).flat_map(move |n| (0..n_queries).map(move |r| (b, n, r))))
    {
        let at = |s: usize, length: usize| (b * length + s) * width + n * head;
        let n_visible = if mask == Mask::Causal { row + 1 } else { n_keys };
        let q = &q[at(row, n_queries)..][..head];
        let dot = |key: usize| {
            let k = &k[at(key, n_keys)..][..head];
            q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / (head as f64).sqrt()
        };
        let scores: Vec<f64> = (0..n_visible).map(dot).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
        let total: f64 = weights.iter().sum();
        for e in 0..head {
            let sum: f64 = (0..n_visible).map(|key| weights[key] * f64::from(v[at(key, n_keys) + e])).sum();
            out[at(row, n_queries) + e] = (sum / total) as f32;
        }
    }
    out
}

/// Numbers in -scale..scale that differ from call to call.
fn numbers(n: usize, seed: u32, scale: f32) -> Vec<f32> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 * 2.0 - 1.0) * scale
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn check(shape: Shape, scale: f32, tolerance: f32) {
    let width = shape.width();
    let q = numbers(shape.batch * shape.n_queries * width, 1, scale);
    let k = numbers(shape.batch * shape.n_keys * width, 2, scale);
    let v = numbers(shape.batch * shape.n_keys * width, 3, 1.0);
    let found = forward(&q, &k, &v, shape).out;
    let expected = reference(&q, &k, &v, shape);
    let worst = found.iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < tolerance, "{shape:?}: {worst}");
}

#[test]
fn the_shapes_of_the_real_networks_equal_the_definition() {
    let base = Shape { batch: 2, n_queries: 300, n_keys: 300, n_heads: 2, head: 40, mask: Mask::None };
    for head in [8, 40, 64, 80, 160, 512] {
        check(Shape { head, ..base }, 1.0, 2e-6);
    }
    check(Shape { n_keys: 77, ..base }, 1.0, 2e-6);
    check(Shape { n_queries: 77, n_keys: 77, mask: Mask::Causal, ..base }, 1.0, 2e-6);
    check(Shape { n_queries: 600, n_keys: 600, mask: Mask::Causal, ..base }, 1.0, 2e-6);
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    check(Shape { batch: 1, n_queries: 40, n_keys: 700, n_heads: 1, head: 16, mask: Mask::None }, 30.0, 1e-4); // scores near 3,600: f32 keeps 4e-4 of each
}

#[test]
fn the_thread_count_does_not_change_a_bit() {
    let shape = Shape { batch: 2, n_queries: 256, n_keys: 256, n_heads: 4, head: 40, mask: Mask::None };
    let q = numbers(2 * 256 * 160, 1, 2.0);
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| forward(&q, &q, &q, shape).out)
    };
    assert_eq!(run(1), run(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_size_equals_the_definition(
        batch in 1_usize..3, n_queries in 1_usize..110, n_keys in 1_usize..300, n_heads in 1_usize..3, head in 1_usize..70,
    ) {
        check(Shape { batch, n_queries, n_keys, n_heads, head, mask: Mask::None }, 2.0, 2e-6);
    }
}
