//! LoRAs into checkpoints and out of them.

use tronie_base::Progress;
use tronie_models::lora::{Acting, Extracted, Merged, extract};
use tronie_tensor::Device;
use tronie_weights::{Checkpoint, Component, Lora, Modules, Part, TensorFile};

use crate::networks::wrong;
use crate::{GenerateError, Store};

/// Puts LoRAs, each a name as in a prompt and a strength, into a checkpoint's weights. What is written of it makes the
/// images that the tags make.
///
/// # Errors
/// [`GenerateError`]: no place has a LoRA of that name, it cannot be read, or it is for other networks.
pub fn merge_loras(
    checkpoint: &mut Checkpoint,
    wanted: &[(String, f32)],
    store: &Store,
    device: &Device,
) -> Result<(), GenerateError> {
    let modules = modules_of(checkpoint);
    let mut loras = Vec::new();
    for (name, strength) in wanted {
        let lora = Lora::open(&store.lora(name)?, Some(&modules));
        let lora =
            lora.map_err(|source| GenerateError::Lora { name: name.clone(), source: Box::new(source) })?;
        loras.push((name, lora, *strength));
    }
    let acting = loras.iter().map(|(name, lora, strength)| Acting { name, lora, strength: *strength });
    let acting: Vec<Acting<'_>> = acting.collect();
    for (part, Component { config, tensors }) in std::mem::take(&mut checkpoint.parts) {
        let tensors: Box<dyn TensorFile> = Box::new(Merged::new(tensors, part, &acting, device)?);
        checkpoint.parts.insert(part, Component { config, tensors });
    }
    Ok(())
}

/// The LoRA of at most `rank` that comes nearest to making one checkpoint from another, in f32, and the names of changed
/// tensors that no LoRA holds. `names` are what messages call the two.
///
/// # Errors
/// [`GenerateError`]: the networks are not the same, or a tensor cannot be read.
pub fn extract_lora(
    [base, tuned]: [&Checkpoint; 2],
    base_name: &str,
    rank: usize,
    progress: &mut dyn Progress,
) -> Result<Extracted, GenerateError> {
    let mut found = Extracted::default();
    for (part, component) in &tuned.parts {
        let Some(before) = base.parts.get(part) else {
            let reason = format!("it has no {} to compare with", part.folder());
            return Err(wrong(base_name)(reason, None));
        };
        let networks = [before.tensors.as_ref(), component.tensors.as_ref()];
        let Extracted { modules, left } = extract(*part, networks, rank, progress)?;
        found.modules.extend(modules);
        found.left.extend(left);
    }
    Ok(found)
}

/// What LoRAs can change in a checkpoint.
#[must_use]
pub fn modules_of(checkpoint: &Checkpoint) -> Modules {
    let parts = checkpoint.parts.iter().filter(|(part, _)| **part != Part::Vae);
    let parts: Vec<_> = parts.map(|(part, component)| (*part, component.tensors.names())).collect();
    Modules::of_networks(parts.iter().map(|(part, names)| (*part, names.as_slice())))
}
