//! The gradients of both norms.
//!
//! With the normalised x' and the gradient G of `x' weight + bias` (Ioffe and Szegedy 2015, arXiv:1502.03167, section 3): that of
//! the bias is the sum of G, that of the weight the sum of G x', and that of x is
//! `(weight G - mean(weight G) - x' mean(weight G x')) / deviation`, means over what shares statistics.
#![expect(clippy::indexing_slicing, reason = "a kernel: images are cut out of maps that hold them")]

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::simd::{silu_slope, sum, update, zip};
use super::super::sums;
use super::{CHUNK, Channels, Then, normalized};

/// What the forward pass of a group norm leaves for the gradients.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    /// b s c
    pub(super) x: &'a [f32],
    /// One per image.
    pub(super) statistics: &'a [Channels],
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) n_groups: usize,
    pub(super) then: Then,
}

/// The wanted gradients of the map, the gains and the shifts.
pub(super) fn group_norm(images: Images<'_>, grad: &[f32], wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
    let Images { x, statistics, weight, .. } = images;
    let c = weight.len();
    let chunk = (CHUNK / c).max(1) * c;
    let per_image = x.len() / statistics.len();
    let mut of_x = vec![0.0; if wanted[0] { x.len() } else { 0 }];
    let mut of_affine = Vec::new();
    for (i, channels) in statistics.iter().enumerate() {
        let at = i * per_image..(i + 1) * per_image;
        let pixels = |x, grad| Pixels { x, grad, images, channels };
        let chunks = x[at.clone()].par_chunks(chunk).zip(grad[at.clone()].par_chunks(chunk));
        let parts = chunks.clone().map(|(x, grad)| Arch::new().dispatch(ChannelSums(pixels(x, grad))));
        let sums = sums::merge(parts.collect());
        if wanted[0] {
            let means = Means::new(&sums, images, channels, per_image);
            chunks.zip(of_x[at].par_chunks_mut(chunk)).for_each(|((x, grad), out)| {
                Arch::new().dispatch(GradX { pixels: pixels(x, grad), means: &means, out });
            });
        }
        of_affine.push(sums);
    }
    let of_affine = sums::merge(of_affine);
    let (of_bias, of_weight) = of_affine.split_at(c);
    [wanted[0].then_some(of_x), wanted[1].then(|| of_weight.to_vec()), wanted[2].then(|| of_bias.to_vec())]
}

/// Some pixels of one image.
struct Pixels<'a> {
    /// s c
    x: &'a [f32],
    /// s c
    grad: &'a [f32],
    images: Images<'a>,
    channels: &'a Channels,
}

impl Pixels<'_> {
    /// Runs `f` on every row's normalised values and the gradients of `normalised * weight + bias`.
    #[inline(always)]
    fn for_rows<S: Simd>(&self, simd: S, mut f: impl FnMut(&[f32], &[f32])) {
        let Self { x, grad, images: Images { weight, bias, then, .. }, channels } = *self;
        let Channels { mean, inverse, scale } = channels;
        let c = weight.len();
        let (mut values, mut slopes) = (vec![0.0; c], vec![0.0; c]);
        for (x, grad) in x.chunks_exact(c).zip(grad.chunks_exact(c)) {
            zip(
                simd,
                [x, mean, inverse],
                &mut values,
                #[inline(always)]
                |[x, mean, inverse]| simd.mul_f32s(simd.sub_f32s(x, mean), inverse),
            );
            match then {
                Then::Nothing => f(&values, grad),
                Then::Silu => {
                    zip(
                        simd,
                        [x, mean, scale, bias, grad],
                        &mut slopes,
                        #[inline(always)]
                        |[x, mean, scale, bias, grad]| {
                            let y = normalized(simd, [x, mean, scale, bias]);
                            simd.mul_f32s(grad, silu_slope(simd, y))
                        },
                    );
                    f(&values, &slopes);
                }
            }
        }
    }
}

/// Per channel, the sums of the gradients and of the gradients times the normalised values: 2 c.
struct ChannelSums<'a>(Pixels<'a>);

impl WithSimd for ChannelSums<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let c = self.0.images.weight.len();
        let mut sums = vec![0.0; 2 * c];
        let (of_grad, of_product) = sums.split_at_mut(c);
        self.0.for_rows(
            simd,
            #[inline(always)]
            |values, grad| {
                update(
                    simd,
                    [values, grad],
                    [of_grad, of_product],
                    #[inline(always)]
                    |[x, grad], [sum, product]| {
                        [simd.add_f32s(sum, grad), simd.mul_add_e_f32s(x, grad, product)]
                    },
                );
            },
        );
        sums
    }
}

/// What every channel's gradient loses, already over the deviation: a constant, and a factor of the normalised value.
struct Means {
    constant: Vec<f32>,
    factor: Vec<f32>,
}

impl Means {
    /// `sums`: as of [`ChannelSums`], of the whole image.
    #[expect(clippy::cast_possible_truncation, reason = "f32 is what gradients are made of")]
    #[expect(clippy::cast_precision_loss, reason = "a group has far fewer than 2^52 numbers")]
    fn new(sums: &[f32], images: Images<'_>, channels: &Channels, per_image: usize) -> Self {
        let Images { weight, n_groups, .. } = images;
        let n = (per_image / n_groups) as f64;
        let width = weight.len() / n_groups;
        let means = |sums: &[f32]| -> Vec<f32> {
            let groups = sums.chunks_exact(width).zip(weight.chunks_exact(width));
            let means = groups.flat_map(|(sums, weight)| {
                let total: f64 = sums.iter().zip(weight).map(|(s, w)| f64::from(*s) * f64::from(*w)).sum();
                std::iter::repeat_n(total / n, width)
            });
            means.zip(&channels.inverse).map(|(mean, inverse)| (mean * f64::from(*inverse)) as f32).collect()
        };
        let (of_grad, of_product) = sums.split_at(weight.len());
        Self { constant: means(of_grad), factor: means(of_product) }
    }
}

struct GradX<'a> {
    pixels: Pixels<'a>,
    means: &'a Means,
    out: &'a mut [f32],
}

impl WithSimd for GradX<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pixels, means: Means { constant, factor }, out } = self;
        let scale = &pixels.channels.scale;
        let mut rows = out.chunks_exact_mut(scale.len());
        pixels.for_rows(
            simd,
            #[inline(always)]
            |values, grad| {
                let Some(out) = rows.next() else { return };
                zip(
                    simd,
                    [values, grad, scale, constant, factor],
                    out,
                    #[inline(always)]
                    |[x, grad, scale, constant, factor]| {
                        let centered = simd.sub_f32s(simd.mul_f32s(grad, scale), constant);
                        simd.negate_mul_add_e_f32s(x, factor, centered)
                    },
                );
            },
        );
    }
}

/// The wanted gradients of the rows `x` (s d), the gains and the shifts.
pub(super) fn layer_norm(
    x: &[f32],
    statistics: &[[f32; 2]],
    weight: &[f32],
    grad: &[f32],
    wanted: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let d = weight.len();
    let n_rows = (CHUNK / d).max(1);
    let mut of_x = vec![0.0; x.len()];
    let chunks = x.par_chunks(n_rows * d).zip(grad.par_chunks(n_rows * d));
    let chunks = chunks.zip(statistics.par_chunks(n_rows)).zip(of_x.par_chunks_mut(n_rows * d));
    let parts = chunks.map(|(((x, grad), statistics), out)| {
        Arch::new().dispatch(LayerRows { x, grad, statistics, weight, out })
    });
    let of_affine = sums::merge(parts.collect());
    let (of_bias, of_weight) = of_affine.split_at(d);
    [wanted[0].then_some(of_x), wanted[1].then(|| of_weight.to_vec()), wanted[2].then(|| of_bias.to_vec())]
}

struct LayerRows<'a> {
    /// s d
    x: &'a [f32],
    /// s d
    grad: &'a [f32],
    /// Mean and one over the standard deviation of every row.
    statistics: &'a [[f32; 2]],
    weight: &'a [f32],
    /// The gradient of `x`.
    out: &'a mut [f32],
}

impl WithSimd for LayerRows<'_> {
    /// Per column, the sums of the gradients and of the gradients times the normalised values: 2 d.
    type Output = Vec<f32>;

    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "rows are far shorter than 2^24")]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { x, grad, statistics, weight, out } = self;
        let d = weight.len();
        let mut sums = vec![0.0; 2 * d];
        let (of_grad, of_product) = sums.split_at_mut(d);
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(out.chunks_exact_mut(d));
        for (((x, grad), out), [mean, inverse]) in rows.zip(statistics) {
            let (mean, inverse) = (simd.splat_f32s(*mean), simd.splat_f32s(*inverse));
            // `out` holds the normalised values until its own are known.
            zip(
                simd,
                [x],
                out,
                #[inline(always)]
                |[x]| simd.mul_f32s(simd.sub_f32s(x, mean), inverse),
            );
            let means = sum(
                simd,
                [out, grad, weight],
                #[inline(always)]
                |[x, grad, weight]| {
                    let grad = simd.mul_f32s(grad, weight);
                    [grad, simd.mul_f32s(grad, x)]
                },
            );
            let [constant, factor] = means.map(|sum| simd.splat_f32s(sum / d as f32));
            update(
                simd,
                [grad, weight],
                [&mut *out, &mut *of_grad, &mut *of_product],
                #[inline(always)]
                |[grad, weight], [x, sum, product]| {
                    let centered = simd.sub_f32s(simd.mul_f32s(grad, weight), constant);
                    let of_x = simd.mul_f32s(inverse, simd.negate_mul_add_e_f32s(x, factor, centered));
                    [of_x, simd.add_f32s(sum, grad), simd.mul_add_e_f32s(x, grad, product)]
                },
            );
        }
        sums
    }
}
