//! Mixing two noises of one image, and moving a noise to another size.
#![expect(clippy::indexing_slicing, reason = "indices stay inside the dims they are made from")]

/// Above this mean cosine the two noises are one, and the great circle between them is not defined.
const SAME_DIRECTION: f64 = 0.9995;

/// Walks from `low` (strength 0) to `high` (strength 1) on great circles, as A1111 mixes variation seeds.
///
/// The vectors that are turned are the image's columns: for each channel and column, the values of all rows.
/// `dims` is c h w. Columns that are parallel, and noises that are nearly equal, are mixed linearly.
#[expect(clippy::cast_possible_truncation, reason = "the result is f32 as its inputs are")]
pub(super) fn slerp(strength: f32, low: &[f32], high: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [c, h, w] = dims;
    let strength = f64::from(strength);
    let columns = || (0..c).flat_map(move |channel| (0..w).map(move |x| channel * h * w + x));
    let column = |start: usize| (0..h).map(move |y| start + y * w);

    let cosine = |start| {
        let [mut dot, mut low_square, mut high_square] = [0.0; 3];
        for i in column(start) {
            let (a, b) = (f64::from(low[i]), f64::from(high[i]));
            dot += a * b;
            low_square += a * a;
            high_square += b * b;
        }
        dot / (low_square * high_square).sqrt()
    };
    let cosines: Vec<f64> = columns().map(cosine).collect();
    let same = cosines.iter().sum::<f64>() / cosines.len() as f64 > SAME_DIRECTION;

    let mut mixed = vec![0.0; low.len()];
    for (start, cosine) in columns().zip(cosines) {
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let (low_weight, high_weight) = if same || angle.sin() < 1e-7 {
            (1.0 - strength, strength)
        } else {
            (((1.0 - strength) * angle).sin() / angle.sin(), (strength * angle).sin() / angle.sin())
        };
        for i in column(start) {
            mixed[i] = (low_weight * f64::from(low[i]) + high_weight * f64::from(high[i])) as f32;
        }
    }
    mixed
}

/// Pastes `noise` (c, `from`) over the middle of `canvas` (`dims`), cutting what sticks out on both sides.
///
/// An odd difference rounds towards the top left, and a noise that is larger by an odd number of rows is cut by
/// one row more than needed, as A1111 does it.
pub(super) fn paste_centered(canvas: &mut [f32], dims: [usize; 3], noise: &[f32], from: (usize, usize)) {
    let [c, h, w] = dims;
    let rows = Overlap::new(h, from.0);
    let columns = Overlap::new(w, from.1);
    for channel in 0..c {
        for y in 0..rows.len {
            let target = (channel * h + rows.target + y) * w + columns.target;
            let source = (channel * from.0 + rows.source + y) * from.1 + columns.source;
            canvas[target..target + columns.len].copy_from_slice(&noise[source..source + columns.len]);
        }
    }
}

/// Where a length lies in another one when both have the same middle.
struct Overlap {
    source: usize,
    target: usize,
    len: usize,
}

impl Overlap {
    fn new(canvas: usize, noise: usize) -> Self {
        if noise <= canvas {
            return Self { source: 0, target: (canvas - noise) / 2, len: noise };
        }
        let cut = (noise - canvas).div_ceil(2);
        Self { source: cut, target: 0, len: noise - 2 * cut }
    }
}
