//! `tronie generate`.

mod grid;
mod picture;
mod stages;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tronie_base::write_atomic;
use tronie_generate::{
    ControlUnit, GenerateRequest, GeneratedImage, Guidance, ImagePrompt, Pipeline, Variation, record,
};
use tronie_image::ImageFormat;
use tronie_prompt::Emphasis;
use tronie_tensor::noise::Rng;

use self::grid::GridArgs;
use self::picture::PictureArgs;
use self::stages::StageArgs;
use super::control::{parse_control, parse_image_prompt};
use super::models::Places;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct TextArgs {
    // Brackets in a doc comment would be links.
    #[arg(
        required_unless_present = "like",
        help = "What the image shows: (more:1.2) [less] BREAK, a AND b, [from:to:0.5], [a|b], <lora:name:0.8>"
    )]
    prompt: Option<String>,
    /// What it must not show
    #[arg(long, short = 'N')]
    negative: Option<String>,
    /// Make this image again; other options change what they name
    #[arg(long, value_name = "IMAGE")]
    like: Option<PathBuf>,
    /// tronie-mini (embedded), a folder, a file, a name in a models folder, or a Hugging Face id
    #[arg(long, short)]
    model: Option<String>,
    /// An autoencoder in place of the model's own, a file or a name in a models folder
    #[arg(long)]
    vae: Option<String>,
    /// Denoising steps
    #[arg(long)]
    steps: Option<u32>,
    /// euler, dpmpp_2m, ... or an A1111 name such as "DPM++ 2M Karras"
    #[arg(long)]
    sampler: Option<String>,
    /// karras, exponential, uniform, ...
    #[arg(long)]
    schedule: Option<String>,
    /// Guidance scale: how strongly the prompt is followed
    #[arg(long)]
    cfg: Option<f64>,
    /// Share of the result rescaled against overexposure, 0 to 1
    #[arg(long, value_name = "PHI")]
    cfg_rescale: Option<f64>,
    /// Guide only between these fractions of the steps
    #[arg(long, num_args = 2, value_names = ["START", "END"])]
    cfg_interval: Option<Vec<f64>>,
    /// Seed of the first image; image i uses seed + i
    #[arg(long)]
    seed: Option<u64>,
    /// Number of images
    #[arg(short)]
    n: Option<u32>,
    /// Size in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Whose numbers to follow: a1111, diffusers, comfy
    #[arg(long)]
    profile: Option<String>,
    /// philox (A1111's GPU noise) or torch_cpu
    #[arg(long, value_parser = parse_id::<Rng>)]
    rng: Option<Rng>,
    /// original, no_norm, comfy, ignore, none
    #[arg(long, value_parser = parse_id::<Emphasis>)]
    emphasis: Option<Emphasis>,
    /// Stop the text encoder this many layers from its end
    #[arg(long)]
    clip_skip: Option<u32>,
    /// Share of fresh noise of stochastic samplers
    #[arg(long)]
    eta: Option<f64>,
    /// A second seed mixed into the first noise
    #[arg(long, requires = "variation_strength")]
    variation_seed: Option<u64>,
    /// How much of the second seed, 0 to 1
    #[arg(long, requires = "variation_seed")]
    variation_strength: Option<f32>,
    /// A picture that steers, through a ControlNet or T2I-Adapter; several times for several. Before the file what is made
    /// of it (canny, tile, blur, scribble, threshold, invert, pose), behind it weight, start, end, mode=prompt|control,
    /// fit=crop|fill|stretch, kind (of a union: pose, depth, soft_edge, line, normal, segmentation, tile, inpaint), low, high,
    /// factor, sigma, level
    #[arg(long, value_name = "[HOW=]IMAGE,model=NAME[,..]", value_parser = parse_control)]
    control: Vec<ControlUnit>,
    /// A picture that is looked at beside the prompt, through an IP-Adapter; several times for several. Behind it model, weight,
    /// start, end, and encoder where the adapter's image encoder is not in the folder image_encoder beside it
    #[arg(long, value_name = "IMAGE,model=NAME[,..]", value_parser = parse_image_prompt)]
    ip_adapter: Vec<ImagePrompt>,
    /// Folder for the images
    #[arg(long, short, default_value = "out")]
    out: PathBuf,
    /// png, jpeg or webp
    #[arg(long, default_value = "png", value_parser = parse_format)]
    format: ImageFormat,
    /// Leave out the mark that says an algorithm made the image
    #[arg(long)]
    no_mark: bool,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// All options: what text alone needs, and what a picture, stages and grids need.
#[derive(Debug, clap::Args)]
#[group(skip)] // the flattened options are a group of this name
pub(crate) struct Args {
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    stages: StageArgs,
    #[command(flatten)]
    grid: GridArgs,
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parts.ok_or_else(|| "expected WIDTHxHEIGHT, for example 512x768".to_owned())
}

fn parse_format(text: &str) -> Result<ImageFormat, String> {
    ImageFormat::from_extension(text).map_err(|error| error.to_string())
}

/// Reads an id as it is stored in images, so that there is one spelling.
pub(crate) fn parse_id<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

fn set<T: Clone>(slot: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        slot.clone_from(value);
    }
}

fn set_some<T: Clone>(slot: &mut Option<T>, value: Option<&T>) {
    if value.is_some() {
        *slot = value.cloned();
    }
}

impl TextArgs {
    /// What was typed, as a request that is not checked yet.
    pub(crate) fn to_request(&self) -> Result<GenerateRequest, Report> {
        let mut request = match &self.like {
            Some(path) => record::request_in_file(path)?,
            None => GenerateRequest::new(""),
        };
        set(&mut request.prompt, self.prompt.as_ref());
        set(&mut request.negative_prompt, self.negative.as_ref());
        set(&mut request.model, self.model.as_ref());
        set(&mut request.seed, self.seed.as_ref());
        set(&mut request.n_images, self.n.as_ref());
        set(&mut request.profile, self.profile.as_ref());
        set_some(&mut request.vae, self.vae.as_ref());
        set_some(&mut request.n_steps, self.steps.as_ref());
        set_some(&mut request.sampler, self.sampler.as_ref());
        set_some(&mut request.schedule, self.schedule.as_ref());
        set_some(&mut request.rng, self.rng.as_ref());
        set_some(&mut request.emphasis, self.emphasis.as_ref());
        set_some(&mut request.clip_skip, self.clip_skip.as_ref());
        set_some(&mut request.eta, self.eta.as_ref());
        if let Some((width_px, height_px)) = self.size {
            (request.width_px, request.height_px) = (Some(width_px), Some(height_px));
        }
        if let (Some(seed), Some(strength)) = (self.variation_seed, self.variation_strength) {
            request.variation = Some(Variation { seed, strength });
        }
        if !self.control.is_empty() {
            request.control.clone_from(&self.control);
        }
        if !self.ip_adapter.is_empty() {
            request.image_prompts.clone_from(&self.ip_adapter);
        }
        request.guidance = self.guidance(request.guidance);
        Ok(request)
    }

    /// Where the image of a number goes.
    fn guidance(&self, base: Guidance) -> Guidance {
        let interval = match self.cfg_interval.as_deref() {
            Some(&[start, end]) => [start, end],
            _ => base.interval,
        };
        let rescale = self.cfg_rescale.unwrap_or(base.rescale);
        Guidance { scale: self.cfg.or(base.scale), rescale, interval, ..base }
    }
}

impl Args {
    /// What was typed, as a request; the only step that can say "bad input".
    fn to_request(&self) -> Result<GenerateRequest, Report> {
        let mut request = self.text.to_request()?;
        self.picture.apply(&mut request)?;
        self.stages.apply(&mut request)?;
        request.check()?;
        Ok(request)
    }
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let request = args.to_request()?;
    let sheets = args.grid.sheets(&request)?;
    let args = &args.text;
    if !sheets.is_empty() {
        return grid::run(args, &sheets, ui);
    }
    let store = args.places.store();
    let pipeline = Pipeline::load(&store, &request.model, &args.places.device, ui)?;
    let mut files = Files::of(args);
    // Two borrows of the screen: the pipeline draws progress, the sink prints paths after each image.
    pipeline.run(&pipeline.resolve(&request)?, ui, |image, ui| files.save(&image, ui).map(|_| ()))?;
    ui.finish();
    Ok(())
}

/// Where images go.
pub(crate) struct Files<'a> {
    args: &'a TextArgs,
    index: u32,
}

impl<'a> Files<'a> {
    pub(crate) fn of(args: &'a TextArgs) -> Self {
        Self { args, index: first_free_index(&args.out) }
    }

    /// The next path: its number, and what the file is.
    fn next(&mut self, what: &str) -> PathBuf {
        let name = format!("{:06}-{what}.{}", self.index, self.args.format.extension());
        self.index += 1;
        self.args.out.join(name)
    }

    /// Writes an image, says so, and returns its path.
    pub(crate) fn save(&mut self, image: &GeneratedImage, ui: &mut Ui) -> Result<PathBuf, Report> {
        let path = self.next(&image.request.seed.to_string());
        let bytes = record::encode(image, self.args.format, !self.args.no_mark)?;
        write_atomic(&path, &bytes)?;
        let mut more = json!({ "seed": image.request.seed });
        if let (Some(more), true) = (more.as_object_mut(), image.request.edit.is_some()) {
            more.insert("edited".into(), true.into());
        }
        ui.file(&path, more)?;
        Ok(path)
    }
}

/// One above the highest number that starts a file name in `folder`, so that nothing is overwritten.
fn first_free_index(folder: &Path) -> u32 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.get(..6)?.parse::<u32>().ok();
    entries.filter_map(number).max().map_or(0, |highest| highest + 1)
}
