//! How a kernel enters the graph of gradients: its output, and a function from the output's gradient to the inputs'.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps as _;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata as _};
use burn::tensor::{DType, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;

use super::cpu::{Input, Memory};

/// From the gradient of the output to those of the inputs; none for an input that is not tracked.
type Pullback<const N: usize> = dyn Fn(&[f32]) -> [Option<Vec<f32>>; N] + Send + Sync;

/// The tensor of a kernel's output. `pullback` is kept, with all it holds, only when an input is tracked.
pub(super) fn record<const N: usize, const D: usize>(
    inputs: [Input; N],
    output: Memory,
    pullback: impl Fn(&[f32]) -> [Option<Vec<f32>>; N] + Send + Sync + 'static,
) -> Tensor<D> {
    let output = output.into_primitive();
    if inputs.iter().all(|input| input.place.is_none()) {
        return Tensor::from_primitive::<Flex>(output);
    }
    // A tensor outside of the graph is a constant in it.
    let inputs = inputs.map(|Input { memory, place }| {
        place.unwrap_or_else(|| FloatTensor::<Autodiff<Flex>>::new(memory.into_primitive()))
    });
    let kinds = inputs.each_ref().map(|input| (input.shape(), input.dtype()));
    let nodes = inputs.each_ref().map(|input| input.node());
    let output = match Kernel.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            operation.finish(Recorded { pullback: Arc::new(pullback), kinds }, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// Any kernel: what it does is in its state.
#[derive(Debug)]
struct Kernel;

#[derive(Clone)]
struct Recorded<const N: usize> {
    pullback: Arc<Pullback<N>>,
    /// Shape and dtype of every input, which its gradient has too.
    kinds: [(Shape, DType); N],
}

impl<const N: usize> std::fmt::Debug for Recorded<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl<const N: usize> Backward<Flex, N> for Kernel {
    type State = Recorded<N>;

    fn backward(self, ops: Ops<Recorded<N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Memory::contiguous(&gradients.consume::<Flex>(&ops.node));
        let Recorded { pullback, kinds } = ops.state;
        let of_inputs = pullback(&gradient.values());
        for ((parent, values), (shape, dtype)) in ops.parents.into_iter().zip(of_inputs).zip(kinds) {
            if let (Some(parent), Some(values)) = (parent, values) {
                let gradient = FlexTensor::from_data(TensorData::new(values, shape));
                gradients.register::<Flex>(parent.id, Flex::float_cast(gradient, dtype.into()));
            }
        }
    }
}
