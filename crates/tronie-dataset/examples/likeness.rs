//! How long the exact search for alike faces takes, against the matrix products that it cannot do without:
//!
//! ```text
//! cargo run --release --package tronie-dataset --example likeness -- 100000 512
//! ```
//!
//! With up to 20,000 vectors the pairs are also compared with those of brute force in f64.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Instant;

use tronie_base::{Silent, derive_seed};
use tronie_dataset::{Limits, Print, alike, best};
use tronie_tensor::{Device, Tensor, TensorData};

/// Rows of a block, as in the search.
const BLOCK: usize = 1024;
const COSINE: f32 = 0.9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (n, width) = (number(20_000)?, number(512)?);
    let prints: Vec<Print> = (0..n).map(|index| print(index, width)).collect();

    let floor = products(&prints, width);
    println!("products alone: {floor:.2} s");
    let start = Instant::now();
    let pairs = alike(&prints, Limits { hash_bits: None, cosine: Some(COSINE) }, &mut Silent)?;
    let order: Vec<usize> = (0..n).collect();
    let n_repeats = best(n, &pairs, &order).iter().flatten().count();
    let search = start.elapsed().as_secs_f64();
    println!("search: {search:.2} s, {:.2} times as long", search / floor);
    println!("{} pairs, {n_repeats} of {n} repeat another", pairs.len());
    if n <= 20_000 {
        let expected = brute_force(&prints);
        println!("brute force: {expected} pairs");
        if expected != pairs.len() {
            return Err("the search has other pairs than brute force".into());
        }
    }
    Ok(())
}

/// One vector in ten is a copy of another with a little noise.
fn print(index: usize, width: usize) -> Print {
    let like = if index % 10 == 9 { index / 2 } else { index };
    let mut state = derive_seed("likeness", like as u64);
    let mut noise = derive_seed("noise", index as u64);
    let spread = if index % 10 == 9 { 0.5 * (index % 97) as f32 / 97.0 } else { 0.0 };
    let values = (0..width).map(|_| uniform(&mut state) + spread * uniform(&mut noise)).collect();
    Print { pixels_sha256: index.to_string(), hash: 0, embedding: Some(values) }
}

/// Numbers from -1 to 1 by Knuth's MMIX generator: many millions are needed, and their quality is of no matter.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / 8_388_608.0 - 1.0
}

/// Seconds for the upper triangle of all products, block by block, without looking at them.
fn products(prints: &[Print], width: usize) -> f64 {
    let device = Device::flex();
    let block = |rows: &[Print]| {
        let values: Vec<f32> =
            rows.iter().filter_map(|row| row.embedding.as_ref()).flatten().copied().collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows.len(), width]), &device)
    };
    let blocks: Vec<Tensor<2>> = prints.chunks(BLOCK).map(block).collect();
    let start = Instant::now();
    for (index, rows) in blocks.iter().enumerate() {
        for columns in blocks.iter().skip(index) {
            std::hint::black_box(rows.clone().matmul(columns.clone().transpose()).into_data());
        }
    }
    start.elapsed().as_secs_f64()
}

fn brute_force(prints: &[Print]) -> usize {
    use rayon::prelude::*;
    let vectors: Vec<&[f32]> = prints.iter().filter_map(|print| print.embedding.as_deref()).collect();
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths: Vec<f64> = vectors.iter().map(|vector| product(vector, vector).sqrt()).collect();
    let rows = vectors.par_iter().zip(&lengths).enumerate();
    rows.map(|(index, (a, a_length))| {
        let others = vectors.iter().zip(&lengths).skip(index + 1);
        others.filter(|(b, length)| product(a, b) / (a_length * **length) > f64::from(COSINE)).count()
    })
    .sum()
}
