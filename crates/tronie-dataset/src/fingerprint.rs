//! What is compared to find pictures that are there twice.
//!
//! The perceptual hash is the 64-bit DCT hash of Zauner 2010 ("Implementation and benchmarking of perceptual image hash
//! functions", 3.2.1), without its mean filter: luma at 32x32, the two-dimensional DCT-II, of it the 8x8 lowest
//! frequencies after the constant one in both directions, each a bit that says whether it is above their median. It
//! survives scaling, compression and small changes of brightness; unrelated pictures differ in about 32 bits.

use std::f64::consts::PI;

use sha2::{Digest as _, Sha256};
use tronie_image::{ImageError, Pixels, resize};

/// Side of the picture that is transformed.
const SIDE: usize = 32;
/// Side of the block of frequencies that are compared.
const BLOCK: usize = 8;

/// A picture, boiled down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// SHA-256 over sides and pixels: the same for one picture in two files.
    pub(crate) pixels_sha256: String,
    /// The perceptual hash.
    pub(crate) hash: u64,
}

impl Fingerprint {
    /// The fingerprint of a picture.
    pub(crate) fn of(pixels: &Pixels) -> Result<Self, ImageError> {
        let mut hasher = Sha256::new();
        hasher.update(pixels.width_px().to_le_bytes());
        hasher.update(pixels.height_px().to_le_bytes());
        hasher.update(pixels.rgb());
        Ok(Self { pixels_sha256: tronie_base::hex(&hasher.finalize()), hash: perceptual_hash(pixels)? })
    }
}

fn perceptual_hash(pixels: &Pixels) -> Result<u64, ImageError> {
    let side = u32::try_from(SIDE).unwrap_or(u32::MAX);
    let small = resize(pixels, side, side)?;
    let (rgb, _) = small.rgb().as_chunks::<3>();
    // ITU-R BT.601
    let luma =
        rgb.iter().map(|&[r, g, b]| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b));
    let luma: Vec<f64> = luma.collect();
    let frequencies = low_frequencies(&luma);
    let mut sorted = frequencies.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    let median = f64::midpoint(at(middle - 1), at(middle));
    let bits = frequencies.iter().map(|&value| u64::from(value > median));
    Ok(bits.fold(0, |hash, bit| (hash << 1) | bit))
}

/// Frequencies 1 to 8 of the rows, for each of the columns', rows after rows. The scale, which all share, is left out.
fn low_frequencies(luma: &[f64]) -> Vec<f64> {
    let cosines = |frequency: usize| {
        (0..SIDE).map(move |place| (PI / SIDE as f64 * (place as f64 + 0.5) * frequency as f64).cos())
    };
    let transformed = |values: &[f64]| -> Vec<f64> {
        let product = |frequency| cosines(frequency).zip(values).map(|(cosine, value)| cosine * value).sum();
        (1..=BLOCK).map(product).collect()
    };
    let rows: Vec<Vec<f64>> = luma.chunks_exact(SIDE).map(transformed).collect();
    let column = |index: usize| rows.iter().filter_map(|row| row.get(index).copied()).collect::<Vec<f64>>();
    let columns: Vec<Vec<f64>> = (0..BLOCK).map(|index| transformed(&column(index))).collect();
    (0..BLOCK).flat_map(|y| columns.iter().filter_map(move |column| column.get(y).copied())).collect()
}

#[cfg(test)]
mod tests;
