//! Weights and inputs that both sides compute, so that no golden has to store them.
//!
//! `reference/golden_weights.py` states the rule and is the same in Python: FNV-1a of the tensor's name seeds
//! SplitMix64, whose upper 24 bits are a number in [-1, 1), scaled by what the tensor is for. A parameter under a
//! wrong name therefore has wrong values, and a golden finds it.
//!
//! FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>, SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.

/// The values of a parameter in row-major order, by its checkpoint name and shape.
///
/// Rank 2 and more: uniform with variance 1 / fan_in. Rank 1: 1 ± 0.25 for a `weight` (the gain of a norm), 0 ± 0.25
/// for anything else (a bias).
#[must_use]
pub fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let is_gain = name.ends_with(".weight");
    match shape {
        [] | [_] if is_gain => scaled(name, shape, |unit| 1.0 + 0.25 * unit),
        [] | [_] => scaled(name, shape, |unit| 0.25 * unit),
        [_, fan_in @ ..] => {
            let scale = (3.0 / count(fan_in)).sqrt();
            scaled(name, shape, |unit| unit * scale)
        }
    }
}

/// The values of an input of variance 1, by a name of the test's choice.
#[must_use]
pub fn input(name: &str, shape: &[usize]) -> Vec<f32> {
    scaled(name, shape, |unit| unit * 3.0_f64.sqrt())
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the rule")]
fn scaled(name: &str, shape: &[usize], scale: impl Fn(f64) -> f64) -> Vec<f32> {
    let n: usize = shape.iter().product();
    units(name).take(n).map(|unit| scale(unit) as f32).collect()
}

#[expect(clippy::cast_precision_loss, reason = "tensors have fewer than 2^53 elements")]
fn count(dims: &[usize]) -> f64 {
    dims.iter().product::<usize>() as f64
}

/// Numbers in [-1, 1) with 24 bits each.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
fn units(name: &str) -> impl Iterator<Item = f64> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by reference/golden_weights.py's `weight` and `inputs`.
    const WEIGHT: [f32; 4] = [0.142_500_04, 0.766_529_1, -0.819_942, -0.395_375_5];
    const GAIN: [f32; 2] = [0.881_473_84, 0.763_457_4];
    const BIAS: [f32; 2] = [0.173_547_66, 0.082_169_74];
    const INPUT: [f32; 2] = [-1.301_952_4, -0.829_747_9];

    #[test]
    fn values_equal_those_of_reference_golden_weights_py() {
        assert_eq!(weight("conv_in.weight", &[2, 3, 1, 1])[..4], WEIGHT);
        assert_eq!(weight("norm.weight", &[2]), GAIN);
        assert_eq!(weight("norm.bias", &[2]), BIAS);
        assert_eq!(input("latents", &[2, 1]), INPUT);
    }
}
