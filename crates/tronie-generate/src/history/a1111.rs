//! The `parameters` text of A1111's web UI, Forge, and all who write it.
//!
//! Reference: AUTOMATIC1111/stable-diffusion-webui, `modules/processing.py` (`create_infotext`, `extra_generation_params` of the classes and
//! scripts), `modules/infotext_utils.py`.

use std::path::PathBuf;

use tronie_image::{KEY_PARAMETERS, TextEntry};
use tronie_prompt::Emphasis;
use tronie_sampling::{find_sampler, find_schedule};
use tronie_tensor::noise::Rng;
use tronie_weights::Kind;

use super::version::profile_of;
use super::{History, entry};
use crate::{Hires, Infotext, Inpaint, MaskedContent, Refiner, Source, Upscaler, Variation};

/// What changes no pixel of the picture, or is said by another field.
const SILENT: [&str; 5] = ["Version", "User", "Model hash", "VAE hash", "Init image hash"];
/// Upscalers that it fetches itself, and the stems of their files (`modules/realesrgan_model.py`); others it calls by theirs.
const UPSCALERS: [(&str, &str); 6] = [
    ("R-ESRGAN 4x+", "RealESRGAN_x4plus"),
    ("R-ESRGAN 4x+ Anime6B", "RealESRGAN_x4plus_anime_6B"),
    ("R-ESRGAN 2x+", "RealESRGAN_x2plus"),
    ("R-ESRGAN General 4xV3", "realesr-general-x4v3"),
    ("R-ESRGAN General WDN 4xV3", "realesr-general-wdn-x4v3"),
    ("R-ESRGAN AnimeVideo", "realesr-animevideov3"),
];
/// Seeds are 64-bit numbers here; A1111 writes negative ones for "any" only before it has chosen.
const SEED: &str = "a whole number from 0 on";

pub(super) fn read(entries: &[TextEntry]) -> Option<Result<History, String>> {
    let infotext = Infotext::parse(entry(entries, KEY_PARAMETERS)?);
    if infotext.fields.is_empty() {
        return None;
    }
    Some(history(infotext))
}

fn history(infotext: Infotext) -> Result<History, String> {
    let mut fields = Fields(infotext.fields);
    let mut history = History::new("Stable Diffusion web UI");
    history.request.prompt = infotext.prompt;
    history.request.negative_prompt = infotext.negative_prompt;
    program(&mut history, &fields);
    basics(&mut history, &mut fields)?;
    numbers(&mut history, &mut fields)?;
    weights(&mut history, &mut fields);
    picture(&mut history, &mut fields)?;
    second_pass(&mut history, &mut fields)?;
    for (field, found) in fields.0 {
        let is_unit = field.starts_with("ControlNet ");
        match field.as_str() {
            _ if is_unit => {
                history.gap(
                    field,
                    found,
                    "the picture that steers is not in the text; name it with --control",
                );
            }
            field if SILENT.contains(&field) => {}
            _ => history.gap(field, found, "nothing here does it; the picture may differ"),
        }
    }
    Ok(history)
}

/// The fields that nobody has read yet.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|field| field.0 == key).map(|field| field.1.as_str())
    }

    /// The value of a field, which then counts as read.
    fn take(&mut self, key: &str) -> Option<String> {
        let value = self.get(key)?.to_owned();
        self.0.retain(|field| field.0 != key);
        Some(value)
    }

    /// The same as a number.
    fn number<T: std::str::FromStr>(&mut self, key: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{key} is {text:?}, expected {expected}")),
        }
    }
}

fn program(history: &mut History, fields: &Fields) {
    let version = fields.get("Version").unwrap_or_default().to_owned();
    match profile_of(&version) {
        Some(profile) => {
            history.program = match version.starts_with('f') {
                true => format!("Stable Diffusion web UI Forge {version}"),
                false => format!("Stable Diffusion web UI {version}"),
            };
            history.request.profile = profile.to_owned();
        }
        None => {
            let reason =
                "the program is not known by it; the numbers of web UI 1.8 and later are used (--profile)";
            history.gap("Version", version, reason);
        }
    }
}

fn basics(history: &mut History, fields: &mut Fields) -> Result<(), String> {
    history.request.n_steps = fields.number("Steps", "a whole number")?;
    history.request.guidance.scale = fields.number("CFG scale", "a number")?;
    history.request.seed = fields.number("Seed", SEED)?.ok_or("it has no seed")?;
    sampler(history, fields);
    if let Some(size) = fields.take("Size") {
        let sides = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) = sides.ok_or_else(|| format!("Size is {size:?}, expected WIDTHxHEIGHT"))?;
        (history.request.width_px, history.request.height_px) = (Some(width), Some(height));
    }
    Ok(())
}

/// Before 1.9.0 there was no field for the schedule: what was not in the sampler's name was the plain timesteps', which is not
/// what those samplers begin with today. Only Restart had a schedule of its own.
fn sampler(history: &mut History, fields: &mut Fields) {
    let schedule = fields.take("Schedule type");
    if let Some(name) = fields.take("Sampler") {
        match find_sampler(&name) {
            Ok((row, named)) => {
                let is_later =
                    ["karras", "exponential"].contains(&row.default_schedule) && row.id != "restart";
                let plain = (schedule.is_none() && is_later).then_some("automatic");
                history.request.sampler = Some(row.id.to_owned());
                history.request.schedule = named.map(|row| row.id).or(plain).map(str::to_owned);
            }
            Err(unknown) => history.gap("Sampler", name, unknown.to_string()),
        }
    }
    match schedule.as_deref().map(find_schedule) {
        // "Automatic" is the sampler's own, which is what an open field means here.
        Some(Ok(row)) if row.id != "automatic" => history.request.schedule = Some(row.id.to_owned()),
        Some(Err(unknown)) => history.gap("Schedule type", schedule.unwrap_or_default(), unknown.to_string()),
        _ => {}
    }
}

fn numbers(history: &mut History, fields: &mut Fields) -> Result<(), String> {
    let request = &mut history.request;
    request.clip_skip = fields.number("Clip skip", "a whole number")?;
    request.eta_seed_delta = fields.number("ENSD", "a whole number")?.unwrap_or_default();
    request.eta = fields.number("Eta", "a number")?.or(fields.number("Eta DDIM", "a number")?);
    request.guidance.skip_below_sigma = fields.number("NGMS", "a number")?.unwrap_or_default();
    if let Some(seed) = fields.number("Variation seed", SEED)? {
        let strength = fields.number("Variation seed strength", "0 to 1")?.unwrap_or_default();
        request.variation = Some(Variation { seed, strength });
    }
    // A missing "RNG" means the noise of NVIDIA's GPUs, which "NV" computes in software.
    request.rng = Some(Rng::Philox);
    match fields.take("RNG").as_deref() {
        None | Some("GPU" | "NV") => {}
        Some("CPU") => request.rng = Some(Rng::TorchCpu),
        Some(other) => history.gap("RNG", other, "expected GPU, CPU or NV; NVIDIA's noise is used"),
    }
    match fields.take("Emphasis").as_deref() {
        None | Some("Original") => {}
        Some("No norm") => history.request.emphasis = Some(Emphasis::NoNorm),
        Some("Ignore") => history.request.emphasis = Some(Emphasis::Ignore),
        Some("None") => history.request.emphasis = Some(Emphasis::None),
        Some(other) => history.gap("Emphasis", other, "expected Original, No norm, Ignore or None"),
    }
    // Both say what their profile does already.
    if fields.get("Downcast alphas_cumprod") == Some("True") && history.request.profile == "a1111" {
        history.request.profile = "a1111_1_7".to_owned();
    }
    for said in ["Downcast alphas_cumprod", "Old prompt editing timelines"] {
        fields.take(said);
    }
    Ok(())
}

fn weights(history: &mut History, fields: &mut Fields) {
    if let Some(model) = fields.take("Model") {
        history.names(Kind::Checkpoint, &model, fields.get("Model hash"));
        history.request.model = model;
    } else if let Some(hash) = fields.get("Model hash") {
        history.names(Kind::Checkpoint, "", Some(hash));
    }
    if let Some(vae) = fields.take("VAE").filter(|vae| vae != "None" && vae != "Automatic") {
        history.names(Kind::Vae, &vae, fields.get("VAE hash"));
        history.request.vae = Some(vae);
    }
    for (key, kind) in [("Lora hashes", Kind::Lora), ("TI hashes", Kind::Embedding)] {
        let list = fields.take(key).unwrap_or_default();
        for (name, hash) in list.split(',').filter_map(|pair| pair.rsplit_once(':')) {
            history.names(kind, name.trim(), Some(hash.trim()));
        }
    }
}

/// Image to image and inpainting. The strength of a second pass is in the same field.
fn picture(history: &mut History, fields: &mut Fields) -> Result<(), String> {
    let is_second_pass = fields.get("Hires upscale").or(fields.get("Hires resize")).is_some();
    if is_second_pass {
        return Ok(());
    }
    let Some(strength) = fields.number("Denoising strength", "0 to 1")? else { return Ok(()) };
    let mut source = Source::new(PathBuf::new());
    source.strength = strength;
    source.noise_multiplier = fields.number("Noise multiplier", "a number")?.unwrap_or(1.0);
    history.source = Some(source);
    let is_masked = ["Mask blur", "Masked content", "Inpaint area", "Mask mode"];
    if !is_masked.iter().any(|key| fields.get(key).is_some()) {
        return Ok(());
    }
    let padding = fields.number("Masked area padding", "a whole number")?;
    let inpaint = Inpaint {
        blur_px: fields.number("Mask blur", "a number")?.unwrap_or_default(),
        invert: fields.take("Mask mode").is_some_and(|mode| mode == "Inpaint not masked"),
        only_masked: fields
            .take("Inpaint area")
            .filter(|area| area == "Only masked")
            .map(|_| padding.unwrap_or(32)),
        content: match fields.take("Masked content").as_deref() {
            Some("fill") => MaskedContent::Fill,
            Some("latent noise") => MaskedContent::LatentNoise,
            Some("latent nothing") => MaskedContent::LatentNothing,
            _ => MaskedContent::Original,
        },
        ..Inpaint::default()
    };
    history.inpaint = Some(inpaint);
    Ok(())
}

fn second_pass(history: &mut History, fields: &mut Fields) -> Result<(), String> {
    if let Some(refiner) = fields.take("Refiner") {
        let at = fields.number("Refiner switch at", "0 to 1")?.unwrap_or(1.0);
        let (name, hash) = refiner.rsplit_once(" [").unwrap_or((&refiner, ""));
        let hash = hash.trim_end_matches(']');
        history.names(Kind::Checkpoint, name, Some(hash).filter(|hash| !hash.is_empty()));
        history.request.refiner = Some(Refiner { model: name.to_owned(), at });
    }
    let Some(scale) = scale(history, fields)? else { return Ok(()) };
    let mut hires = Hires::new(scale);
    hires.strength = fields.number("Denoising strength", "0 to 1")?.unwrap_or(hires.strength);
    hires.n_steps = fields.number("Hires steps", "a whole number")?.filter(|&n_steps: &u32| n_steps > 0);
    hires.sampler = fields.take("Hires sampler").filter(|name| name != "Use same sampler");
    hires.schedule = fields.take("Hires schedule type").filter(|name| name != "Use same scheduler");
    hires.prompt = fields.take("Hires prompt");
    hires.negative_prompt = fields.take("Hires negative prompt");
    hires.guidance_scale = fields.number("Hires CFG Scale", "a number")?;
    if let Some(name) = fields.take("Hires upscaler") {
        match Upscaler::ALL.into_iter().find(|upscaler| upscaler.title() == name) {
            Some(upscaler) => hires.upscaler = upscaler,
            None => {
                let stem = UPSCALERS.iter().find(|row| row.0 == name).map_or(name.as_str(), |row| row.1);
                history.names(Kind::Upscaler, stem, None);
                hires.upscaler = Upscaler::Network(stem.to_owned());
            }
        }
    }
    history.request.hires = Some(hires);
    Ok(())
}

/// How much larger the second pass is; a size of its own must be a multiple of the first's.
fn scale(history: &History, fields: &mut Fields) -> Result<Option<f64>, String> {
    if let Some(scale) = fields.number("Hires upscale", "a number")? {
        fields.take("Hires resize");
        return Ok(Some(scale));
    }
    let Some(size) = fields.take("Hires resize") else { return Ok(None) };
    let sides =
        size.split_once('x').and_then(|(w, h)| Some((w.parse::<f64>().ok()?, h.parse::<f64>().ok()?)));
    let (width, height) = sides.ok_or_else(|| format!("Hires resize is {size:?}, expected WIDTHxHEIGHT"))?;
    let first = |px: Option<u32>| f64::from(px.unwrap_or(512));
    let [across, down] = [width / first(history.request.width_px), height / first(history.request.height_px)];
    if (across - down).abs() > 1e-6 && height > 0.0 && width > 0.0 {
        return Err(format!("Hires resize is {size:?}, which is not the first size enlarged"));
    }
    Ok(Some(across.max(down)))
}
