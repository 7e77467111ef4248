//! Losses that several networks share.

use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::relu;

/// Cross entropy of probabilities (0 to 1) with logits, for each number: `ln(1 + e^x) - x target`, written so that large
/// logits do not overflow.
pub(crate) fn logistic<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    let tail = (-logits.clone().abs()).exp().log1p();
    relu(logits.clone()) - logits * targets + tail
}
