//! AdamW whose two moments are kept in 8 bits, block by block.
//!
//! Dettmers et al. 2022 (arXiv:2110.02861), section 2: each block of values is divided by its largest magnitude and
//! rounded to the nearest entry of a [`DynamicMap`]. A step decodes a block, does what AdamW does in f32,
//! and encodes it. Unlike in the paper, a second moment above 0 is never rounded to 0.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::adamw::Rule;
use super::dynamic_map::DynamicMap;
use super::state::{StateTensor, slices};
use super::{AdamW, Optimizer, Parameter, Shared, State, StepContext};
use crate::TrainError;
use crate::ranges::Ranged;

/// Values with a scale of their own. The paper has 2048 (section 2.1); bitsandbytes, whose state this is, has 256.
const BLOCK: usize = 256;
/// Smaller tensors stay in f32: they take little memory and are the most sensitive (bitsandbytes' `min_8bit_size`).
const MIN_QUANTIZED: usize = 4096;
/// Blocks that one task works on at least.
const MIN_BLOCKS: usize = 16;

/// Options of AdamW, for the same rule with a quarter of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdamW8bit(pub AdamW);

impl Optimizer for AdamW8bit {
    fn ranges(&self) -> Vec<Ranged> {
        self.0.ranges()
    }

    fn new_state(&self, values: &[f32], shape: &[usize]) -> State {
        if values.len() < MIN_QUANTIZED {
            return self.0.new_state(values, shape);
        }
        // Whatever code 0 stands for, with a scale of 0 it is 0.
        let n_blocks = [values.len().div_ceil(BLOCK)];
        let codes = ["m", "v"].map(|name| (name.to_owned(), StateTensor::zeros(shape)));
        let scales = State::zeros([("m_scale", n_blocks.as_slice()), ("v_scale", n_blocks.as_slice())]);
        State { codes: codes.into(), ..scales }
    }

    /// 2 bytes per parameter and 8 per block of 256; 8 per parameter for tensors of less than 4096.
    fn state_bytes(&self, shape: &[usize]) -> usize {
        let n: usize = shape.iter().product();
        if n < MIN_QUANTIZED { self.0.state_bytes(shape) } else { 2 * n + 8 * n.div_ceil(BLOCK) }
    }

    fn step(
        &self,
        parameter: &mut Parameter<'_>,
        shared: &Shared,
        at: StepContext,
    ) -> Result<(), TrainError> {
        let n = parameter.values.len();
        if n < MIN_QUANTIZED {
            return self.0.step(parameter, shared, at);
        }
        let rule = self.0.rule(at);
        let maps = (DynamicMap::signed(), DynamicMap::unsigned());
        let (name, n_blocks) = (parameter.name, n.div_ceil(BLOCK));
        let [m, v] = slices(&mut parameter.state.codes, name, [("m", n), ("v", n)])?;
        let scales = [("m_scale", n_blocks), ("v_scale", n_blocks)];
        let [m_scales, v_scales] = slices(&mut parameter.state.floats, name, scales)?;
        let m = m.par_chunks_mut(BLOCK).zip(m_scales);
        let v = v.par_chunks_mut(BLOCK).zip(v_scales);
        let values = parameter.values.par_chunks_mut(BLOCK).zip(parameter.gradient.par_chunks(BLOCK));
        values
            .zip(m.zip(v))
            .with_min_len(MIN_BLOCKS)
            .for_each(|(block, moments)| step_block(&rule, &maps, block, moments));
        Ok(())
    }
}

/// The codes of a block and its scale.
type Quantized<'a> = (&'a mut [u8], &'a mut f32);

fn step_block(
    rule: &Rule,
    (signed, unsigned): &(DynamicMap, DynamicMap),
    (values, gradient): (&mut [f32], &[f32]),
    ((m_codes, m_scale), (v_codes, v_scale)): (Quantized<'_>, Quantized<'_>),
) {
    let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
    signed.decode(m_codes, *m_scale, &mut m);
    unsigned.decode(v_codes, *v_scale, &mut v);
    for (((value, m), v), &gradient) in values.iter_mut().zip(&mut m).zip(&mut v).zip(gradient) {
        rule.apply(value, m, v, gradient);
    }
    *m_scale = signed.encode(&m, m_codes);
    *v_scale = unsigned.encode(&v, v_codes);
}
