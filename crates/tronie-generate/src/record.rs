//! An image's history inside the image: A1111's `parameters` text for everybody, and our own request for ourselves.
//!
//! Both are written, because A1111's text cannot say everything (guidance intervals, profiles, the place in a batch)
//! and every other tool reads only that.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tronie_image::{Fit, ImageFormat, TextEntry};
use tronie_sampling::{find_sampler, find_schedule};
use tronie_tensor::noise::Rng;

use crate::{
    ControlMode, ControlUnit, GenerateError, GenerateRequest, GeneratedImage, ImagePrompt, Infotext, Inpaint,
    MaskedContent, UsedLora,
};

/// Key of our own text entry.
pub const KEYWORD: &str = "tronie";

/// What our own entry holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the program that made the image.
    pub tronie: String,
    /// SHA-256 of the checkpoint, hexadecimal.
    pub model_sha256: String,
    /// The LoRAs of its prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<UsedLora>,
    /// SHA-256 of the refiner, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refiner_sha256: Option<String>,
    /// SHA-256 of the file of an autoencoder in place of the checkpoint's own, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae_sha256: Option<String>,
    /// The request with nothing left open; it makes this one image.
    pub request: GenerateRequest,
}

/// The text entries of an image.
///
/// # Errors
/// [`GenerateError::Unknown`] when the request names a sampler that does not exist.
pub fn entries(image: &GeneratedImage) -> Result<Vec<TextEntry>, GenerateError> {
    let record = Record {
        tronie: env!("CARGO_PKG_VERSION").to_owned(),
        model_sha256: image.model_sha256.clone(),
        loras: image.loras.clone(),
        refiner_sha256: image.refiner_sha256.clone(),
        vae_sha256: image.vae_sha256.clone(),
        request: image.request.clone(),
    };
    let json = serde_json::to_string(&record)
        .map_err(|source| GenerateError::BadRecord { file: "the new image".to_owned(), source })?;
    Ok(vec![TextEntry::new("parameters", infotext(image)?.to_string()), TextEntry::new(KEYWORD, json)])
}

/// The image as a file, with its history and, when `mark` is set, the IPTC note that an algorithm made it.
///
/// # Errors
/// Those of [`entries`] and of the encoder.
pub fn encode(image: &GeneratedImage, format: ImageFormat, mark: bool) -> Result<Vec<u8>, GenerateError> {
    let mut entries = entries(image)?;
    if mark {
        entries.push(tronie_image::synthetic_packet(concat!("tronie ", env!("CARGO_PKG_VERSION"))));
    }
    Ok(tronie_image::encode(&image.pixels, format, &entries)?)
}

/// The request an image file carries.
///
/// # Errors
/// [`GenerateError::Image`] when the file cannot be read, and those of [`request_in`].
pub fn request_in_file(path: &Path) -> Result<GenerateRequest, GenerateError> {
    request_in(&tronie_image::read_text_from(path)?, path)
}

/// The request among an image's text entries; `path` is only for messages.
///
/// # Errors
/// [`GenerateError::NoRecord`] when there is none, [`GenerateError::BadRecord`] when it cannot be understood.
pub fn request_in(entries: &[TextEntry], path: &Path) -> Result<GenerateRequest, GenerateError> {
    let file = path.display().to_string();
    let Some(entry) = entries.iter().find(|entry| entry.key == KEYWORD) else {
        return Err(GenerateError::NoRecord { file });
    };
    let record: Record =
        serde_json::from_str(&entry.value).map_err(|source| GenerateError::BadRecord { file, source })?;
    Ok(record.request)
}

/// A1111's text for an image. A missing `RNG` means its GPU noise there, so only the other source is named.
fn infotext(image: &GeneratedImage) -> Result<Infotext, GenerateError> {
    let request = &image.request;
    let sampler = find_sampler(request.sampler.as_deref().unwrap_or_default())?.0;
    let schedule = find_schedule(request.schedule.as_deref().unwrap_or_default())?;
    let mut fields: Vec<(&str, String)> = vec![
        ("Steps", request.n_steps.unwrap_or_default().to_string()),
        ("Sampler", sampler.title.to_owned()),
        ("Schedule type", schedule.title.to_owned()),
        ("CFG scale", request.guidance.scale.unwrap_or_default().to_string()),
        ("Seed", request.seed.to_string()),
        ("Size", format!("{}x{}", image.pixels.width_px(), image.pixels.height_px())),
        ("Model hash", image.model_sha256.chars().take(10).collect()),
        ("Model", model_stem(&request.model).to_owned()),
    ];
    if let Some((vae, sha256)) = request.vae.as_ref().zip(image.vae_sha256.as_ref()) {
        fields.push(("VAE hash", sha256.chars().take(10).collect()));
        fields.push(("VAE", model_stem(vae).to_owned()));
    }
    fields.extend(stage_fields(image)?);
    if let Some(inpaint) = &request.inpaint {
        fields.extend(inpaint_fields(inpaint));
    }
    if let Some(variation) = request.variation {
        fields.push(("Variation seed", variation.seed.to_string()));
        fields.push(("Variation seed strength", variation.strength.to_string()));
    }
    if let Some(clip_skip) = request.clip_skip.filter(|&n| n > 1) {
        fields.push(("Clip skip", clip_skip.to_string()));
    }
    if request.eta_seed_delta != 0 {
        fields.push(("ENSD", request.eta_seed_delta.to_string()));
    }
    if request.rng == Some(Rng::TorchCpu) {
        fields.push(("RNG", "CPU".to_owned()));
    }
    if !image.loras.is_empty() {
        fields.push(("Lora hashes", lora_hashes(&image.loras)));
    }
    if !image.embedding_hashes.is_empty() {
        fields.push(("TI hashes", embedding_hashes(&image.embedding_hashes)));
    }
    let mut fields: Vec<(String, String)> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (index, unit) in request.control.iter().enumerate() {
        fields.push((format!("ControlNet {index}"), control(unit)));
    }
    for (index, ImagePrompt { model, weight, start, end, .. }) in request.image_prompts.iter().enumerate() {
        let model = model_stem(model);
        let value = format!("Model: {model}, Weight: {weight}, Guidance Start: {start}, Guidance End: {end}");
        fields.push((format!("IP-Adapter {index}"), value));
    }
    let mut prompt = request.prompt.clone();
    if let Some(edit) = &request.edit {
        fields.push(("Edit of".to_owned(), prompt));
        prompt = edit.to.clone();
    }
    fields.push(("Version".to_owned(), format!("tronie {}", env!("CARGO_PKG_VERSION"))));
    Ok(Infotext { prompt, negative_prompt: request.negative_prompt.clone(), fields })
}

/// A unit in the words of A1111's ControlNet extension.
fn control(unit: &ControlUnit) -> String {
    let mode = match unit.mode {
        ControlMode::Balanced => "Balanced",
        ControlMode::Prompt => "My prompt is more important",
        ControlMode::Control => "ControlNet is more important",
    };
    let resize = match unit.fit {
        None | Some(Fit::Stretch) => "Just Resize",
        Some(Fit::Crop) => "Crop and Resize",
        Some(Fit::Fill) => "Resize and Fill",
    };
    format!(
        "Module: {}, Model: {}, Weight: {}, Resize Mode: {resize}, Guidance Start: {}, Guidance End: {}, Control Mode: {mode}",
        unit.preprocessor.id(),
        model_stem(&unit.model),
        unit.weight,
        unit.start,
        unit.end,
    )
}

/// What A1111 says of pictures to start from, second passes and refiners. Its field for strength is one for both.
fn stage_fields(image: &GeneratedImage) -> Result<Vec<(&'static str, String)>, GenerateError> {
    let GenerateRequest { source, hires, refiner, upscale, .. } = &image.request;
    let mut fields = Vec::new();
    let strength = source.as_ref().map(|source| source.strength);
    let strength = strength.or(hires.as_ref().map(|hires| hires.strength));
    fields.extend(strength.map(|strength| ("Denoising strength", strength.to_string())));
    if let Some(hires) = hires {
        let sampler = find_sampler(hires.sampler.as_deref().unwrap_or_default())?.0;
        let schedule = find_schedule(hires.schedule.as_deref().unwrap_or_default())?;
        fields.push(("Hires upscale", hires.scale.to_string()));
        fields.push(("Hires steps", hires.n_steps.unwrap_or_default().to_string()));
        fields.push(("Hires upscaler", hires.upscaler.title().to_owned()));
        fields.push(("Hires sampler", sampler.title.to_owned()));
        fields.push(("Hires schedule type", schedule.title.to_owned()));
        fields.push(("Hires CFG Scale", hires.guidance_scale.unwrap_or_default().to_string()));
        fields.extend(hires.prompt.clone().map(|prompt| ("Hires prompt", prompt)));
        fields.extend(hires.negative_prompt.clone().map(|prompt| ("Hires negative prompt", prompt)));
    }
    if let Some((refiner, sha256)) = refiner.as_ref().zip(image.refiner_sha256.as_deref()) {
        let hash = sha256.get(..10).unwrap_or(sha256);
        fields.push(("Refiner", format!("{} [{hash}]", model_stem(&refiner.model))));
        fields.push(("Refiner switch at", refiner.at.to_string()));
    }
    if let Some(upscale) = upscale {
        fields.push(("SD upscale factor", upscale.scale.to_string()));
        fields.push(("SD upscale overlap", upscale.overlap_px.unwrap_or_default().to_string()));
    }
    Ok(fields)
}

/// What A1111 says of a painted part: nothing of what is as usual there.
fn inpaint_fields(inpaint: &Inpaint) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if let Some(padding) = inpaint.only_masked {
        fields.push(("Inpaint area", "Only masked".to_owned()));
        fields.push(("Masked area padding", padding.to_string()));
    }
    let content = match inpaint.content {
        MaskedContent::Original => None,
        MaskedContent::Fill => Some("fill"),
        MaskedContent::LatentNoise => Some("latent noise"),
        MaskedContent::LatentNothing => Some("latent nothing"),
    };
    fields.extend(content.map(|content| ("Masked content", content.to_owned())));
    if inpaint.invert {
        fields.push(("Mask mode", "Inpaint not masked".to_owned()));
    }
    if inpaint.blur_px > 0.0 {
        fields.push(("Mask blur", inpaint.blur_px.to_string()));
    }
    fields
}

/// `name: hash, name: hash`. What separates them is left out of the names, as A1111 does (`modules/sd_hijack_clip.py`).
fn embedding_hashes(rows: &[(String, String)]) -> String {
    hashes(rows.iter().map(|(name, hash)| (name.as_str(), hash.as_str())))
}

/// A1111's list of LoRAs: the first twelve digits of each hash.
fn lora_hashes(loras: &[UsedLora]) -> String {
    hashes(loras.iter().map(|lora| (model_stem(&lora.name), lora.sha256.get(..12).unwrap_or(&lora.sha256))))
}

fn hashes<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let rows = rows.map(|(name, hash)| format!("{}: {hash}", name.replace([':', ','], "")));
    rows.collect::<Vec<_>>().join(", ")
}

/// A checkpoint's name as A1111 shows it: the file without folder and extension.
fn model_stem(model: &str) -> &str {
    let name = model.rsplit(['/', '\\']).next().unwrap_or(model);
    ["safetensors", "ckpt", "pt"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension)?.strip_suffix('.'))
        .unwrap_or(name)
}
