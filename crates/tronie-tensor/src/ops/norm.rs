//! Normalisation on the CPU: one pass for the statistics, one for the result.
//!
//! A variance is the mean square of deviations, never a difference of two large sums; the parts that threads find are
//! merged in f64 (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115). For the gradients only the statistics
//! are kept; normalised values are computed again.

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cpu::{Input, Memory};
use super::record::record;
use super::simd::{silu, sum, zip};

mod backward;

/// Numbers of one task: they stay in the second-level cache between the two passes over them.
const CHUNK: usize = 1 << 15;

/// What becomes of a normalised value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Silu,
}

/// Gains and shifts of a norm, and what keeps its denominator from zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) epsilon: f64,
}

/// Group normalisation of `x` (b h w c, of size `dims`), then `then`. Returns b h w c.
pub(super) fn group_norm(
    [x, weight, bias]: [Input; 3],
    dims: [usize; 4],
    (n_groups, epsilon): (usize, f64),
    then: Then,
) -> Tensor<4> {
    let [_, h, w, c] = dims;
    let affine = Affine { weight: &weight.values(), bias: &bias.values(), epsilon };
    let x_values = x.values();
    let chunk = (CHUNK / c).max(1) * c;
    let mut out = vec![0.0; x_values.len()];
    let images = x_values.chunks_exact(h * w * c).zip(out.chunks_exact_mut(h * w * c));
    let statistics: Vec<Channels> = images
        .map(|(x, out)| {
            let parts: Vec<Vec<Moments>> =
                x.par_chunks(chunk).map(|x| Arch::new().dispatch(GroupMoments { x, c, n_groups })).collect();
            let channels = Channels::new(&parts, affine);
            x.par_chunks(chunk).zip(out.par_chunks_mut(chunk)).for_each(|(x, out)| {
                Arch::new().dispatch(Normalize { x, channels: &channels, bias: affine.bias, then, out });
            });
            channels
        })
        .collect();
    let wanted = [&x, &weight, &bias].map(Input::is_tracked);
    let (kept_x, kept_weight, kept_bias) = (x.memory.clone(), weight.memory.clone(), bias.memory.clone());
    record([x, weight, bias], Memory::new(out, dims), move |grad| {
        let saved = backward::Images {
            x: &kept_x.values(),
            statistics: &statistics,
            weight: &kept_weight.values(),
            bias: &kept_bias.values(),
            n_groups,
            then,
        };
        backward::group_norm(saved, grad, wanted)
    })
}

/// Number, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn merge(self, other: Self) -> Self {
        let n = self.n + other.n;
        let distance = other.mean - self.mean;
        Self {
            n,
            mean: self.mean + distance * other.n / n,
            squares: self.squares + other.squares + distance * distance * self.n * other.n / n,
        }
    }
}

/// The moments of every group of some pixels.
struct GroupMoments<'a> {
    /// s c
    x: &'a [f32],
    c: usize,
    n_groups: usize,
}

impl WithSimd for GroupMoments<'_> {
    type Output = Vec<Moments>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<Moments> {
        let Self { x, c, n_groups } = self;
        #[expect(clippy::cast_precision_loss, reason = "a chunk has far fewer than 2^24 pixels")]
        let n = (x.len() / c) as f32;
        // Columns are independent, so these loops become vector code.
        let (mut means, mut squares) = (vec![0.0_f32; c], vec![0.0_f32; c]);
        for row in x.chunks_exact(c) {
            means.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        means.iter_mut().for_each(|sum| *sum /= n);
        for row in x.chunks_exact(c) {
            for ((square, mean), x) in squares.iter_mut().zip(&means).zip(row) {
                *square += (x - mean) * (x - mean);
            }
        }
        let width = c / n_groups;
        let groups = means.chunks_exact(width).zip(squares.chunks_exact(width));
        let channel = |(mean, squares): (&f32, &f32)| Moments {
            n: f64::from(n),
            mean: f64::from(*mean),
            squares: f64::from(*squares),
        };
        let group = |(means, squares): (&[f32], &[f32])| {
            means.iter().zip(squares).map(channel).reduce(Moments::merge).unwrap_or_default()
        };
        groups.map(group).collect()
    }
}

/// The statistics of one image, for every channel those of its group.
struct Channels {
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    /// The gain over the standard deviation.
    scale: Vec<f32>,
}

impl Channels {
    /// From the moments of every part and group.
    #[expect(clippy::cast_possible_truncation, reason = "f32 is what the map is made of")]
    fn new(parts: &[Vec<Moments>], affine: Affine<'_>) -> Self {
        let Affine { weight, epsilon, .. } = affine;
        let n_groups = parts.first().map_or(1, Vec::len);
        let of_group = |group: usize| {
            let moments = parts.iter().filter_map(|part| part.get(group)).copied().reduce(Moments::merge);
            let Moments { n, mean, squares } = moments.unwrap_or_default();
            (mean, (squares / n + epsilon).sqrt())
        };
        let width = weight.len() / n_groups;
        let channels = (0..n_groups).flat_map(|group| std::iter::repeat_n(of_group(group), width));
        let (mut mean, mut inverse, mut scale) = (Vec::new(), Vec::new(), Vec::new());
        for ((of_group, deviation), weight) in channels.zip(weight) {
            mean.push(of_group as f32);
            inverse.push(deviation.recip() as f32);
            scale.push((f64::from(*weight) / deviation) as f32);
        }
        Self { mean, inverse, scale }
    }
}

/// `(x - mean) * scale + bias`, row by row. Subtracting first keeps what a small spread around a large mean has left.
struct Normalize<'a> {
    /// s c
    x: &'a [f32],
    channels: &'a Channels,
    bias: &'a [f32],
    then: Then,
    out: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, channels: Channels { mean, scale, .. }, bias, then, out } = self;
        let c = scale.len();
        for (x, out) in x.chunks_exact(c).zip(out.chunks_exact_mut(c)) {
            let inputs = [x, mean, scale, bias];
            match then {
                Then::Nothing => zip(
                    simd,
                    inputs,
                    out,
                    #[inline(always)]
                    |inputs| normalized(simd, inputs),
                ),
                Then::Silu => zip(
                    simd,
                    inputs,
                    out,
                    #[inline(always)]
                    |inputs| silu(simd, normalized(simd, inputs)),
                ),
            }
        }
    }
}

#[inline(always)]
fn normalized<S: Simd>(simd: S, [x, mean, scale, bias]: [S::f32s; 4]) -> S::f32s {
    simd.mul_add_e_f32s(simd.sub_f32s(x, mean), scale, bias)
}

/// Layer normalisation of the rows of `x` (b s d, of size `dims`). Returns b s d.
pub(super) fn layer_norm([x, weight, bias]: [Input; 3], dims: [usize; 3], epsilon: f64) -> Tensor<3> {
    let [b, s, d] = dims;
    let affine = Affine { weight: &weight.values(), bias: &bias.values(), epsilon };
    let n_rows = (CHUNK / d).max(1);
    let mut out = vec![0.0; b * s * d];
    let mut statistics = vec![[0.0; 2]; b * s];
    let outputs = out.par_chunks_mut(n_rows * d).zip(statistics.par_chunks_mut(n_rows));
    x.values().par_chunks(n_rows * d).zip(outputs).for_each(|(x, (out, statistics))| {
        Arch::new().dispatch(LayerNorm { x, affine, out, statistics });
    });
    let wanted = [&x, &weight, &bias].map(Input::is_tracked);
    let (kept_x, kept_weight) = (x.memory.clone(), weight.memory.clone());
    record([x, weight, bias], Memory::new(out, dims), move |grad| {
        backward::layer_norm(&kept_x.values(), &statistics, &kept_weight.values(), grad, wanted)
    })
}

struct LayerNorm<'a> {
    /// s d
    x: &'a [f32],
    affine: Affine<'a>,
    out: &'a mut [f32],
    /// Mean and one over the standard deviation of every row.
    statistics: &'a mut [[f32; 2]],
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "rows are far shorter than 2^24")]
    #[expect(clippy::cast_possible_truncation, reason = "epsilon is stored as f64 and used as f32")]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, affine: Affine { weight, bias, epsilon }, out, statistics } = self;
        let d = weight.len();
        let mut deviations = vec![0.0; d];
        for ((x, out), statistics) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(statistics) {
            let [total] = sum(
                simd,
                [x],
                #[inline(always)]
                |x| x,
            );
            let mean = total / d as f32;
            let minus_mean = simd.splat_f32s(-mean);
            zip(
                simd,
                [x],
                &mut deviations,
                #[inline(always)]
                |[x]| simd.add_f32s(x, minus_mean),
            );
            let [squares] = sum(
                simd,
                [&deviations],
                #[inline(always)]
                |[x]| [simd.mul_f32s(x, x)],
            );
            let inverse = (squares / d as f32 + epsilon as f32).sqrt().recip();
            *statistics = [mean, inverse];
            let scale = simd.splat_f32s(inverse);
            zip(
                simd,
                [&deviations, weight, bias],
                out,
                #[inline(always)]
                |[x, weight, bias]| simd.mul_add_e_f32s(simd.mul_f32s(x, scale), weight, bias),
            );
        }
    }
}
