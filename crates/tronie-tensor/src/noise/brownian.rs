//! The Brownian tree of torchsde, which SDE samplers take their noise from.
//!
//! A path W is fixed by a seed alone: its increment over an interval is the same whatever was asked before, so that
//! more steps refine a picture instead of changing it. Levy's construction: the root's increment is normal, and
//! the increment of a left half given its parent's is normal around half of it; each split draws from its own
//! seed.
//!
//! Reference: torchsde 0.2.6, `BrownianTree` (`_brownian/brownian_interval.py`: dyadic tree, tolerance 1e-6, pool of
//! 24 words), called as k-diffusion's `BrownianTreeNoiseSampler` does. Kidger et al. 2021 (arXiv:2105.13493).

use std::collections::HashMap;
use std::sync::Arc;

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
        let trees = seeds
            .into_par_iter()
            .map(|seed| Tree::new(spec.rng, seed, n_values, range));
        Self {
            trees: trees.collect(),
            dims,
            device: device.clone(),
        }
    }

    pub(super) fn silent(dims: [usize; 4], device: &Device) -> Self {
        Self {
            trees: Vec::new(),
            dims,
            device: device.clone(),
        }
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
            let increments: Vec<_> = self
                .trees
                .par_iter_mut()
                .map(|tree| tree.increment_between(low, high))
                .collect();
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

/// Times are rounded to six decimals, so that queries meet on a grid.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a correctly rounded decimal needs more than f64 arithmetic"
)]
fn on_grid(time: f64) -> f64 {
    format!("{time:.6}").parse().unwrap_or(time)
}

/// One path, over `root.start..=root.end`.
#[derive(Debug, Clone)]
struct Tree {
    rng: Rng,
    seed: u64,
    root: Node,
    root_increment: Arc<[f32]>,
    cache: Cache,
}

impl Tree {
    fn new(rng: Rng, seed: u64, n_values: usize, range: (f64, f64)) -> Self {
        let (a, b) = (f64::from(round_to_f32(range.0)), f64::from(round_to_f32(range.1)));
        let (start, end) = (a.min(b), a.max(b));
        let [root_seed] = generate_state(seed, &[]);
        let scale = round_to_f32((end - start).sqrt());
        let normal = Generator::new(rng, u64::from(root_seed)).randn(n_values);
        Self {
            rng,
            seed,
            root: Node {
                depth: 0,
                key: 0,
                start: on_grid(start),
                end: on_grid(end),
            },
            root_increment: normal.into_iter().map(|value| value * scale).collect(),
            cache: Cache::default(),
        }
    }

    /// W(to) - W(from), for from <= to.
    fn increment_between(&mut self, from: f64, to: f64) -> Vec<f32> {
        let inside = |time: f64| on_grid(time.max(self.root.start).min(self.root.end)); // also makes NaN a number
        let mut pieces = Vec::new();
        self.root.cover(inside(from), inside(to), &mut pieces);
        let mut sum = vec![0.0; self.root_increment.len()];
        for piece in pieces {
            let increment = self.increment_of(&piece);
            sum.iter_mut()
                .zip(increment.iter())
                .for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    /// The increment of a node, from the root's down along the bits of its key.
    fn increment_of(&mut self, target: &Node) -> Arc<[f32]> {
        let mut node = self.root.clone();
        let mut increment = Arc::clone(&self.root_increment);
        for depth in 1..=target.depth {
            let is_left = (target.key >> (target.depth - depth)) & 1 == 0;
            let child = if is_left { node.left() } else { node.right() };
            increment = match self.cache.get(child.id()) {
                Some(known) => known,
                None => {
                    let drawn = self.draw_child(&node, &increment, is_left);
                    self.cache.put(child.id(), Arc::clone(&drawn));
                    drawn
                }
            };
            node = child;
        }
        increment
    }

    /// Levy's construction; the right half is what the left half leaves of the parent.
    fn draw_child(&self, parent: &Node, increment: &[f32], is_left: bool) -> Arc<[f32]> {
        let [seed] = generate_state(self.seed, &[parent.key, u64::from(parent.depth)]);
        let normal = Generator::new(self.rng, u64::from(seed)).randn(increment.len());
        let (left, right) = (parent.middle() - parent.start, parent.end - parent.middle());
        let inverse_length = 1.0 / (parent.end - parent.start);
        let deviation = round_to_f32((left * right * inverse_length).sqrt());
        let (left, inverse_length) = (round_to_f32(left), round_to_f32(inverse_length));
        let halves = increment.iter().zip(normal).map(|(&whole, normal)| {
            let left_half = left * whole * inverse_length + deviation * normal;
            if is_left { left_half } else { whole - left_half }
        });
        halves.collect()
    }
}

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

    fn id(&self) -> (u32, u64) {
        (self.depth, self.key)
    }

    fn middle(&self) -> f64 {
        on_grid(0.5 * (self.end + self.start))
    }

    fn left(&self) -> Self {
        Self {
            depth: self.depth + 1,
            key: 2 * self.key,
            start: self.start,
            end: self.middle(),
        }
    }

    fn right(&self) -> Self {
        Self {
            depth: self.depth + 1,
            key: 2 * self.key + 1,
            start: self.middle(),
            end: self.end,
        }
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

/// The increments used last. A query walks two ways of about 24 nodes, and the next one shares one of them.
#[derive(Debug, Clone, Default)]
struct Cache {
    rows: HashMap<(u32, u64), (u64, Arc<[f32]>)>,
    clock: u64,
}

impl Cache {
    const CAPACITY: usize = 48;

    fn get(&mut self, id: (u32, u64)) -> Option<Arc<[f32]>> {
        self.clock += 1;
        let (used_at, increment) = self.rows.get_mut(&id)?;
        *used_at = self.clock;
        Some(Arc::clone(increment))
    }

    fn put(&mut self, id: (u32, u64), increment: Arc<[f32]>) {
        if self.rows.len() >= Self::CAPACITY {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.0).map(|(&id, _)| id);
            oldest.and_then(|id| self.rows.remove(&id));
        }
        self.clock += 1;
        self.rows.insert(id, (self.clock, increment));
    }
}
