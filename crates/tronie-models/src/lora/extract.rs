//! The LoRA that comes nearest to the difference of two models.
//!
//! For every matrix and convolution the best change of a rank is what the largest singular values of the difference span
//! (Eckart and Young 1936, doi:10.1007/BF02288367). kohya's `networks/extract_lora_from_models.py` does the same and then
//! clamps outliers, which makes the result worse by its own measure; here nothing is clamped.

use std::collections::{BTreeMap, BTreeSet};

use faer::MatRef;
use tronie_base::Progress;
use tronie_weights::{Dtype, LoraModule, LoraTarget, Part, RawTensor, TensorFile, TensorMeta};

use super::{ExtractError, matrix_dims};

/// What was found between two networks.
#[derive(Debug, Default)]
pub struct Extracted {
    /// The changes, in f32. Alpha is the rank, so that strength 1 gives the tuned network.
    pub modules: BTreeMap<LoraTarget, LoraModule>,
    /// Tensors that differ and that a LoRA cannot hold: biases, norms, embeddings, autoencoders.
    pub left: Vec<String>,
}

/// Finds changes of at most `rank` (1 or more) that make `tuned` from `base`; tensors without a difference are skipped.
///
/// # Errors
/// [`ExtractError`]: the networks do not have the same tensors, or one cannot be read.
pub fn extract(
    part: Part,
    [base, tuned]: [&dyn TensorFile; 2],
    rank: usize,
    progress: &mut dyn Progress,
) -> Result<Extracted, ExtractError> {
    let mut found = Extracted::default();
    let names: BTreeSet<String> = base.names().into_iter().chain(tuned.names()).collect();
    progress.begin(&format!("comparing {}", part.folder()), names.len() as u64);
    for name in names {
        progress.check()?;
        let [base, tuned] = [(base, "base", "tuned"), (tuned, "tuned", "base")]
            .map(|(file, own, other)| values(file, &name, [other, own]));
        let ((shape, base), (tuned_shape, tuned)) = (base?, tuned?);
        if shape != tuned_shape {
            return Err(ExtractError::Shape { name, base: shape, tuned: tuned_shape });
        }
        let difference: Vec<f32> = tuned.iter().zip(&base).map(|(tuned, base)| tuned - base).collect();
        if difference.iter().any(|&value| value != 0.0) {
            match path(part, &name, &shape) {
                Some(path) => {
                    let target = LoraTarget { part, path: path.to_owned() };
                    let module = decompose(&difference, &shape, rank);
                    let module = module.ok_or_else(|| ExtractError::Decompose { name: name.clone() })?;
                    found.modules.insert(target, module);
                }
                None => found.left.push(format!("{}.{name}", part.folder())),
            }
        }
        progress.advance(1);
    }
    Ok(found)
}

/// The module whose weight this is, if it is one that LoRAs change: a matrix that multiplies, or a convolution.
fn path<'a>(part: Part, name: &'a str, shape: &[usize]) -> Option<&'a str> {
    let is_product = matches!(shape.len(), 2 | 4) && !name.contains(".embeddings.");
    name.strip_suffix(".weight").filter(|_| is_product && part != Part::Vae)
}

/// A tensor's shape and numbers.
fn values(
    file: &dyn TensorFile,
    name: &str,
    [present, absent]: [&'static str; 2],
) -> Result<(Vec<usize>, Vec<f32>), ExtractError> {
    let read = file.read(name).map_err(|cause| ExtractError::Read { name: name.to_owned(), cause })?;
    let tensor = read.ok_or_else(|| ExtractError::Missing { name: name.to_owned(), present, absent })?;
    let single = tensor.to_dtype(Dtype::F32);
    let single = single.map_err(|source| ExtractError::Convert { name: name.to_owned(), source })?;
    let (numbers, _) = single.bytes.as_chunks::<4>();
    Ok((single.meta.shape, numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
}

/// The nearest product of two matrices; `None` where there is none, as for values that are not finite.
///
/// Each factor gets the square root of a singular value, so that neither is much smaller than the other and f16 holds both.
fn decompose(difference: &[f32], shape: &[usize], rank: usize) -> Option<LoraModule> {
    let (rows, columns) = matrix_dims(shape);
    if difference.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let svd = MatRef::from_row_major_slice(difference, rows, columns).thin_svd().ok()?;
    let rank = rank.min(rows).min(columns);
    let roots: Vec<f32> = svd.S().column_vector().iter().take(rank).map(|value| value.sqrt()).collect();
    let (u, v) = (svd.U(), svd.V());
    let up = (0..rows).flat_map(|row| roots.iter().enumerate().map(move |(i, root)| u[(row, i)] * root));
    let down = roots.iter().enumerate().flat_map(|(i, root)| (0..columns).map(move |row| v[(row, i)] * root));
    let further = shape.get(2..).unwrap_or_default();
    let down_shape = [&[rank], shape.get(1..).unwrap_or_default()].concat();
    let up_shape = [vec![rows, rank], vec![1; further.len()]].concat();
    Some(LoraModule::low_rank(tensor(down, down_shape), tensor(up, up_shape), rank as f32))
}

fn tensor(values: impl Iterator<Item = f32>, shape: Vec<usize>) -> RawTensor {
    let meta = TensorMeta { dtype: Dtype::F32, shape };
    RawTensor { meta, bytes: values.flat_map(f32::to_le_bytes).collect() }
}
