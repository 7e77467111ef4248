//! The settings that `InvokeAI` writes into its pictures, as JSON.
//!
//! Reference: invoke-ai/InvokeAI, `invokeai/app/invocations/metadata.py` (`CoreMetadataInvocation`: the fields) and
//! `invokeai/app/invocations/latent_noise.py` (one tensor from PyTorch's generator on the CPU). Its samplers are diffusers' schedulers, named in
//! `backend/stable_diffusion/schedulers/schedulers.py`, with `_k` for Karras' levels.

use std::path::PathBuf;

use serde::Deserialize;
use tronie_image::TextEntry;
use tronie_sampling::find_sampler;
use tronie_weights::Kind;

use super::{History, entry};
use crate::Source;

const KEY: &str = "invokeai_metadata";

/// Its names that are not ours.
const SAMPLERS: [(&str, &str); 8] = [
    ("euler_a", "euler_ancestral"),
    ("kdpm_2", "dpm_2"),
    ("kdpm_2_a", "dpm_2_ancestral"),
    ("unipc", "uni_pc_bh2"),
    ("dpmpp_3m", "dpmpp_3m"),
    ("dpmpp_2s", "dpmpp_2s"),
    ("deis", "deis"),
    ("lms", "lms"),
];

/// What is read. Other fields are of other families and of the user's board.
#[derive(Debug, Deserialize)]
struct Metadata {
    app_version: Option<String>,
    generation_mode: Option<String>,
    positive_prompt: Option<String>,
    negative_prompt: Option<String>,
    seed: Option<u64>,
    rand_device: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    steps: Option<u32>,
    cfg_scale: Option<f64>,
    cfg_rescale_multiplier: Option<f64>,
    scheduler: Option<String>,
    clip_skip: Option<u32>,
    strength: Option<f64>,
    model: Option<ModelId>,
    vae: Option<ModelId>,
    #[serde(default)]
    loras: Vec<Lora>,
    #[serde(default)]
    controlnets: Vec<serde_json::Value>,
    #[serde(default, rename = "ipAdapters")]
    ip_adapters: Vec<serde_json::Value>,
    #[serde(default, rename = "t2iAdapters")]
    t2i_adapters: Vec<serde_json::Value>,
    seamless_x: Option<bool>,
    seamless_y: Option<bool>,
    refiner_model: Option<ModelId>,
}

/// A model as releases from 3.0 (`model_name`) and 4.0 on (`name`) write it.
#[derive(Debug, Deserialize)]
struct ModelId {
    #[serde(alias = "model_name")]
    name: String,
    base: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Lora {
    #[serde(alias = "lora")]
    model: ModelId,
    weight: f64,
}

pub(super) fn read(entries: &[TextEntry]) -> Option<Result<History, String>> {
    let metadata: Result<Metadata, _> = serde_json::from_str(entry(entries, KEY)?);
    Some(metadata.map_err(|error| error.to_string()).and_then(history))
}

fn history(metadata: Metadata) -> Result<History, String> {
    let version = metadata.app_version.as_deref().unwrap_or_default();
    let mut history = History::new(format!("InvokeAI {version}").trim().to_owned());
    let request = &mut history.request;
    request.profile = "diffusers".to_owned();
    request.seed = metadata.seed.ok_or("it has no seed")?;
    (request.width_px, request.height_px) = (metadata.width, metadata.height);
    request.n_steps = metadata.steps;
    request.guidance.scale = metadata.cfg_scale;
    request.guidance.rescale = metadata.cfg_rescale_multiplier.unwrap_or_default();
    // It counts the layers that are left out, A1111 and we count the one that is taken.
    request.clip_skip = metadata.clip_skip.filter(|&n| n > 0).map(|n| n + 1);
    request.prompt = metadata.positive_prompt.clone().unwrap_or_default();
    request.negative_prompt = metadata.negative_prompt.clone().unwrap_or_default();
    sampler(&mut history, &metadata);
    models(&mut history, &metadata)?;
    if let Some(strength) = metadata.strength {
        let mut source = Source::new(PathBuf::new());
        source.strength = strength;
        history.source = Some(source);
    }
    gaps(&mut history, &metadata);
    Ok(history)
}

fn sampler(history: &mut History, metadata: &Metadata) {
    let Some(name) = &metadata.scheduler else { return };
    let (plain, is_karras) = name.strip_suffix("_k").map_or((name.as_str(), false), |plain| (plain, true));
    let ours = SAMPLERS.iter().find(|row| row.0 == plain).map_or(plain, |row| row.1);
    match find_sampler(ours) {
        Ok((row, _)) => {
            history.request.sampler = Some(row.id.to_owned());
            history.request.schedule = is_karras.then(|| "karras".to_owned());
        }
        Err(unknown) => history.gap("scheduler", name, unknown.to_string()),
    }
}

fn models(history: &mut History, metadata: &Metadata) -> Result<(), String> {
    let model = metadata.model.as_ref().ok_or("it names no model")?;
    if let Some(base) = model.base.as_deref().filter(|base| !["sd-1", "sd-2", "sdxl", "any"].contains(base)) {
        return Err(format!(
            "its model {:?} is of the family {base}, expected sd-1, sd-2 or sdxl",
            model.name
        ));
    }
    history.names(Kind::Checkpoint, &model.name, None);
    history.request.model.clone_from(&model.name);
    for Lora { model, weight } in &metadata.loras {
        history.names(Kind::Lora, &model.name, None);
        history.request.prompt.push_str(&format!("<lora:{}:{weight}>", model.name));
    }
    if let Some(vae) = &metadata.vae {
        history.names(Kind::Vae, &vae.name, None);
        history.request.vae = Some(vae.name.clone());
    }
    Ok(())
}

/// What is not taken over.
fn gaps(history: &mut History, metadata: &Metadata) {
    for (field, units) in [
        ("controlnets", &metadata.controlnets),
        ("ipAdapters", &metadata.ip_adapters),
        ("t2iAdapters", &metadata.t2i_adapters),
    ] {
        if !units.is_empty() {
            history.gap(field, units.len().to_string(), "the pictures that steer are not in the file");
        }
    }
    if [metadata.seamless_x, metadata.seamless_y].contains(&Some(true)) {
        history.gap("seamless", "true", "pictures that tile are not made here");
    }
    if let Some(refiner) = &metadata.refiner_model {
        history.gap("refiner_model", &refiner.name, "its refiner is left out");
    }
    if let Some(device) = metadata.rand_device.as_deref().filter(|device| *device != "cpu") {
        history.gap("rand_device", device, "noise of other devices than the CPU cannot be drawn here");
    }
    let prompts = [&history.request.prompt, &history.request.negative_prompt];
    let is_weighted = prompts.iter().any(|text| text.contains([')', '+']) || text.contains("--"));
    if is_weighted {
        let reason = "weights as InvokeAI writes them, (word)1.2 or word++, are taken for text";
        history.gap("positive_prompt", "weights", reason);
    }
    if let Some(mode) = metadata
        .generation_mode
        .as_deref()
        .filter(|mode| mode.contains("inpaint") || mode.contains("outpaint"))
    {
        history.gap("generation_mode", mode, "its mask is not in the file");
    }
}
