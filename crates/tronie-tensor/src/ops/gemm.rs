//! A safe face for the matrix product of the crate `gemm`.
#![expect(
    unsafe_code,
    reason = "the product takes pointers; `Matrix::new` has checked that they stay inside their slice"
)]

use std::ops::Range;

use gemm::Parallelism;

/// Products that are summed at once.
const DEPTH: usize = 512;

/// A matrix somewhere in a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row, without gaps.
    pub(super) fn row_major(data: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        Self::new(data, [n_rows, n_columns], [n_columns, 1])
    }

    /// The transpose of an `n_columns` by `n_rows` row-major matrix.
    pub(super) fn transposed(data: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        Self::new(data, [n_rows, n_columns], [1, n_rows])
    }

    /// Some of its rows.
    fn rows(self, rows: Range<usize>) -> Self {
        let data = self.data.get(rows.start * self.row_stride..).unwrap_or_default();
        Self::new(data, [rows.len(), self.n_columns], [self.row_stride, self.column_stride])
    }

    /// Some of its columns.
    fn columns(self, columns: Range<usize>) -> Self {
        let data = self.data.get(columns.start * self.column_stride..).unwrap_or_default();
        Self::new(data, [self.n_rows, columns.len()], [self.row_stride, self.column_stride])
    }

    fn new(
        data: &'a [f32],
        [n_rows, n_columns]: [usize; 2],
        [row_stride, column_stride]: [usize; 2],
    ) -> Self {
        let is_empty = n_rows == 0 || n_columns == 0;
        let last = || (n_rows - 1) * row_stride + (n_columns - 1) * column_stride;
        assert!(
            is_empty || last() < data.len(),
            "a {n_rows}x{n_columns} matrix does not fit in {}",
            data.len()
        );
        Self { data, n_rows, n_columns, row_stride, column_stride }
    }
}

/// `out = lhs * rhs` on one thread, where a row of `out` has the same bits whatever rows stand beside it: the crate sums in
/// steps of [`DEPTH`], but fewer in small products, so the steps are made here.
pub(super) fn multiply_rows(out: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let k = lhs.n_columns;
    let depth = k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1);
    for first in (0..k).step_by(depth) {
        let inner = first..k.min(first + depth);
        multiply(out, lhs.columns(inner.clone()), rhs.rows(inner), first > 0, Parallelism::None);
    }
}

/// `out = lhs * rhs`, or `out += lhs * rhs`; `out` is row-major.
pub(super) fn multiply(
    out: &mut [f32],
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    add: bool,
    parallelism: Parallelism,
) {
    assert_eq!(lhs.n_columns, rhs.n_rows, "inner dimensions of a product");
    let (m, n, k) = (lhs.n_rows, rhs.n_columns, lhs.n_columns);
    assert_eq!(out.len(), m * n, "size of a product");
    let stride = |stride: usize| isize::try_from(stride).unwrap_or(isize::MAX);
    // SAFETY: `Matrix::new` checked that every element lies inside its slice and the line above that `out` is m by n. `out`
    // is borrowed mutably, so it overlaps neither input. With `add` unset its old content is not read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride(n),
            add,
            lhs.data.as_ptr(),
            stride(lhs.column_stride),
            stride(lhs.row_stride),
            rhs.data.as_ptr(),
            stride(rhs.column_stride),
            stride(rhs.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
