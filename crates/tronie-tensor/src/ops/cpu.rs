//! The door between tensors and the fused CPU kernels.

use std::borrow::Cow;
use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::FlexTensor;
use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};
use rayon::prelude::*;

/// Numbers converted by one task.
const CONVERT_AT_ONCE: usize = 1 << 16;

/// The contiguous f32 memory of a tensor that a kernel may read: on the CPU and not being differentiated.
pub(super) struct Values(FlexTensor);

impl Values {
    /// `None` when the kernels do not apply and Burn's own operations must run.
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        (x.dtype() == DType::F32).then(|| flex(x)).flatten().map(Self)
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        self.0.as_slice::<f32>().unwrap_or_default()
    }
}

/// A weight on the CPU, in the dtype it is stored in.
pub(super) struct Weight(FlexTensor);

impl Weight {
    /// `None` when the kernels do not apply and Burn's own operations must run.
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16).then(|| flex(x)).flatten().map(Self)
    }

    /// Its values: borrowed when stored as f32, converted when stored narrower.
    pub(super) fn values(&self) -> Cow<'_, [f32]> {
        match self.0.dtype() {
            DType::F16 => convert(self.0.as_slice::<f16>().unwrap_or_default(), |from, to| {
                from.convert_to_f32_slice(to)
            }),
            DType::BF16 => convert(self.0.as_slice::<bf16>().unwrap_or_default(), |from, to| {
                from.convert_to_f32_slice(to)
            }),
            _ => Cow::Borrowed(self.0.as_slice::<f32>().unwrap_or_default()),
        }
    }

    /// Whether both are the same memory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.data_arc(), &other.0.data_arc())
    }
}

/// An optional bias; empty when there is none.
pub(super) fn bias_values(bias: Option<&Tensor<1>>) -> Option<Vec<f32>> {
    match bias {
        None => Some(Vec::new()),
        Some(bias) => Weight::of(bias).map(|bias| bias.values().into_owned()),
    }
}

/// A kernel's output as a tensor.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, dims: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, dims)))
}

fn flex<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    x.clone().try_into_primitive::<Flex>().ok().map(|x| x.to_contiguous())
}

fn convert<T: Copy + Sync>(from: &[T], convert: impl Fn(&[T], &mut [f32]) + Sync) -> Cow<'static, [f32]> {
    let mut to = vec![0.0; from.len()];
    let pieces = to.par_chunks_mut(CONVERT_AT_ONCE).zip(from.par_chunks(CONVERT_AT_ONCE));
    pieces.for_each(|(to, from)| convert(from, to));
    Cow::Owned(to)
}
