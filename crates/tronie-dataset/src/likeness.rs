//! Which pictures are alike, every pair of them, and which of them to keep.
//!
//! Nothing is approximate. Cosines are a blocked product of all vectors with all vectors, 1024 by 1024 at a time, so that
//! memory holds the vectors, one block of products and the pairs that were found. Products are f32; whatever comes near the
//! threshold is computed again in f64, so that a threshold means the same on every machine.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use serde::Serialize;
use tronie_base::Progress;
use tronie_tensor::{Device, Tensor, TensorData};

use crate::BuildError;

/// Rows of a block of vectors.
const BLOCK: usize = 1024;
/// More than the f32 product of two vectors of length 1 and up to a thousand numbers can be off.
const SLACK: f64 = 1e-4;
/// Most pairs that are kept in memory, 0.3 GB; a set with more is no set of different pictures.
pub const MAX_PAIRS: usize = 10_000_000;

/// What is compared about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// SHA-256 over sides and pixels.
    pub pixels_sha256: String,
    /// The perceptual hash.
    pub hash: u64,
    /// Direction of its face, of any length but 0.
    pub embedding: Option<Vec<f32>>,
}

/// From when on pictures are alike. The same pixels always are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most bits of 64 that perceptual hashes differ in.
    pub hash_bits: Option<u32>,
    /// Cosines above this are alike.
    pub cosine: Option<f32>,
}

/// In which way two pictures are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// The same pixels.
    Pixels,
    /// Perceptual hashes that differ in so many bits.
    HashBits(u32),
    /// The cosine of their embeddings.
    Cosine(f64),
}

/// Two pictures that are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Index of the first.
    pub a: usize,
    /// Index of the second, which is larger.
    pub b: usize,
    /// How they are alike; the first way that holds of pixels, hash and embedding.
    pub likeness: Likeness,
}

/// Every pair of pictures that are alike, by their indices. Of pictures with the same pixels each is paired with the first
/// of them, and only that one is compared with others.
///
/// # Errors
/// [`BuildError::TooManyPairs`], and a stop.
pub fn alike(prints: &[Print], limits: Limits, progress: &mut dyn Progress) -> Result<Vec<Pair>, BuildError> {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    let mut pairs = Vec::new();
    let mut originals = Vec::new();
    for (index, print) in prints.iter().enumerate() {
        let first = *first_of.entry(&print.pixels_sha256).or_insert(index);
        if first == index {
            originals.push((index, print));
        } else {
            pairs.push(Pair { a: first, b: index, likeness: Likeness::Pixels });
        }
    }
    let mut known = HashSet::new();
    if let Some(limit) = limits.hash_bits {
        let by_hash = alike_hashes(&originals, limit, progress)?;
        known = by_hash.iter().map(|pair| (pair.a, pair.b)).collect();
        pairs.extend(by_hash);
    }
    if let Some(limit) = limits.cosine {
        let by_cosine = alike_faces(&originals, limit, progress)?;
        pairs.extend(by_cosine.into_iter().filter(|pair| !known.contains(&(pair.a, pair.b))));
    }
    pairs.sort_by_key(|pair| (pair.a, pair.b));
    Ok(pairs)
}

fn check_room(n_pairs: usize) -> Result<(), BuildError> {
    if n_pairs > MAX_PAIRS { Err(BuildError::TooManyPairs) } else { Ok(()) }
}

fn alike_hashes(
    originals: &[(usize, &Print)],
    limit: u32,
    progress: &mut dyn Progress,
) -> Result<Vec<Pair>, BuildError> {
    let hashes: Vec<(usize, u64)> = originals.iter().map(|(index, print)| (*index, print.hash)).collect();
    let mut pairs = Vec::new();
    progress.begin("comparing hashes", hashes.len() as u64);
    for start in (0..hashes.len()).step_by(BLOCK) {
        progress.check()?;
        let rows = hashes.get(start..).unwrap_or_default();
        let found = rows.par_iter().take(BLOCK).enumerate().flat_map_iter(|(offset, &(a, hash))| {
            rows.iter().skip(offset + 1).filter_map(move |&(b, other)| {
                let n_bits = (hash ^ other).count_ones();
                (n_bits <= limit).then_some(Pair { a, b, likeness: Likeness::HashBits(n_bits) })
            })
        });
        pairs.par_extend(found);
        check_room(pairs.len())?;
        progress.advance(rows.len().min(BLOCK) as u64);
    }
    Ok(pairs)
}

/// A block of vectors on the device, and where they are from.
struct Block<'a> {
    vectors: Tensor<2>,
    rows: &'a [(usize, Vec<f32>)],
}

fn alike_faces(
    originals: &[(usize, &Print)],
    limit: f32,
    progress: &mut dyn Progress,
) -> Result<Vec<Pair>, BuildError> {
    let unit = |&(index, print): &(usize, &Print)| Some((index, unit(print.embedding.as_ref()?)?));
    let vectors: Vec<(usize, Vec<f32>)> = originals.iter().filter_map(unit).collect();
    let width = vectors.first().map_or(0, |(_, vector)| vector.len());
    if let Some((_, vector)) = vectors.iter().find(|(_, vector)| vector.len() != width) {
        return Err(BuildError::MixedEmbeddings { found: vector.len(), expected: width });
    }
    let device = Device::flex();
    let block = |rows: &[(usize, Vec<f32>)]| {
        let values: Vec<f32> = rows.iter().flat_map(|(_, vector)| vector).copied().collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows.len(), width]), &device)
    };
    let blocks: Vec<Block<'_>> =
        vectors.chunks(BLOCK).map(|rows| Block { vectors: block(rows), rows }).collect();
    let n_blocks = blocks.len() as u64;
    progress.begin("comparing faces", n_blocks * (n_blocks + 1) / 2);
    let mut pairs = Vec::new();
    for (index, rows) in blocks.iter().enumerate() {
        for columns in blocks.iter().skip(index) {
            progress.check()?;
            pairs.extend(products_above(rows, columns, limit));
            check_room(pairs.len())?;
            progress.advance(1);
        }
    }
    Ok(pairs)
}

fn products_above(rows: &Block<'_>, columns: &Block<'_>, limit: f32) -> Vec<Pair> {
    let products = rows.vectors.clone().matmul(columns.vectors.clone().transpose()); // rows columns
    let products = products.into_data();
    // The device computes in f32.
    let products = products.as_slice::<f32>().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "a threshold with slack")]
    let near = (f64::from(limit) - SLACK) as f32;
    let lines = products.par_chunks(columns.rows.len().max(1)).zip(rows.rows);
    let found = lines.flat_map_iter(|(line, (a, vector))| {
        // Lines of 64 without anything near are the rule, and one comparison each.
        let chunks = line.chunks(64).zip(columns.rows.chunks(64));
        let near_ones =
            chunks.filter(move |(values, _)| values.iter().fold(false, |any, &value| any | (value > near)));
        near_ones.flat_map(move |(values, others)| {
            values.iter().zip(others).filter_map(move |(&value, (b, other))| {
                if value <= near || a >= b {
                    return None;
                }
                let exact = cosine(vector, other);
                (exact > f64::from(limit)).then_some(Pair { a: *a, b: *b, likeness: Likeness::Cosine(exact) })
            })
        })
    });
    found.collect()
}

/// The vector at length 1; `None` for one without direction.
#[expect(clippy::cast_possible_truncation, reason = "f64 only carries the sum")]
fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let is_direction = length > 0.0 && length.is_finite();
    is_direction.then(|| vector.iter().map(|&value| (f64::from(value) / length) as f32).collect())
}

/// The cosine of two vectors, in f64.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// For each of `n` pictures the kept one that it repeats; `None` for those that are kept. Pictures are kept in the order
/// given, each unless it is alike to one kept before it: so no two kept pictures are a pair, whatever chains there are.
#[must_use]
pub fn best(n: usize, pairs: &[Pair], order: &[usize]) -> Vec<Option<Pair>> {
    let mut neighbors: Vec<Vec<Pair>> = vec![Vec::new(); n];
    for pair in pairs {
        for end in [pair.a, pair.b] {
            neighbors.get_mut(end).into_iter().for_each(|list| list.push(*pair));
        }
    }
    let mut is_kept = vec![false; n];
    let mut repeats = vec![None; n];
    for &index in order {
        let kept = |pair: &&Pair| is_kept.get(pair.a + pair.b - index) == Some(&true);
        let repeated = neighbors.get(index).and_then(|pairs| pairs.iter().find(kept)).copied();
        if let (Some(is_kept), Some(place)) = (is_kept.get_mut(index), repeats.get_mut(index)) {
            *is_kept = repeated.is_none();
            *place = repeated;
        }
    }
    repeats
}

#[cfg(test)]
mod tests;
