//! LoRAs named in prompts: from `<lora:film:0.8>` to networks that have it in their weights.
//!
//! As in A1111 a tag acts on the whole image wherever it stands, tags add up, and the text is encoded without them. A
//! negative prompt has no tags there: they would be encoded as words, which nobody means, so here they are an error.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tronie_models::lora::{Acting, apply};
use tronie_models::parameter_shapes;
use tronie_prompt::{LoraRef, extract_networks};
use tronie_tensor::{Device, Module};
use tronie_weights::{Lora, Modules, Part, hash_of_lora};

use crate::networks::Networks;
use crate::{GenerateError, GenerateRequest, Store};

/// Kinds of tags that name a LoRA; A1111 takes the second for the first.
const KINDS: [&str; 2] = ["lora", "lyco"];

/// A LoRA that an image was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedLora {
    /// As the prompt has it.
    pub name: String,
    /// SHA-256 of its tensors, hexadecimal, see [`hash_of_lora`].
    pub sha256: String,
}

/// A prompt without its tags, and what they ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tagged {
    pub(crate) prompt: String,
    pub(crate) loras: Vec<LoraRef>,
}

impl Tagged {
    /// Reads the tags of a request.
    ///
    /// # Errors
    /// [`GenerateError`]: a tag of another kind, one that makes no sense, or one in the negative prompt.
    pub(crate) fn of(request: &GenerateRequest) -> Result<Self, GenerateError> {
        let (_, unwanted) = extract_networks(&request.negative_prompt);
        if let Some(tag) = unwanted.into_iter().next() {
            let name = tag.positional.into_iter().next().unwrap_or_default();
            return Err(GenerateError::NegativeNetwork { kind: tag.kind, name });
        }
        let (prompt, tags) = extract_networks(&request.prompt);
        let mut loras = Vec::new();
        for tag in tags {
            if !KINDS.contains(&tag.kind.as_str()) {
                let name = tag.positional.into_iter().next().unwrap_or_default();
                return Err(GenerateError::ExtraNetwork { kind: tag.kind, name });
            }
            loras.push(tag.lora()?);
        }
        Ok(Self { prompt, loras })
    }
}

/// Networks with LoRAs in them.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    wanted: Vec<LoraRef>,
    pub(crate) networks: Arc<Networks>,
    pub(crate) used: Vec<UsedLora>,
}

/// Applies LoRAs and keeps the last networks, so that a batch or a dataset applies them once. The plain networks stay in
/// memory beside them: taking a change out again would not give back the weights it was rounded into.
pub(crate) struct Applier {
    plain: Arc<Networks>,
    store: Store,
    device: Device,
    last: Mutex<Option<Applied>>,
}

impl Applier {
    pub(crate) fn new(networks: Networks, store: Store, device: Device) -> Self {
        Self { plain: Arc::new(networks), store, device, last: Mutex::new(None) }
    }

    /// Where models are found.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The networks without any LoRA.
    pub(crate) fn plain(&self) -> &Networks {
        &self.plain
    }

    /// The networks with these LoRAs.
    ///
    /// # Errors
    /// [`GenerateError`]: no place has a LoRA of that name, it cannot be read, or it is for other networks.
    pub(crate) fn with(&self, wanted: &[LoraRef]) -> Result<Applied, GenerateError> {
        if wanted.is_empty() {
            return Ok(Applied { wanted: Vec::new(), networks: Arc::clone(&self.plain), used: Vec::new() });
        }
        // A poisoned lock only means that a thread died while applying; the entry is whole or absent.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(applied) = last.as_ref().filter(|applied| applied.wanted == wanted) {
            return Ok(applied.clone());
        }
        *last = None; // before new weights are made: there is never more than one set beside the plain one
        let applied = self.apply(wanted)?;
        *last = Some(applied.clone());
        Ok(applied)
    }

    fn apply(&self, wanted: &[LoraRef]) -> Result<Applied, GenerateError> {
        let modules = modules(&self.plain);
        let (mut loras, mut used) = (Vec::new(), Vec::new());
        for reference in wanted {
            let name = &reference.name;
            let wrong = |source| GenerateError::Lora { name: name.clone(), source: Box::new(source) };
            let path: PathBuf = self.store.lora(name)?;
            let lora = Lora::open(&path, Some(&modules)).map_err(wrong)?;
            used.push(UsedLora { name: name.clone(), sha256: hash_of_lora(&path).map_err(wrong)? });
            loras.push((reference, lora));
        }
        let acting = |strength: fn(&LoraRef) -> f32| -> Vec<Acting<'_>> {
            let rows = loras.iter();
            rows.map(|(wanted, lora)| Acting { name: &wanted.name, lora, strength: strength(wanted) })
                .collect()
        };
        let mut networks = Networks::clone(&self.plain);
        networks.unet =
            apply(networks.unet, Part::Unet, &acting(|wanted| wanted.unet_strength), &self.device)?;
        let on_text = acting(|wanted| wanted.text_strength);
        let folders = networks.spec.text.encoders.iter().map(|encoder| encoder.folder);
        for (clip, folder) in networks.clips.iter_mut().zip(folders) {
            *clip = apply(clip.clone(), part_of(folder), &on_text, &self.device)?;
        }
        Ok(Applied { wanted: wanted.to_vec(), networks: Arc::new(networks), used })
    }
}

/// What LoRAs can change in these networks.
fn modules(networks: &Networks) -> Modules {
    fn names<M: Module>(part: Part, network: &M) -> (Part, Vec<String>) {
        (part, parameter_shapes(network).into_keys().collect())
    }
    let encoders = networks.clips.iter().zip(&networks.spec.text.encoders);
    let mut parts: Vec<_> = encoders.map(|(clip, encoder)| names(part_of(encoder.folder), clip)).collect();
    parts.push(names(Part::Unet, &networks.unet));
    Modules::of_networks(parts.iter().map(|(part, names)| (*part, names.as_slice())))
}

/// The part whose text encoder is in this folder.
fn part_of(folder: &str) -> Part {
    if folder == Part::TextEncoder2.folder() { Part::TextEncoder2 } else { Part::TextEncoder }
}
