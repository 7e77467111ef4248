//! `tronie edit`: one seed, two prompts, the second picture composed as the first.

use std::path::{Path, PathBuf};

use serde_json::json;
use tronie_base::write_atomic;
use tronie_generate::{
    AlignBy, Blend, Edit, EditMethod, GenerateRequest, GeneratedImage, Inversion, Pipeline,
};
use tronie_image::{Fit, ImageFormat, encode};

use super::generate::{self, Files};
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[group(skip)] // the flattened options are a group of this name
pub(crate) struct Args {
    #[command(flatten)]
    first: generate::TextArgs,
    /// The new prompt
    #[arg(long, value_name = "PROMPT")]
    to: String,
    /// A real picture in place of the first one, which the first prompt then describes
    #[arg(long, value_name = "IMAGE")]
    of: Option<PathBuf>,
    /// How that picture is brought to the image's size: crop, fill, stretch
    #[arg(long, value_name = "FIT", requires = "of", value_parser = generate::parse_id::<Fit>)]
    of_fit: Option<Fit>,
    /// Trainings of the negative prompt at each step, so that guidance makes that picture again
    #[arg(long, value_name = "N", requires = "of")]
    inner_steps: Option<u32>,
    /// Share of the steps in which pixels look at words as in the first picture: END or START..END
    #[arg(long, value_name = "SHARE", value_parser = parse_interval)]
    replace: Option<[f64; 2]>,
    /// The same for one word of the new prompt
    #[arg(long, value_name = "WORD=SHARE", value_parser = parse_word_interval)]
    replace_word: Vec<(String, [f64; 2])>,
    /// Share of the steps in which pixels look at each other as in the first picture
    #[arg(long = "self", value_name = "SHARE", value_parser = parse_interval)]
    own: Option<[f64; 2]>,
    /// Pixels look at each other as in the first picture in maps of at most this side: 16, or a quarter of the latents'
    #[arg(long, value_name = "SIDE")]
    self_side: Option<u32>,
    /// More or less attention for a word of the new prompt; negative turns it around
    #[arg(long, value_name = "WORD=FACTOR", value_parser = parse_weight)]
    equalize: Vec<(String, f64)>,
    /// Confine the change to where this word is; several times for several
    #[arg(long, value_name = "WORD")]
    blend: Vec<String>,
    /// Share of the steps before which everything may change
    #[arg(long, value_name = "SHARE", requires = "blend")]
    blend_start: Option<f64>,
    /// A word is where it is looked at with more than this share of the most
    #[arg(long, value_name = "SHARE", requires = "blend")]
    blend_threshold: Option<f64>,
    /// How words correspond: auto, words (one by one), common (those both prompts have), blocks (difflib's)
    #[arg(long, value_parser = generate::parse_id::<AlignBy>)]
    align: Option<AlignBy>,
    /// paired (the paper's) or shared (CrossAttentionControl's, which makes no first picture)
    #[arg(long, value_parser = generate::parse_id::<EditMethod>)]
    method: Option<EditMethod>,
    /// Also write, for each word, where it is looked at
    #[arg(long)]
    maps: bool,
}

/// `0.8` or `0.1..0.8`.
fn parse_interval(text: &str) -> Result<[f64; 2], String> {
    let (start, end) = text.split_once("..").unwrap_or(("0", text));
    let share =
        |text: &str| text.parse().map_err(|_| format!("{text}: expected a share such as 0.8 or 0.1..0.8"));
    Ok([share(start)?, share(end)?])
}

fn split(text: &str) -> Result<(&str, &str), String> {
    text.rsplit_once('=')
        .filter(|row| !row.0.is_empty())
        .ok_or_else(|| format!("{text}: expected WORD=NUMBER"))
}

fn parse_word_interval(text: &str) -> Result<(String, [f64; 2]), String> {
    let (word, share) = split(text)?;
    Ok((word.to_owned(), parse_interval(share)?))
}

fn parse_weight(text: &str) -> Result<(String, f64), String> {
    let (word, factor) = split(text)?;
    let factor = factor.parse().map_err(|_| format!("{factor}: expected a number"))?;
    Ok((word.to_owned(), factor))
}

impl Args {
    /// What was typed, as a request; the only step that can say "bad input".
    fn to_request(&self) -> Result<GenerateRequest, Report> {
        let base = Edit::new(&self.to);
        let blend = (!self.blend.is_empty()).then(|| {
            let blend = Blend::to(self.blend.clone());
            Blend {
                start: self.blend_start.unwrap_or(blend.start),
                threshold: self.blend_threshold.unwrap_or(blend.threshold),
                ..blend
            }
        });
        let of = self.of.clone().map(|image| {
            let of = Inversion::of(image);
            let (fit, n_inner) = (self.of_fit.or(of.fit), self.inner_steps.unwrap_or(of.n_inner));
            Inversion { fit, n_inner, ..of }
        });
        let is_inverted = of.is_some();
        let edit = Edit {
            of,
            align: self.align.unwrap_or(base.align),
            method: self.method.unwrap_or(base.method),
            cross: self.replace.unwrap_or(base.cross),
            cross_of_words: self.replace_word.clone(),
            own: self.own.unwrap_or(base.own),
            self_side: self.self_side,
            weights: self.equalize.clone(),
            blend,
            maps: self.maps,
            ..base
        };
        let mut request = GenerateRequest { edit: Some(edit), ..self.first.to_request()? };
        if is_inverted && request.sampler.is_none() {
            request.sampler = Some("ddim".to_owned()); // which can be inverted
        }
        request.check()?;
        Ok(request)
    }
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let request = args.to_request()?;
    let store = args.first.places.store();
    let pipeline = Pipeline::load(&store, &request.model, &args.first.places.device, ui)?;
    let resolved = pipeline.resolve(&request)?;
    let mut files = Files::of(&args.first);
    pipeline.run(&resolved, ui, |image, ui| -> Result<(), Report> {
        let path = files.save(&image, ui)?;
        save_maps(&image, &path, ui)
    })?;
    ui.finish();
    Ok(())
}

/// Beside `000001-7.png`: `000001-7.03-woman.png`, the third word.
fn save_maps(image: &GeneratedImage, path: &Path, ui: &mut Ui) -> Result<(), Report> {
    for (index, map) in image.word_maps.iter().enumerate() {
        let word: String = map.word.chars().filter(|letter| letter.is_alphanumeric()).collect();
        let path: PathBuf = path.with_extension(format!("{:02}-{word}.png", index + 1));
        write_atomic(
            &path,
            &encode(&map.pixels, ImageFormat::Png, &[]).map_err(tronie_generate::GenerateError::from)?,
        )?;
        ui.file(&path, json!({ "word": map.word }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
