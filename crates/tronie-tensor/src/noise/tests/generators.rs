//! The raw generators against PyTorch and NumPy.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "goldens hold small integers as f64"
)]

use std::f64::consts::{PI, TAU};

use tronie_testing::{Golden, assert_close};

use crate::noise::seed_sequence::generate_state;
use crate::noise::torch_normal::{box_muller, box_muller_portable};
use crate::noise::{Mt19937, Philox4x32, philox};

/// Long draws are stored as every 61st number (reference/noise.py).
fn kept(values: &[f32]) -> Vec<f32> {
    let stride = if values.len() < 200 { 1 } else { 61 };
    values.iter().copied().step_by(stride).collect()
}

fn unsigned(value: f64) -> u64 {
    value as u64
}

fn seed(halves: &[f64]) -> u64 {
    unsigned(halves[0]) | unsigned(halves[1]) << 32
}

fn checksum(values: &[f32]) -> u32 {
    values.iter().fold(0, |sum: u32, value| sum.wrapping_add(value.to_bits()))
}

#[test]
fn series_are_good_to_f64() {
    for k in 1..10_000 {
        let part = f64::from(k) / 10_000.0;
        for u in [part, part.powi(6), 1.0 - part * 1e-6] {
            assert!((philox::ln(u) / u.ln() - 1.0).abs() < 1e-15, "ln {u}");
        }
        let v = part * TAU;
        assert!((philox::sin(v) - v.sin()).abs() < 1e-15, "sin {v}");
    }
    let nearest_to_pi = f64::from(PI as f32); // relative accuracy where the sine is small
    assert!((philox::sin(nearest_to_pi) / nearest_to_pi.sin() - 1.0).abs() < 1e-15);
}

fn ulps(a: f32, b: f32) -> u32 {
    if a.signum() == b.signum() { a.to_bits().abs_diff(b.to_bits()) } else { u32::MAX }
}

#[test]
fn cpu_normals_equal_pytorch_bit_for_bit() {
    let golden = Golden::open("noise/torch_randn");
    let mut expected = golden.f32("values").into_iter();
    let mut generator = Mt19937::new(0);
    let mut n_draws = 0;
    for row in golden.f64("draws").chunks_exact(5) {
        let (seed, is_first, n) = (seed(row), row[2] == 1.0, unsigned(row[3]) as usize);
        if is_first {
            generator = Mt19937::new(seed);
        }
        let found = generator.torch_randn(n);
        let context = format!("seed {seed}, {n} numbers");
        for (index, found) in kept(&found).into_iter().enumerate() {
            let expected = expected.next().unwrap();
            // Short draws are f64 functions of the platform, rounded: one ulp once in 10^8 numbers.
            let accepted = u32::from(n < 16);
            assert!(ulps(found, expected) <= accepted, "{context}, at {index}: {found} {expected}");
        }
        if n >= 16 {
            assert_eq!(u64::from(checksum(&found)), unsigned(row[4]), "{context}, all bits");
        }
        n_draws += 1;
    }
    assert_eq!(expected.next(), None);
    assert!(n_draws > 200, "{n_draws}");
}

#[test]
fn normals_do_not_depend_on_the_instruction_set() {
    let mut bits = Mt19937::new(99);
    let uniform: Vec<f32> = (0..1 << 16).map(|_| (bits.next_u32() >> 8) as f32 / 16_777_216.0).collect();
    let edges = [0.0, 0.125, 0.25, 0.5, 0.75, 1.0 - f32::EPSILON / 2.0, f32::EPSILON, 0.3].repeat(2);
    let mut portable = [uniform, edges].concat();
    let mut vectorized = portable.clone();
    box_muller(&mut vectorized);
    box_muller_portable(&mut portable);
    assert_eq!(checksum(&vectorized), checksum(&portable));
    assert!(portable.iter().all(|value| value.is_finite()));
}

#[test]
fn philox_gives_the_numbers_cuda_prints_for_seed_0() {
    // torch.manual_seed(0); torch.randn(4, device="cuda")
    let found = Philox4x32::new(0).randn(4);
    assert_close(&found, &[-0.924_662_6, -0.425_344_15, -2.643_845_8, 0.145_183_88], 2e-7);
}

#[test]
fn philox_equals_numpy() {
    let golden = Golden::open("noise/philox");
    let single = golden.f32("f32");
    let mut found = Vec::new();
    for row in golden.f64("draws").chunks_exact(4) {
        let offset = u32::try_from(unsigned(row[2])).unwrap();
        let mut generator = Philox4x32::at(seed(row), offset);
        found.extend(kept(&generator.randn(unsigned(row[3]) as usize)));
        assert_eq!(generator.offset(), offset.wrapping_add(1));
    }
    let worst = found.iter().zip(&single).map(|(&a, &b)| ulps(a, b)).max();
    // NumPy's own f32 logarithm and sine are good to a few ulp.
    assert!(worst <= Some(4), "{worst:?} ulp");
    assert_close(&found, &golden.f32("f64"), 1e-6);
}

#[test]
fn tree_seeds_equal_numpys_seed_sequence() {
    let golden = Golden::open("noise/seed_sequence");
    let expected = golden.f64("states").chunks_exact(4);
    for (row, expected) in golden.f64("rows").chunks_exact(6).zip(expected) {
        let key = [seed(&row[3..]), unsigned(row[5])];
        let key: &[u64] = if row[2] == 1.0 { &key } else { &[] };
        let found: [u32; 4] = generate_state(seed(row), key);
        assert_eq!(found.map(f64::from), expected, "entropy {}, key {key:?}", seed(row));
    }
}

#[test]
fn only_the_low_half_of_a_seed_counts_on_the_cpu() {
    let low = Mt19937::new(7).torch_randn(32);
    assert_eq!(Mt19937::new(7 + (1 << 32)).torch_randn(32), low);
    assert_ne!(Philox4x32::new(7 + (1 << 32)).randn(32), Philox4x32::new(7).randn(32));
}

/// Bounds are six standard errors of the estimates of a quarter million independent normal numbers.
#[test]
fn normal_numbers_have_the_moments_of_normal_numbers() {
    const N: usize = 1 << 18;
    let draws = [
        ("philox", Philox4x32::new(3).randn(N)),
        ("torch", Mt19937::new(3).torch_randn(N)),
        ("torch, short draws", {
            let mut generator = Mt19937::new(3);
            (0..N / 8).flat_map(|_| generator.torch_randn(8)).collect()
        }),
    ];
    for (name, values) in draws {
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            values.iter().map(|&value| f(f64::from(value))).sum::<f64>() / values.len() as f64
        };
        let bound = |variance: f64| 6.0 * (variance / N as f64).sqrt();
        assert!(mean_of(&|x| x).abs() < bound(1.0), "{name}: mean");
        assert!((mean_of(&|x| x * x) - 1.0).abs() < bound(2.0), "{name}: variance");
        assert!(mean_of(&|x| x.powi(3)).abs() < bound(15.0), "{name}: skewness");
        assert!((mean_of(&|x| x.powi(4)) - 3.0).abs() < bound(96.0), "{name}: kurtosis");
        let lagged = values.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1]));
        assert!((lagged.sum::<f64>() / N as f64).abs() < bound(1.0), "{name}: neighbors");
    }
}
