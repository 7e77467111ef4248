//! The networks of faces as lists of a few operations: one list gives the weights, what training computes, and the ONNX file.
//!
//! All are plain: 3x3 convolutions with stride 2 halve a map, residual blocks (He et al. 2015, arXiv:1512.03385) without
//! normalization work on it. Their second convolution begins at zero (Zhang et al. 2019, "Fixup", arXiv:1901.09321), so that a
//! new network is a chain of its halving convolutions. Maps that are needed large are added up from small to large as in
//! Lin et al. 2016, "Feature Pyramid Networks" (arXiv:1612.03144).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tronie_base::derive_seed;
use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::relu;
use tronie_tensor::ops::{ConvCache, ConvGeometry, conv2d, linear, upsample_nearest_2x};

use crate::parameters::{Leaves, Parameters, Values};
use crate::scratch;

/// Widths and depths of a network; what it answers is up to its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Channels after each halving of the picture.
    pub widths: Vec<usize>,
    /// Residual blocks after each halving.
    pub blocks: Vec<usize>,
    /// Channels of what the answer is read off.
    pub head: usize,
}

/// What a network answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Numbers about the whole picture.
    Vector(usize),
    /// Numbers about every cell of a map, so many times smaller than the picture: 2, 4, 8 ..
    Map { channels: usize, stride_px: usize },
}

/// How weights begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Evenly, with the variance that keeps the size of values through a ReLU (He et al. 2015, arXiv:1502.01852).
    BeforeRelu,
    /// Evenly, as PyTorch fills a layer.
    Small,
    /// At zero.
    Zero,
}

/// An operation on maps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    /// A convolution; padded so that a stride of 1 keeps the size.
    Conv { name: String, channels: [usize; 2], kernel: usize, stride: usize, start: Start },
    /// A product with a matrix, of the whole map in the order rows, columns, channels.
    Linear { name: String, widths: [usize; 2] },
    /// `max(x, 0)`.
    Relu,
    /// The sum of two maps.
    Add,
    /// Every place becomes a block of 2x2.
    Double,
}

/// An operation and the maps it reads: 0 is the picture, `i` the outcome of the i-th operation, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) operation: Operation,
    pub(crate) reads: Vec<usize>,
}

/// A network. Its answer is the outcome of its last step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    pub(crate) steps: Vec<Step>,
    /// Sides of the square picture.
    pub(crate) side_px: usize,
    pub(crate) answer: Answer,
}

impl Graph {
    /// The network of a trunk that answers.
    pub(crate) fn new(trunk: &Trunk, side_px: usize, answer: Answer) -> Self {
        let mut graph = Self { steps: Vec::new(), side_px, answer };
        let (mut x, mut c_in) = (0, 3);
        let mut maps = Vec::new();
        for (stage, (&width, &n_blocks)) in trunk.widths.iter().zip(&trunk.blocks).enumerate() {
            x = graph.conv(x, format!("stages.{stage}.down"), [c_in, width], (3, 2, Start::BeforeRelu));
            x = graph.push(Operation::Relu, vec![x]);
            for block in 0..n_blocks {
                x = graph.block(x, &format!("stages.{stage}.blocks.{block}"), width);
            }
            c_in = width;
            maps.push((x, width));
        }
        match answer {
            Answer::Vector(n) => graph.vector(x, trunk, n),
            Answer::Map { channels, stride_px } => graph.map(&maps, trunk.head, (channels, stride_px)),
        }
        graph
    }

    fn push(&mut self, operation: Operation, reads: Vec<usize>) -> usize {
        self.steps.push(Step { operation, reads });
        self.steps.len()
    }

    fn conv(
        &mut self,
        x: usize,
        name: String,
        channels: [usize; 2],
        (kernel, stride, start): (usize, usize, Start),
    ) -> usize {
        self.push(Operation::Conv { name, channels, kernel, stride, start }, vec![x])
    }

    fn block(&mut self, x: usize, name: &str, width: usize) -> usize {
        let first = self.conv(x, format!("{name}.first"), [width; 2], (3, 1, Start::BeforeRelu));
        let first = self.push(Operation::Relu, vec![first]);
        let second = self.conv(first, format!("{name}.second"), [width; 2], (3, 1, Start::Zero));
        let sum = self.push(Operation::Add, vec![x, second]);
        self.push(Operation::Relu, vec![sum])
    }

    fn vector(&mut self, x: usize, trunk: &Trunk, n: usize) {
        let c_in = trunk.widths.last().copied().unwrap_or(3);
        let x = self.conv(x, "head.squeeze".to_owned(), [c_in, trunk.head], (1, 1, Start::BeforeRelu));
        let x = self.push(Operation::Relu, vec![x]);
        let side = self.side_px >> trunk.widths.len();
        self.push(
            Operation::Linear { name: "head.out".to_owned(), widths: [side * side * trunk.head, n] },
            vec![x],
        );
    }

    /// From the smallest map up: the larger one, brought to `width` channels, is added to the doubled sum of those below.
    fn map(&mut self, maps: &[(usize, usize)], width: usize, (channels, stride_px): (usize, usize)) {
        let n_kept = stride_px.ilog2() as usize - 1;
        let mut sum = None;
        for (stage, &(x, c_in)) in maps.iter().enumerate().skip(n_kept).rev() {
            let here = self.conv(x, format!("head.from.{stage}"), [c_in, width], (1, 1, Start::Small));
            let x = match sum {
                None => here,
                Some(below) => {
                    let doubled = self.push(Operation::Double, vec![below]);
                    self.push(Operation::Add, vec![here, doubled])
                }
            };
            sum = Some(self.push(Operation::Relu, vec![x]));
        }
        let x = sum.unwrap_or_default();
        let x = self.conv(x, "head.mix".to_owned(), [width; 2], (3, 1, Start::BeforeRelu));
        let x = self.push(Operation::Relu, vec![x]);
        self.conv(x, "head.out".to_owned(), [width, channels], (1, 1, Start::Small));
    }

    /// Names, shapes and first values of all weights.
    pub(crate) fn parameters(&self, seed: u64) -> Parameters {
        let mut all = BTreeMap::new();
        for step in &self.steps {
            let (name, shape, start) = match &step.operation {
                Operation::Conv { name, channels: [c_in, c_out], kernel, start, .. } => {
                    (name, vec![*c_out, *c_in, *kernel, *kernel], *start)
                }
                Operation::Linear { name, widths: [d_in, d_out] } => {
                    (name, vec![*d_out, *d_in], Start::Small)
                }
                Operation::Relu | Operation::Add | Operation::Double => continue,
            };
            let mut values = scratch::even(&shape, derive_seed(&format!("train/{seed}/{name}.weight"), 0));
            // `even` has variance 1 / (3 n) for n inputs; a ReLU wants 2 / n.
            let gain = match start {
                Start::BeforeRelu => 6.0_f32.sqrt(),
                Start::Small => 1.0,
                Start::Zero => 0.0,
            };
            values.iter_mut().for_each(|value| *value *= gain);
            let n_out = shape.first().copied().unwrap_or_default();
            let bias = Values { values: vec![0.0; n_out], shape: vec![n_out] };
            all.insert(format!("{name}.bias"), bias);
            all.insert(format!("{name}.weight"), Values { shape, values });
        }
        Parameters(all)
    }

    /// The answer about pictures.
    ///
    /// # Shapes
    /// `pictures`: b h w 3. Returns b h' w' c for a map, b 1 1 n for a vector.
    pub(crate) fn forward(&self, leaves: &Leaves, pictures: Tensor<4>) -> Tensor<4> {
        let mut outcomes = vec![pictures];
        for Step { operation, reads } in &self.steps {
            let mut read = reads.iter().filter_map(|&index| outcomes.get(index).cloned());
            let Some(x) = read.next() else { continue };
            let outcome = match operation {
                Operation::Conv { name, kernel, stride, .. } => convolve(leaves, name, x, (*kernel, *stride)),
                Operation::Linear { name, .. } => multiply(leaves, name, x),
                Operation::Relu => relu(x),
                Operation::Add => read.fold(x, |sum, x| sum + x),
                Operation::Double => upsample_nearest_2x(x),
            };
            outcomes.push(outcome);
        }
        outcomes.swap_remove(outcomes.len() - 1)
    }
}

fn convolve(leaves: &Leaves, name: &str, x: Tensor<4>, (kernel, stride): (usize, usize)) -> Tensor<4> {
    let Some(weight) = leaves.get(&format!("{name}.weight")) else { return x };
    let bias = leaves.get(&format!("{name}.bias")).map(|bias| bias.value::<1>());
    let geometry = ConvGeometry { stride, padding: kernel / 2 };
    conv2d(x, weight.value::<4>(), bias, geometry, &ConvCache::default())
}

fn multiply(leaves: &Leaves, name: &str, x: Tensor<4>) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let Some(weight) = leaves.get(&format!("{name}.weight")) else { return x };
    let bias = leaves.get(&format!("{name}.bias")).map(|bias| bias.value::<1>());
    linear(x.reshape([b, 1, 1, h * w * c]), weight.matrix(), bias)
}
