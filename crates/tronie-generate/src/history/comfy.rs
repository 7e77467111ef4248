//! The graph that `ComfyUI` writes into its pictures: node ids, their classes and inputs, an input being a value or `[node, output]`.
//!
//! Reference: comfyanonymous/ComfyUI, `nodes.py` (names of nodes and inputs), `execution.py` (the `prompt` that is saved). What is followed
//! is the way from a saved picture back to its sampler, and from there to prompts, model and size: the graphs of ComfyUI's own text to image,
//! image to image, inpainting, LoRA and two-pass examples. Nodes on that way that are not known are gaps, named one by one.

use std::path::PathBuf;

use serde_json::{Map, Value};
use tronie_image::TextEntry;
use tronie_sampling::{find_sampler, find_schedule};
use tronie_weights::Kind;

use super::{History, entry};
use crate::{Hires, Inpaint, MaskedContent, Source, Upscaler};

/// Key of the graph as it was run; the one as it was drawn is `workflow`.
const KEY_GRAPH: &str = "prompt";
const SAMPLERS: [&str; 2] = ["KSampler", "KSamplerAdvanced"];
/// Inputs for latents and pixels.
const PICTURE: [&str; 3] = ["samples", "image", "pixels"];
/// Longest way through a graph: a loop ends there.
const MAX_WAY: usize = 64;
/// Names of the one text of nodes that hold nothing else.
const TEXT_INPUTS: [&str; 5] = ["text", "string", "value", "prompt", "text_g"];

pub(super) fn read(entries: &[TextEntry]) -> Option<Result<History, String>> {
    let graph: Map<String, Value> = serde_json::from_str(entry(entries, KEY_GRAPH)?).ok()?;
    let is_graph = graph.values().all(|node| node.get("class_type").is_some());
    (is_graph && !graph.is_empty()).then(|| history(&Graph(graph)))
}

struct Graph(Map<String, Value>);

/// One node of a graph.
#[derive(Clone, Copy)]
struct Node<'a> {
    graph: &'a Graph,
    id: &'a str,
    class: &'a str,
}

impl Graph {
    fn node<'a>(&'a self, id: &'a str) -> Option<Node<'a>> {
        let class = self.0.get(id)?.get("class_type")?.as_str()?;
        Some(Node { graph: self, id, class })
    }

    fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.0.keys().filter_map(|id| self.node(id))
    }

    /// The node that saves the picture, else one that shows it.
    fn saved(&self) -> Option<Node<'_>> {
        let saved = self.nodes().find(|node| node.class.starts_with("SaveImage"));
        saved.or_else(|| self.nodes().find(|node| node.class == "PreviewImage"))
    }

    /// The sampler whose latents nobody samples again, nearest to a saved picture.
    fn last_sampler(&self) -> Option<Node<'_>> {
        let way = ["images", "image", "samples", "pixels"];
        let found = self.saved().and_then(|node| node.back_to(&way, &SAMPLERS));
        found.or_else(|| self.nodes().find(|node| SAMPLERS.contains(&node.class)))
    }

    /// The file of the autoencoder that decodes a saved picture, where that is not the checkpoint's own.
    fn vae(&self) -> Option<&str> {
        let decoder = self.saved()?.back_to(&["images", "image"], &["VAEDecode", "VAEDecodeTiled"])?;
        decoder.linked("vae").filter(|node| node.class == "VAELoader")?.text("vae_name")
    }
}

impl<'a> Node<'a> {
    fn input(&self, name: &str) -> Option<&'a Value> {
        self.graph.0.get(self.id)?.get("inputs")?.get(name)
    }

    /// The node that an input comes from.
    fn linked(&self, name: &str) -> Option<Node<'a>> {
        let id = self.input(name)?.as_array()?.first()?.as_str()?;
        self.graph.node(id)
    }

    /// The nearest node of one of these classes, back along any of these inputs.
    fn back_to(self, inputs: &[&str], classes: &[&str]) -> Option<Node<'a>> {
        let mut node = self;
        for _ in 0..MAX_WAY {
            if classes.contains(&node.class) {
                return Some(node);
            }
            node = inputs.iter().find_map(|input| node.linked(input))?;
        }
        None
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.input(name)?;
        value.as_str().or_else(|| {
            let node = self.linked(name)?;
            TEXT_INPUTS.iter().find_map(|input| node.input(input)?.as_str())
        })
    }

    fn number(&self, name: &str) -> Option<f64> {
        let value = self.input(name)?;
        value.as_f64().or_else(|| {
            let node = self.linked(name)?;
            ["value", "seed", "int", "float", "Number"].iter().find_map(|input| node.input(input)?.as_f64())
        })
    }

    fn whole(&self, name: &str) -> Option<u64> {
        let value = self.input(name)?;
        value.as_u64().or_else(|| {
            let node = self.linked(name)?;
            ["value", "seed", "int"].iter().find_map(|input| node.input(input)?.as_u64())
        })
    }

    fn gap(&self, history: &mut History, reason: &str) {
        history.gap(format!("node {}", self.id), self.class, reason);
    }
}

fn history(graph: &Graph) -> Result<History, String> {
    let last = graph.last_sampler().ok_or("its graph has no KSampler that the picture comes from")?;
    let mut history = History::new("ComfyUI");
    history.request.profile = "comfy".to_owned();
    let before = last.linked("latent_image").and_then(|node| node.back_to(&PICTURE, &SAMPLERS));
    let first = before.unwrap_or(last);
    sampler(&mut history, first)?;
    history.request.prompt = prompt(&mut history, first, "positive")?;
    history.request.negative_prompt = prompt(&mut history, first, "negative")?;
    if before.is_some() {
        hires(&mut history, first, last)?;
    }
    model(&mut history, first)?;
    start(&mut history, first);
    if let Some(vae) = graph.vae() {
        history.names(Kind::Vae, vae, None);
        history.request.vae = Some(vae.to_owned());
    }
    Ok(history)
}

fn sampler(history: &mut History, node: Node<'_>) -> Result<(), String> {
    let seed = node.whole("seed").or_else(|| node.whole("noise_seed"));
    history.request.seed = seed.ok_or_else(|| format!("node {} ({}) has no seed", node.id, node.class))?;
    history.request.n_steps = node.whole("steps").and_then(|n| u32::try_from(n).ok());
    history.request.guidance.scale = node.number("cfg");
    if let Some(name) = node.text("sampler_name") {
        match find_sampler(name) {
            Ok((row, _)) => history.request.sampler = Some(row.id.to_owned()),
            Err(unknown) => history.gap("sampler_name", name, unknown.to_string()),
        }
    }
    if let Some(name) = node.text("scheduler") {
        match find_schedule(name) {
            Ok(row) => history.request.schedule = Some(row.id.to_owned()),
            Err(unknown) => history.gap("scheduler", name, unknown.to_string()),
        }
    }
    let part = [node.whole("start_at_step").filter(|&n| n > 0), node.whole("end_at_step")];
    let n_steps = u64::from(history.request.n_steps.unwrap_or_default());
    if part[0].is_some() || part[1].is_some_and(|end| end < n_steps) {
        node.gap(history, "it walks a part of its steps, here all are walked");
    }
    Ok(())
}

/// The text behind an input for conditioning, through nodes that change it on the way, each of which is a gap.
fn prompt(history: &mut History, sampler: Node<'_>, input: &str) -> Result<String, String> {
    let mut node = sampler.linked(input);
    for _ in 0..MAX_WAY {
        let Some(found) = node else { break };
        match found.class {
            "CLIPTextEncode" => {
                clip_skip(history, found);
                let text = found.text("text");
                return text
                    .map(str::to_owned)
                    .ok_or_else(|| format!("node {} has no text that is written down", found.id));
            }
            "CLIPTextEncodeSDXL" => {
                let [wide, local] = [found.text("text_g"), found.text("text_l")];
                if wide != local {
                    found.gap(history, "it has two prompts for the two text encoders; the first is used");
                }
                return wide
                    .or(local)
                    .map(str::to_owned)
                    .ok_or_else(|| format!("node {} has no text", found.id));
            }
            "ConditioningZeroOut" => {
                found.gap(history, "an encoding of zeros is taken for an empty prompt");
                return Ok(String::new());
            }
            _ => found.gap(history, "what it does to the prompt is left out"),
        }
        node = ["conditioning", input, "conditioning_1", "conditioning_to", "positive"]
            .iter()
            .find_map(|input| found.linked(input));
    }
    Err(format!("the {input} prompt of node {} leads to no CLIPTextEncode", sampler.id))
}

fn clip_skip(history: &mut History, encode: Node<'_>) {
    let skip = encode.linked("clip").and_then(|node| node.back_to(&["clip"], &["CLIPSetLastLayer"]));
    let layer = skip.and_then(|node| node.input("stop_at_clip_layer")?.as_i64());
    history.request.clip_skip = layer.and_then(|layer| u32::try_from(-layer).ok()).filter(|&n| n > 0);
}

/// Follows the model from the sampler to its checkpoint, LoRAs on the way.
fn model(history: &mut History, sampler: Node<'_>) -> Result<(), String> {
    let mut node = sampler.linked("model");
    let mut tags = Vec::new();
    for _ in 0..MAX_WAY {
        let found = node.ok_or("its model comes from no checkpoint")?;
        match found.class {
            "CheckpointLoaderSimple" | "CheckpointLoader" => {
                let name = found.text("ckpt_name").ok_or("its checkpoint has no name")?;
                history.names(Kind::Checkpoint, name, None);
                name.clone_into(&mut history.request.model);
                break;
            }
            "LoraLoader" | "LoraLoaderModelOnly" => tags.push(lora(history, found)?),
            "UNETLoader" | "UnetLoaderGGUF" | "DiffusersLoader" => {
                return Err(format!(
                    "its model is loaded by {}, expected CheckpointLoaderSimple",
                    found.class
                ));
            }
            _ => found.gap(history, "what it does to the model is left out"),
        }
        node = found.linked("model");
    }
    tags.reverse();
    history.request.prompt.extend(tags);
    Ok(())
}

fn lora(history: &mut History, node: Node<'_>) -> Result<String, String> {
    let file = node.text("lora_name").ok_or("one of its LoRAs has no name")?;
    let name = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    history.names(Kind::Lora, name, None);
    let unet = node.number("strength_model").unwrap_or(1.0);
    let text =
        if node.class == "LoraLoaderModelOnly" { 0.0 } else { node.number("strength_clip").unwrap_or(unet) };
    Ok(format!("<lora:{name}:{text}:{unet}>"))
}

/// What the first walk begins at.
fn start(history: &mut History, sampler: Node<'_>) {
    let latents = sampler.linked("latent_image");
    let empty = latents.and_then(|node| node.back_to(&["samples"], &["EmptyLatentImage"]));
    if let Some(node) = empty {
        let px = |name| node.whole(name).and_then(|px| u32::try_from(px).ok());
        (history.request.width_px, history.request.height_px) = (px("width"), px("height"));
        if let Some(n_images) = px("batch_size").filter(|&n| n > 1) {
            history.request.n_images = n_images;
            node.gap(history, "which picture of its batch this is, is not written down; all are made");
        }
        return;
    }
    let mut source = Source::new(PathBuf::new());
    source.strength = sampler.number("denoise").unwrap_or(1.0);
    history.source = Some(source);
    let masked = ["VAEEncodeForInpaint", "SetLatentNoiseMask"];
    if let Some(node) = latents.and_then(|node| node.back_to(&["samples"], &masked)) {
        let content = match node.class {
            "VAEEncodeForInpaint" => MaskedContent::LatentNothing,
            _ => MaskedContent::Original,
        };
        history.inpaint = Some(Inpaint { blur_px: 0.0, content, paste_back: false, ..Inpaint::default() });
        node.gap(history, "how it widens or softens the mask is left out");
    }
}

/// A second walk over enlarged latents.
fn hires(history: &mut History, first: Node<'_>, last: Node<'_>) -> Result<(), String> {
    let enlarge = ["LatentUpscaleBy", "LatentUpscale", "ImageScaleBy", "ImageScale"];
    let node = last.linked("latent_image").and_then(|node| node.back_to(&PICTURE, &enlarge));
    let node = node.ok_or("its graph walks twice with nothing known between the two walks")?;
    let start =
        first.linked("latent_image").and_then(|node| node.back_to(&["samples"], &["EmptyLatentImage"]));
    let wider = || Some(node.number("width")? / start?.number("width")?);
    let scale =
        node.number("scale_by").or_else(wider).ok_or_else(|| format!("node {} has no factor", node.id))?;
    let mut hires = Hires::new(scale);
    let method = node.text("upscale_method").unwrap_or_default();
    hires.upscaler = match (node.class.starts_with("Latent"), method) {
        (true, "nearest-exact") => Upscaler::LatentNearestExact,
        (true, "bilinear") => Upscaler::Latent,
        (true, "bicubic") => Upscaler::LatentBicubic,
        (false, "lanczos") => Upscaler::Lanczos,
        (is_latent, _) => {
            history.gap("upscale_method", method, "it is not one of ours; the picture will differ");
            if is_latent { Upscaler::LatentNearestExact } else { Upscaler::Lanczos }
        }
    };
    let mut own = History::new("");
    sampler(&mut own, last)?;
    hires.strength = last.number("denoise").unwrap_or(1.0);
    let asked = own.request.clone();
    (hires.n_steps, hires.sampler, hires.schedule) = (asked.n_steps, asked.sampler, asked.schedule);
    hires.guidance_scale = asked.guidance.scale;
    if first.whole("seed") != last.whole("seed") {
        history.gap(
            "seed",
            asked.seed.to_string(),
            "the second walk has a seed of its own; the first's is used",
        );
    }
    hires.prompt = Some(prompt(&mut own, last, "positive")?);
    hires.negative_prompt = Some(prompt(&mut own, last, "negative")?);
    history.gaps.append(&mut own.gaps);
    history.request.hires = Some(hires);
    Ok(())
}
