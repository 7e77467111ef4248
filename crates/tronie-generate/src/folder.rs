//! A checkpoint as a diffusers folder, with what a single file lacks for that.

use tronie_base::{Faulty as _, Progress};
use tronie_models::catalog::ModelSpec;
use tronie_prompt::Tokenizer;
use tronie_weights::{Checkpoint, Target, save_folder};

use crate::GenerateError;
use crate::networks::{part, spec, wrong};

/// Writes a checkpoint as a diffusers folder that makes the same images, here and in diffusers. Configurations and
/// vocabularies that it does not bring are those [`Pipeline`](crate::Pipeline) runs it with. `model` is its name, for
/// messages.
///
/// # Errors
/// [`GenerateError::Checkpoint`] when it is no whole model of a known family, [`GenerateError::Weights`] when writing
/// fails.
pub fn save_as_folder(
    mut checkpoint: Checkpoint,
    model: &str,
    target: Target<'_>,
    progress: &mut dyn Progress,
) -> Result<(), GenerateError> {
    complete(&mut checkpoint, model)?;
    save_folder(&checkpoint, target, progress).map_err(|error| GenerateError::Weights(Box::new(error)))
}

/// Adds the files that are missing; what is there stays.
fn complete(checkpoint: &mut Checkpoint, model: &str) -> Result<(), GenerateError> {
    let wrong = wrong(model);
    let spec = spec(checkpoint, &wrong)?;
    let folders = spec.text.encoders.iter().map(|encoder| encoder.folder).chain(["unet", "vae"]);
    for folder in folders {
        part(checkpoint, folder, &wrong)?;
    }
    let files = spec.to_diffusers().map_err(|error| wrong(error.to_string(), error.hint()))?;
    let Checkpoint { model_index, scheduler, parts, tokenizer_files, .. } = checkpoint;
    for (path, config) in files {
        let slot = match path.split_once('/') {
            None => Some(&mut *model_index),
            Some(("scheduler", _)) => Some(&mut *scheduler),
            Some((folder, _)) => {
                let part = parts.iter_mut().find(|(part, _)| part.folder() == folder);
                part.map(|(_, component)| &mut component.config)
            }
        };
        match slot {
            Some(slot) => _ = slot.get_or_insert(config),
            None => _ = tokenizer_files.entry(path).or_insert_with(|| format!("{config:#}\n").into_bytes()),
        }
    }
    add_vocabularies(checkpoint, &spec);
    Ok(())
}

/// CLIP's vocabulary for every tower that comes without one.
fn add_vocabularies(checkpoint: &mut Checkpoint, spec: &ModelSpec) {
    let files = &mut checkpoint.tokenizer_files;
    for encoder in &spec.text.encoders {
        let path = |name: &str| format!("{}/{name}", encoder.tokenizer_folder());
        let has = |name: &str| files.contains_key(&path(name));
        let has_vocabulary = has("tokenizer.json") || (has("vocab.json") && has("merges.txt"));
        if !has_vocabulary {
            let (vocab, merges) = Tokenizer::clip().to_vocab_and_merges();
            files.insert(path("vocab.json"), vocab.into_bytes());
            files.insert(path("merges.txt"), merges.into_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
