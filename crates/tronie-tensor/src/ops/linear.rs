//! Products with a weight as checkpoints store it, and their gradients.

use burn::tensor::Tensor;
use gemm::Parallelism;

use super::cpu::{Input, Memory};
use super::gemm::{Matrix, multiply};
use super::record::record;
use super::sums;

/// `x @ weight^T + bias` for `x` (.. d_in), `weight` (d_out d_in), `bias` (d_out or empty). Returns `dims`, .. d_out.
pub(super) fn linear<const D: usize>(
    [x, weight, bias]: [Input; 3],
    [d_in, d_out]: [usize; 2],
    dims: [usize; D],
) -> Tensor<D> {
    let n_rows = dims.iter().product::<usize>() / d_out;
    let mut out = bias.values().repeat(n_rows);
    let add = !out.is_empty();
    out.resize(n_rows * d_out, 0.0);
    multiply(
        &mut out,
        Matrix::row_major(&x.values(), n_rows, d_in),
        Matrix::transposed(&weight.values(), d_in, d_out),
        add,
        Parallelism::Rayon(0),
    );
    // Each factor is kept for the gradient of the other: nothing for a frozen one, and a weight in the dtype it is stored in.
    let kept_weight = weight.kept_if(x.is_tracked());
    let kept_x = x.kept_if(weight.is_tracked());
    let bias_is_tracked = bias.is_tracked();
    record([x, weight, bias], Memory::new(out, dims), move |grad| {
        let of_x = kept_weight.as_ref().map(|weight| {
            let mut out = vec![0.0; n_rows * d_in];
            let grad = Matrix::row_major(grad, n_rows, d_out);
            let weight = weight.values();
            multiply(&mut out, grad, Matrix::row_major(&weight, d_out, d_in), false, Parallelism::Rayon(0));
            out
        });
        let of_weight = kept_x.as_ref().map(|x| {
            let mut out = vec![0.0; d_out * d_in];
            let grad = Matrix::transposed(grad, d_out, n_rows);
            let x = x.values();
            multiply(&mut out, grad, Matrix::row_major(&x, n_rows, d_in), false, Parallelism::Rayon(0));
            out
        });
        [of_x, of_weight, bias_is_tracked.then(|| sums::columns(grad, d_out))]
    })
}
