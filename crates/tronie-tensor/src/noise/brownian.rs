//! The Brownian tree of torchsde, which SDE samplers take their noise from.
//!
//! A path W is fixed by a seed alone: its increment over an interval is the same whatever was asked before, so that
//! more steps refine a picture instead of changing it. Levy's construction: the root's increment is normal, and
//! the increment of a left half given its parent's is normal around half of it; each split draws from its own
//! seed.
//!
//! Reference: torchsde 0.2.6, `BrownianTree` (`_brownian/brownian_interval.py`: dyadic tree, tolerance 1e-6, pool of
//! 24 words), called as k-diffusion's `BrownianTreeNoiseSampler` does. Kidger et al. 2021 (arXiv:2105.13493).

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::seed_sequence::generate_state;
use super::stream::Generator;
use super::{NoiseSpec, Rng};

/// Unit-variance increments of one Brownian path per image, or of one path for the whole batch.
#[derive(Debug, Clone)]
pub struct BrownianNoise {
    trees: Vec<Tree>,
    dims: [usize; 4],
    device: Device,
}

impl BrownianNoise {
    pub(super) fn new(spec: &NoiseSpec, dims: [usize; 4], range: (f64, f64), device: &Device) -> Self {
        let seeds = spec.generator_seeds(0);
        let n_values = dims.iter().product::<usize>() / seeds.len().max(1);
        let trees = seeds.into_par_iter().map(|seed| Tree::new(spec.rng, seed, n_values, range));
        Self { trees: trees.collect(), dims, device: device.clone() }
    }

    pub(super) fn silent(dims: [usize; 4], device: &Device) -> Self {
        Self { trees: Vec::new(), dims, device: device.clone() }
    }

    /// The increment from `sigma` to `sigma_next` divided by the square root of their distance: b c h w, f32.
    ///
    /// Its sign is turned when the noise level falls, as it does in a sampler. Levels outside of the range the
    /// path was made for count as its end; noise levels count as f32. Two equal levels give zeros.
    pub fn between(&mut self, sigma: f64, sigma_next: f64) -> Tensor<4> {
        let (from, to) = (round_to_f32(sigma), round_to_f32(sigma_next));
        let scale = (to - from).abs().sqrt().copysign(to - from);
        let n_values = self.dims.iter().product();
        let mut values = Vec::with_capacity(n_values);
        if scale != 0.0 {
            let (low, high) = (f64::from(from.min(to)), f64::from(from.max(to)));
            let increments: Vec<_> =
                self.trees.par_iter_mut().map(|tree| tree.increment_between(low, high)).collect();
            values.extend(increments.iter().flatten().map(|value| value / scale));
        }
        values.resize(n_values, 0.0);
        Tensor::from_data(TensorData::new(values, self.dims), (&self.device, DType::F32))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "samplers' noise levels are f32 tensors in the reference"
)]
fn round_to_f32(sigma: f64) -> f32 {
    sigma as f32
}

/// Times are rounded to six decimals, ties to even, so that queries meet on a grid. By way of text: the reference
/// rounds the exact decimal value, which f64 arithmetic cannot.
fn on_grid(time: f64) -> f64 {
    format!("{time:.6}").parse().unwrap_or(time)
}

/// One path, over `root.start..=root.end`.
#[derive(Debug, Clone)]
struct Tree {
    rng: Rng,
    seed: u64,
    root: Node,
    /// Increments of the root and of all nodes the last query went through, with their siblings. The next query of a
    /// sampler starts where the last one ended, and finds half of its nodes here.
    increments: HashMap<NodeId, Vec<f32>>,
}

impl Tree {
    fn new(rng: Rng, seed: u64, n_values: usize, range: (f64, f64)) -> Self {
        let (a, b) = (f64::from(round_to_f32(range.0)), f64::from(round_to_f32(range.1)));
        let (start, end) = (a.min(b), a.max(b));
        let root = Node { depth: 0, key: 0, start: on_grid(start), end: on_grid(end) };
        let [root_seed] = generate_state(seed, &[]);
        let scale = round_to_f32((end - start).sqrt());
        let mut increment = Generator::new(rng, u64::from(root_seed)).randn(n_values);
        increment.iter_mut().for_each(|value| *value *= scale);
        Self { rng, seed, increments: HashMap::from([(root.id(), increment)]), root }
    }

    /// W(to) - W(from), for from <= to; the sum of no pieces is empty.
    fn increment_between(&mut self, from: f64, to: f64) -> Vec<f32> {
        let inside = |time: f64| on_grid(time.max(self.root.start).min(self.root.end)); // also makes NaN a number
        let mut pieces = Vec::new();
        self.root.cover(inside(from), inside(to), &mut pieces);
        self.split_down_to(&pieces);
        let mut increments = pieces.iter().filter_map(|piece| self.increments.get(&piece.id()));
        let mut sum = increments.next().cloned().unwrap_or_default();
        for increment in increments {
            sum.iter_mut().zip(increment).for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    /// Makes the increments of these nodes known, and forgets what does not lie on the way to them.
    fn split_down_to(&mut self, pieces: &[Node]) {
        let ways = pieces.iter().flat_map(|piece| self.root.way_to(piece));
        let parents: BTreeMap<NodeId, Node> = ways.map(|parent| (parent.id(), parent)).collect();
        let is_needed = |&(depth, key): &NodeId| depth == 0 || parents.contains_key(&(depth - 1, key / 2));
        self.increments.retain(|id, _| is_needed(id));

        let unsplit =
            parents.into_values().filter(|parent| !self.increments.contains_key(&parent.left().id()));
        let unsplit: Vec<Node> = unsplit.collect(); // parents before children
        let n_values = self.increments.get(&self.root.id()).map_or(0, Vec::len);
        let normals: Vec<_> = unsplit.par_iter().map(|parent| self.normals_of(parent, n_values)).collect();
        for (parent, normals) in unsplit.iter().zip(normals) {
            let Some(increment) = self.increments.get(&parent.id()) else {
                continue;
            };
            let (left, right) = parent.halves(increment, normals);
            self.increments.insert(parent.left().id(), left);
            self.increments.insert(parent.right().id(), right);
        }
    }

    /// The normal numbers a node is split with.
    fn normals_of(&self, node: &Node, n_values: usize) -> Vec<f32> {
        let [seed] = generate_state(self.seed, &[node.key, u64::from(node.depth)]);
        Generator::new(self.rng, u64::from(seed)).randn(n_values)
    }
}

/// Depth and key of a [`Node`].
type NodeId = (u32, u64);

/// An interval of the dyadic tree.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    depth: u32,
    /// The way from the root, one bit per level, 0 is left.
    key: u64,
    start: f64,
    end: f64,
}

impl Node {
    /// Keys have 64 bits. The grid of 1e-6 ends every descent long before, for noise levels below 10^12.
    const MAX_DEPTH: u32 = 63;

    fn id(&self) -> NodeId {
        (self.depth, self.key)
    }

    fn middle(&self) -> f64 {
        on_grid(0.5 * (self.end + self.start))
    }

    fn left(&self) -> Self {
        Self { depth: self.depth + 1, key: 2 * self.key, start: self.start, end: self.middle() }
    }

    fn right(&self) -> Self {
        Self { depth: self.depth + 1, key: 2 * self.key + 1, start: self.middle(), end: self.end }
    }

    /// The nodes from this one to the parent of `target`, which lies below it.
    fn way_to(&self, target: &Self) -> Vec<Self> {
        let bits = (0..target.depth - self.depth).rev();
        let steps = bits.scan(self.clone(), |node, bit| {
            let child = if (target.key >> bit) & 1 == 0 { node.left() } else { node.right() };
            Some(std::mem::replace(node, child))
        });
        steps.collect()
    }

    /// Levy's construction: the increments of the two halves, given the whole and standard normal numbers.
    fn halves(&self, whole: &[f32], normals: Vec<f32>) -> (Vec<f32>, Vec<f32>) {
        let (left, right) = (self.middle() - self.start, self.end - self.middle());
        let inverse = 1.0 / (self.end - self.start);
        let deviation = round_to_f32((left * right * inverse).sqrt());
        let (left, inverse) = (round_to_f32(left), round_to_f32(inverse));
        let mut left_half = normals;
        for (value, whole) in left_half.iter_mut().zip(whole) {
            *value = left * whole * inverse + deviation * *value;
        }
        let right_half = whole.iter().zip(&left_half).map(|(whole, left)| whole - left).collect();
        (left_half, right_half)
    }

    /// The fewest nodes that together are `from..to`, in order.
    fn cover(&self, from: f64, to: f64, pieces: &mut Vec<Self>) {
        if from >= to {
            return;
        }
        let middle = self.middle();
        let is_whole = from <= self.start && to >= self.end;
        let is_splittable = self.start < middle && middle < self.end && self.depth < Self::MAX_DEPTH;
        if is_whole || !is_splittable {
            pieces.push(self.clone());
            return;
        }
        self.left().cover(from, to.min(middle), pieces);
        self.right().cover(from.max(middle), to, pieces);
    }
}
