//! A ControlNet given as changes of the UNet it steers: Stability's Control-LoRA.
//!
//! The UNet's way down gets low-rank changes and some tensors in place of its own; what the UNet has not is in the file whole.
//! <https://huggingface.co/stabilityai/control-lora>; the formula, `weight + up @ down` without an alpha, is that of `ControlLora`
//! in `ComfyUI`'s `comfy/controlnet.py`.

use std::collections::BTreeMap;

use tronie_tensor::Device;
use tronie_weights::{Lora, LoraModule, LoraTarget, Part, TensorFile};

use super::config::ControlFitError;
use super::{ControlNet, ControlNetConfig};
use crate::load::load_over;
use crate::lora::{Acting, apply};
use crate::unet::Unet;

/// What messages call the changes.
const NAME: &str = "Control-LoRA";

impl ControlNetConfig {
    /// The ControlNet that these tensors, in diffusers' names with `.up` and `.down` for changes, make of `unet`. Weights that are
    /// not changed are shared with it.
    ///
    /// # Errors
    /// [`ControlFitError`] when they are for another UNet.
    pub fn init_on(
        &self,
        unet: &Unet,
        tensors: &dyn TensorFile,
        device: &Device,
    ) -> Result<ControlNet, ControlFitError> {
        let (conv_in, time_embedding, add_embedding, down_blocks, mid_block) = unet.way_down();
        let network = self.init(device)?;
        let network =
            ControlNet { conv_in, time_embedding, add_embedding, down_blocks, mid_block, ..network };
        let read = |name: String| {
            let read =
                tensors.read(&name).map_err(|cause| ControlFitError::Read { name: name.clone(), cause });
            read?.ok_or(ControlFitError::Missing { name })
        };
        let mut modules = BTreeMap::new();
        for path in tensors.names().iter().filter_map(|name| name.strip_suffix(".down")) {
            let (down, up) = (read(format!("{path}.down"))?, read(format!("{path}.up"))?);
            let rank = down.meta.shape.first().copied().unwrap_or(1);
            let target = LoraTarget { part: Part::Unet, path: path.to_owned() };
            modules.insert(target, LoraModule::low_rank(down, up, rank as f32));
        }
        let lora = Lora { modules, family: None, metadata: BTreeMap::new() };
        let acting = Acting { name: NAME, lora: &lora, strength: 1.0 };
        let network = apply(network, Part::Unet, &[acting], device);
        let network = network.map_err(|error| ControlFitError::Changes(Box::new(error)))?;
        load_over(network, tensors, device).map_err(|error| ControlFitError::Load(Box::new(error)))
    }
}
