//! The door between tensors and the fused CPU kernels.

use std::borrow::Cow;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::FlexTensor;
use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};
use rayon::prelude::*;

/// Numbers converted by one task.
const CONVERT_AT_ONCE: usize = 1 << 16;

/// The contiguous memory of a tensor on the CPU, shared with it.
#[derive(Clone)]
pub(super) struct Memory(FlexTensor);

impl Memory {
    /// What a kernel has written.
    pub(super) fn new<const D: usize>(values: Vec<f32>, dims: [usize; D]) -> Self {
        Self(FlexTensor::from_data(TensorData::new(values, dims)))
    }

    /// Of any layout, on the CPU.
    pub(super) fn contiguous(x: &FlexTensor) -> Self {
        Self(x.to_contiguous())
    }

    /// Its numbers: borrowed when stored as f32, converted when stored narrower.
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

    pub(super) fn into_primitive(self) -> FlexTensor {
        self.0
    }
}

/// What a kernel reads, and its place in the graph of gradients when it has one.
///
/// A graph that is to compute outputs again instead of keeping them is left to Burn's operations, which can.
pub(super) struct Input {
    pub(super) memory: Memory,
    pub(super) place: Option<FloatTensor<Autodiff<Flex>>>,
}

impl Input {
    /// A tensor that networks compute: f32. `None` when the kernels do not apply and Burn's own operations must run.
    pub(super) fn computed<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        (x.dtype() == DType::F32).then(|| Self::on_cpu(x)).flatten()
    }

    /// A tensor that a checkpoint stores, in its dtype. `None` when the kernels do not apply.
    pub(super) fn stored<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16).then(|| Self::on_cpu(x)).flatten()
    }

    /// An optional bias; empty when there is none.
    pub(super) fn optional(bias: Option<&Tensor<1>>) -> Option<Self> {
        match bias {
            None => Some(Self { memory: Memory::new(Vec::new(), [0]), place: None }),
            Some(bias) => Self::stored(bias),
        }
    }

    /// Its numbers, as [`Memory::values`].
    pub(super) fn values(&self) -> Cow<'_, [f32]> {
        self.memory.values()
    }

    /// Whether it wants a gradient.
    pub(super) fn is_tracked(&self) -> bool {
        self.place.as_ref().is_some_and(FloatTensor::<Autodiff<Flex>>::is_tracked)
    }

    /// Its memory, for the backward pass, when that will read it.
    pub(super) fn kept_if(&self, is_read: bool) -> Option<Memory> {
        is_read.then(|| self.memory.clone())
    }

    fn on_cpu<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
            return Some(Self { memory: Memory::contiguous(&x), place: None });
        }
        let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
        Some(Self { memory: Memory::contiguous(x.primitive()), place: Some(x) })
    }
}

fn convert<T: Copy + Sync>(from: &[T], convert: impl Fn(&[T], &mut [f32]) + Sync) -> Cow<'static, [f32]> {
    let mut to = vec![0.0; from.len()];
    let pieces = to.par_chunks_mut(CONVERT_AT_ONCE).zip(from.par_chunks(CONVERT_AT_ONCE));
    pieces.for_each(|(to, from)| convert(from, to));
    Cow::Owned(to)
}
