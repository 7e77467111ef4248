use std::fs;

use tronie_image::{KEY_PARAMETERS, KEY_RECORD};
use tronie_tensor::noise::Rng;

use super::*;
use crate::{MaskedContent, Store, StoreConfig, Upscaler};

fn read(key: &str, text: &str) -> Result<History, GenerateError> {
    history_in(&[TextEntry::new(key, text)], Path::new("picture.png"))
}

fn parameters(fields: &str) -> History {
    read(KEY_PARAMETERS, &format!("a man\nNegative prompt: blurry\n{fields}")).unwrap()
}

fn fields_of(history: &History) -> Vec<&str> {
    history.gaps.iter().map(|gap| gap.field.as_str()).collect()
}

#[test]
fn a_web_interface_says_everything_that_makes_its_pictures() {
    let history = parameters(
        "Steps: 20, Sampler: DPM++ 2M SDE, Schedule type: Exponential, CFG scale: 7.5, Seed: 1549482566, Size: 512x768, Model hash: 1557bd826d, \
         Model: kami_v02, VAE hash: 0b204ad0ca, VAE: ft.ckpt, Variation seed: 3, Variation seed strength: 0.2, Clip skip: 2, ENSD: 31337, \
         RNG: CPU, NGMS: 1.5, Emphasis: No norm, Lora hashes: \"film: 8635d637a2e7, two: 0123456789ab\", TI hashes: \"easy: c74b4e810b03\", \
         Refiner: fine [aabbccddee], Refiner switch at: 0.8, Version: v1.10.1",
    );
    let request = &history.request;
    assert_eq!(history.program, "Stable Diffusion web UI v1.10.1");
    assert_eq!((request.prompt.as_str(), request.negative_prompt.as_str()), ("a man", "blurry"));
    assert_eq!(
        (request.sampler.as_deref(), request.schedule.as_deref()),
        (Some("dpmpp_2m_sde"), Some("exponential"))
    );
    assert_eq!((request.n_steps, request.guidance.scale, request.seed), (Some(20), Some(7.5), 1_549_482_566));
    assert_eq!((request.width_px, request.height_px), (Some(512), Some(768)));
    assert_eq!(request.variation, Some(crate::Variation { seed: 3, strength: 0.2 }));
    assert_eq!(
        (request.clip_skip, request.eta_seed_delta, request.rng),
        (Some(2), 31_337, Some(Rng::TorchCpu))
    );
    assert_eq!(request.emphasis, Some(tronie_prompt::Emphasis::NoNorm));
    assert_eq!(request.guidance.skip_below_sigma, 1.5);
    assert_eq!((request.profile.as_str(), request.model.as_str()), ("a1111", "kami_v02"));
    assert_eq!(request.vae.as_deref(), Some("ft.ckpt"));
    let weights: Vec<_> =
        history.weights.iter().map(|w| (w.kind, w.name.as_str(), w.hash.as_deref())).collect();
    let expected = [
        (Kind::Checkpoint, "kami_v02", Some("1557bd826d")),
        (Kind::Vae, "ft.ckpt", Some("0b204ad0ca")),
        (Kind::Lora, "film", Some("8635d637a2e7")),
        (Kind::Lora, "two", Some("0123456789ab")),
        (Kind::Embedding, "easy", Some("c74b4e810b03")),
        (Kind::Checkpoint, "fine", Some("aabbccddee")),
    ];
    assert_eq!(weights, expected);
    assert_eq!(history.gaps, []);
    assert!(history.source.is_none() && history.inpaint.is_none());
    request.check().unwrap();
}

#[test]
fn the_version_chooses_the_numbers_and_what_a_sampler_begins_with() {
    let of = |fields: &str| {
        let history = parameters(&format!("Steps: 20, Seed: 1, {fields}"));
        (history.request.profile.clone(), history.request.schedule.clone(), fields_of(&history).join(" "))
    };
    let text = |profile: &str, schedule: Option<&str>, gaps: &str| {
        (profile.to_owned(), schedule.map(str::to_owned), gaps.to_owned())
    };
    assert_eq!(of("Sampler: DPM++ 2M Karras, Version: v1.7.0"), text("a1111_1_7", Some("karras"), ""));
    assert_eq!(of("Sampler: DPM++ 2M, Version: v1.5.1"), text("a1111_1_5", Some("automatic"), ""));
    assert_eq!(of("Sampler: Euler a, Version: v1.8.0"), text("a1111", None, ""));
    let later = "Sampler: DPM++ 2M, Schedule type: Automatic, Version: v1.9.4";
    assert_eq!(of(later), text("a1111", None, ""), "the sampler's own");
    assert_eq!(of("Sampler: Euler a, Version: mine"), text("a1111", None, "Version"));
    let asked = "Sampler: Euler a, Downcast alphas_cumprod: True, Version: v1.8.0";
    assert_eq!(of(asked), text("a1111_1_7", None, ""));
}

#[test]
fn what_nothing_here_does_is_named() {
    let history = parameters(
        "Steps: 20, Sampler: Unheard Of, Seed: 1, Token merging ratio: 0.2, RNG: MPS, Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, \
         ControlNet 0: \"Module: canny, Model: x\", Version: v1.10.1",
    );
    let fields = ["Sampler", "RNG", "Token merging ratio", "ControlNet 0"];
    assert_eq!(fields_of(&history), fields);
    assert!(history.gaps.iter().all(|gap| !gap.reason.is_empty() && !gap.found.is_empty()));
}

#[test]
fn pictures_that_were_started_from_say_how() {
    let history = parameters(
        "Steps: 30, Sampler: Euler, CFG scale: 2, Seed: 5, Size: 512x720, Denoising strength: 0.6, Noise multiplier: 1.05, Version: v1.7.0",
    );
    let source = history.source.unwrap();
    assert_eq!((source.strength, source.noise_multiplier), (0.6, 1.05));
    assert!(history.inpaint.is_none() && history.gaps.is_empty());
    let history = parameters(
        "Steps: 30, Sampler: Euler, Seed: 5, Denoising strength: 0.6, Inpaint area: Only masked, Masked area padding: 48, \
         Masked content: latent noise, Mask mode: Inpaint not masked, Mask blur: 8, Version: v1.10.1",
    );
    let inpaint = history.inpaint.unwrap();
    assert_eq!((inpaint.only_masked, inpaint.content), (Some(48), MaskedContent::LatentNoise));
    assert_eq!((inpaint.blur_px, inpaint.invert), (8.0, true));
    assert_eq!(history.gaps, []);
}

#[test]
fn second_passes_are_read() {
    let history = parameters(
        "Steps: 20, Sampler: Euler, Seed: 5, Size: 512x512, Denoising strength: 0.7, Hires upscale: 1.5, Hires steps: 12, \
         Hires upscaler: Latent (nearest-exact), Hires sampler: DPM++ 2M, Hires CFG Scale: 5, Hires prompt: an old man, Version: v1.10.1",
    );
    let hires = history.request.hires.unwrap();
    assert_eq!((hires.scale, hires.strength, hires.n_steps), (1.5, 0.7, Some(12)));
    assert_eq!((hires.upscaler, hires.guidance_scale), (Upscaler::LatentNearestExact, Some(5.0)));
    assert_eq!((hires.sampler.as_deref(), hires.prompt.as_deref()), (Some("DPM++ 2M"), Some("an old man")));
    assert!(history.source.is_none(), "the strength belongs to the second pass");
    assert_eq!(history.gaps, []);
    let network =
        parameters("Steps: 20, Seed: 5, Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, Version: v1.10.1");
    assert_eq!(network.request.hires.unwrap().upscaler, Upscaler::Network("RealESRGAN_x4plus".to_owned()));
    assert_eq!(
        (network.weights[0].kind, network.weights[0].name.as_str()),
        (Kind::Upscaler, "RealESRGAN_x4plus")
    );
    let resized = parameters("Steps: 20, Seed: 5, Size: 512x768, Hires resize: 1024x1536, Version: v1.10.1");
    assert_eq!(resized.request.hires.unwrap().scale, 2.0);
}

#[test]
fn settings_that_make_no_sense_say_which() {
    let cases = [
        ("x\nSteps: many, Sampler: Euler, Seed: 1", "Steps is \"many\", expected a whole number"),
        ("x\nSteps: 20, Sampler: Euler, CFG scale: 7", "it has no seed"),
        ("x\nSteps: 20, Seed: 1, Size: 512", "Size is \"512\", expected WIDTHxHEIGHT"),
        ("x\nSteps: 20, Seed: 1, Size: 512x512, Hires resize: 1024x512", "not the first size enlarged"),
    ];
    for (text, expected) in cases {
        let error = read(KEY_PARAMETERS, text).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("picture.png"), "{error}");
    }
    for text in ["", "just words", "a, b"] {
        assert!(matches!(read(KEY_PARAMETERS, text), Err(GenerateError::NoRecord { .. })), "{text}");
    }
    assert!(read(KEY_RECORD, "{").unwrap_err().to_string().contains("newer tronie"));
}

/// `ComfyUI`'s own example of text to image, with a LoRA, clip skip and a second pass.
fn graph() -> serde_json::Value {
    serde_json::json!({
        "3": { "class_type": "KSampler", "inputs": {
            "seed": 156_680_208_700_286_u64, "steps": 20, "cfg": 8, "sampler_name": "dpmpp_2m_sde_gpu", "scheduler": "karras", "denoise": 1,
            "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0] } },
        "4": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": "v1-5.safetensors" } },
        "5": { "class_type": "EmptyLatentImage", "inputs": { "width": 512, "height": 768, "batch_size": 1 } },
        "6": { "class_type": "CLIPTextEncode", "inputs": { "text": ["12", 0], "clip": ["11", 0] } },
        "7": { "class_type": "CLIPTextEncode", "inputs": { "text": "watermark", "clip": ["11", 0] } },
        "8": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["13", 0] } },
        "13": { "class_type": "VAELoader", "inputs": { "vae_name": "ft-mse.safetensors" } },
        "9": { "class_type": "SaveImage", "inputs": { "filename_prefix": "x", "images": ["8", 0] } },
        "10": { "class_type": "LoraLoader", "inputs": {
            "lora_name": "film.safetensors", "strength_model": 0.8, "strength_clip": 0.5, "model": ["4", 0], "clip": ["4", 1] } },
        "11": { "class_type": "CLIPSetLastLayer", "inputs": { "stop_at_clip_layer": -2, "clip": ["10", 1] } },
        "12": { "class_type": "PrimitiveString", "inputs": { "value": "a bottle" } },
    })
}

#[test]
fn a_graph_is_followed_from_its_picture_to_its_checkpoint() {
    let history = read("prompt", &graph().to_string()).unwrap();
    let request = &history.request;
    assert_eq!((history.program.as_str(), request.profile.as_str()), ("ComfyUI", "comfy"));
    assert_eq!(
        (request.prompt.as_str(), request.negative_prompt.as_str()),
        ("a bottle<lora:film:0.5:0.8>", "watermark")
    );
    assert_eq!(
        (request.seed, request.n_steps, request.guidance.scale),
        (156_680_208_700_286, Some(20), Some(8.0))
    );
    assert_eq!(
        (request.sampler.as_deref(), request.schedule.as_deref()),
        (Some("dpmpp_2m_sde"), Some("karras"))
    );
    assert_eq!((request.width_px, request.height_px, request.clip_skip), (Some(512), Some(768), Some(2)));
    assert_eq!(
        (request.model.as_str(), request.vae.as_deref()),
        ("v1-5.safetensors", Some("ft-mse.safetensors"))
    );
    assert_eq!(history.weights.len(), 3);
    assert_eq!(history.gaps, []);
    request.check().unwrap();
}

#[test]
fn a_graph_with_a_second_walk_is_a_second_pass() {
    let mut graph = graph();
    graph["20"] = serde_json::json!({ "class_type": "LatentUpscaleBy", "inputs": {
        "samples": ["3", 0], "upscale_method": "nearest-exact", "scale_by": 1.5 } });
    graph["21"] = serde_json::json!({ "class_type": "KSampler", "inputs": {
        "seed": 7, "steps": 14, "cfg": 6, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.5,
        "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["20", 0] } });
    graph["8"]["inputs"]["samples"] = serde_json::json!(["21", 0]);
    let history = read("prompt", &graph.to_string()).unwrap();
    let hires = history.request.hires.as_ref().unwrap();
    assert_eq!((hires.scale, hires.strength, hires.n_steps), (1.5, 0.5, Some(14)));
    assert_eq!((&hires.upscaler, hires.sampler.as_deref()), (&Upscaler::LatentNearestExact, Some("euler")));
    assert_eq!(
        (hires.prompt.as_deref(), hires.negative_prompt.as_deref()),
        (Some("a bottle"), Some("watermark"))
    );
    assert_eq!(history.request.n_steps, Some(20), "the first walk's");
    assert_eq!(fields_of(&history), ["seed"], "the second walk has another");
}

#[test]
fn unknown_nodes_on_the_way_are_named_and_loops_end() {
    let mut changed = graph();
    changed["10"]["class_type"] = serde_json::json!("FreeU_V2");
    let history = read("prompt", &changed.to_string()).unwrap();
    assert_eq!((history.gaps[0].field.as_str(), history.gaps[0].found.as_str()), ("node 10", "FreeU_V2"));
    let mut circle = graph();
    circle["10"]["inputs"]["model"] = serde_json::json!(["10", 0]);
    assert!(read("prompt", &circle.to_string()).is_ok(), "what is read until then");
    let mut lost = graph();
    lost["6"]["inputs"]["text"] = serde_json::json!(["99", 0]);
    assert!(read("prompt", &lost.to_string()).unwrap_err().to_string().contains("node 6"));
    for not_a_graph in ["{}", "[1]", "{\"a\": 1}"] {
        assert!(matches!(read("prompt", not_a_graph), Err(GenerateError::NoRecord { .. })), "{not_a_graph}");
    }
}

#[test]
fn invokeai_says_its_settings_in_json() {
    let metadata = serde_json::json!({
        "app_version": "5.4.2", "generation_mode": "txt2img", "positive_prompt": "a lighthouse", "negative_prompt": "fog", "width": 512,
        "height": 640, "seed": 2_147_483_648_u64, "rand_device": "cpu", "cfg_scale": 7.5, "cfg_rescale_multiplier": 0.2, "steps": 30,
        "scheduler": "euler_a", "clip_skip": 1,
        "model": { "key": "k", "hash": "blake3:0", "name": "stable-diffusion-v1-5", "base": "sd-1", "type": "main" },
        "loras": [{ "model": { "name": "film", "base": "sd-1" }, "weight": 0.75 }],
        "vae": { "name": "ft-mse" },
    });
    let history = read("invokeai_metadata", &metadata.to_string()).unwrap();
    let request = &history.request;
    assert_eq!((history.program.as_str(), request.profile.as_str()), ("InvokeAI 5.4.2", "diffusers"));
    assert_eq!(
        (request.prompt.as_str(), request.negative_prompt.as_str()),
        ("a lighthouse<lora:film:0.75>", "fog")
    );
    assert_eq!((request.sampler.as_deref(), request.schedule.as_deref()), (Some("euler_ancestral"), None));
    assert_eq!((request.seed, request.n_steps, request.clip_skip), (2_147_483_648, Some(30), Some(2)));
    assert_eq!((request.guidance.scale, request.guidance.rescale), (Some(7.5), 0.2));
    assert_eq!(history.weights.len(), 3);
    assert_eq!(history.gaps, []);
    let mut flux = metadata.clone();
    flux["model"]["base"] = serde_json::json!("flux");
    assert!(read("invokeai_metadata", &flux.to_string()).unwrap_err().to_string().contains("family flux"));
    let mut karras = metadata;
    karras["scheduler"] = serde_json::json!("dpmpp_2m_k");
    let history = read("invokeai_metadata", &karras.to_string()).unwrap();
    assert_eq!(history.request.schedule.as_deref(), Some("karras"));
}

#[test]
fn weights_are_found_by_name_and_by_hash_and_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let loras = folder.path().join("models/Lora");
    fs::create_dir_all(&loras).unwrap();
    let lora = b"not a safetensors file: all of it is hashed";
    fs::write(loras.join("renamed.safetensors"), lora).unwrap();
    fs::write(loras.join("other.safetensors"), b"something else").unwrap();
    let hash = tronie_base::sha256_hex(lora);
    let store = Store::new(StoreConfig { models_dirs: vec![folder.path().to_owned()], hub: None });
    let mut history = History::new("");
    history.request.prompt = "x <lora:film:0.8> <lora:film2:1> <lora:other:1>".to_owned();
    history.names(Kind::Lora, "film", Some(&hash[..12]));
    history.names(Kind::Lora, "other", Some("aaaaaaaaaaaa"));
    history.names(Kind::Lora, "nowhere", Some("bbbbbbbbbbbb"));
    history.names(Kind::Checkpoint, "nowhere", Some("cccccccccc"));
    let searches = find_weights(&mut history, &store, &mut tronie_base::Silent).unwrap();
    let outcomes: Vec<String> = searches.iter().map(Search::outcome).collect();
    assert_eq!(outcomes[0], "found as renamed");
    assert!(outcomes[1].starts_with("other has another hash, "), "{}", outcomes[1]);
    assert_eq!(outcomes[2..], ["missing", "missing"]);
    assert_eq!(history.request.prompt, "x <lora:renamed:0.8> <lora:film2:1> <lora:other:1>");
}
