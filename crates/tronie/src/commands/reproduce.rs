//! `tronie reproduce image.png`: reads how a picture was made, by whichever program, makes it again, and says how near that came.

use std::path::PathBuf;

use serde_json::{Value, json};
use tronie_base::write_atomic;
use tronie_evaluate::{SsimSettings, ssim};
use tronie_generate::history::{History, Search, Weights, find_weights, history_in};
use tronie_generate::{GeneratedImage, Pipeline, record};
use tronie_image::{ImageFormat, Pixels, largest_difference, psnr_db};

use super::models::Places;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A PNG, JPEG or WebP file of tronie, A1111, Forge, ComfyUI or InvokeAI
    picture: PathBuf,
    /// The picture it was started from, where there was one: no program writes it into its results
    #[arg(long, value_name = "PICTURE")]
    image: Option<PathBuf>,
    /// The mask it was painted in with
    #[arg(long, value_name = "PICTURE", requires = "image")]
    mask: Option<PathBuf>,
    /// This checkpoint in place of the one it names
    #[arg(long, short)]
    model: Option<String>,
    /// Whose numbers to follow, in place of those of the program that made it
    #[arg(long)]
    profile: Option<String>,
    /// Say what is read and found, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on where weights are missing or others than it names
    #[arg(long)]
    anyway: bool,
    /// Folder for the image
    #[arg(long, short, default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    places: Places,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let bytes = tronie_image::read_file(&args.picture)?;
    let of_file = |error: tronie_image::ImageError| error.in_file(&args.picture);
    let mut history = history_in(&tronie_image::read_text(&bytes).map_err(of_file)?, &args.picture)?;
    let original = tronie_image::decode(&bytes).map_err(of_file)?;
    choose(args, &mut history);
    let store = args.places.store();
    let searches = find_weights(&mut history, &store, ui)?;
    if let Some(model) = &args.model {
        history.request.model.clone_from(model);
    }
    say(&history, &searches, ui)?;
    if args.dry_run {
        return Ok(());
    }
    start_from(args, &mut history)?;
    refuse(args, &searches)?;
    history.request.check()?;
    let pipeline = Pipeline::load(&store, &history.request.model, &args.places.device, ui)?;
    pipeline
        .run(&pipeline.resolve(&history.request)?, ui, |image, ui| compare(args, &original, &image, ui))?;
    ui.finish();
    Ok(())
}

/// What the options say in place of the picture.
fn choose(args: &Args, history: &mut History) {
    if args.model.is_some() {
        // The name of the picture's own would be looked for.
        let first = history.request.model.clone();
        history.weights.retain(|weights| weights.name != first);
    }
    if let Some(profile) = &args.profile {
        history.request.profile.clone_from(profile);
    }
}

/// Puts in the pictures that no file carries.
fn start_from(args: &Args, history: &mut History) -> Result<(), Report> {
    if let Some(mut source) = history.source.take() {
        let Some(image) = &args.image else {
            let message = format!("{} was started from another picture", args.picture.display());
            return Err(Report::input(message, Some("name that picture with --image")));
        };
        source.picture = image.clone().into();
        history.request.source = Some(source);
    }
    if let Some(mut inpaint) = history.inpaint.take() {
        let Some(mask) = &args.mask else {
            let message = format!("{} was painted in with a mask", args.picture.display());
            return Err(Report::input(message, Some("name the mask with --mask")));
        };
        inpaint.mask = Some(mask.clone().into());
        history.request.inpaint = Some(inpaint);
    }
    Ok(())
}

/// Without all of its weights the picture is another one.
fn refuse(args: &Args, searches: &[Search]) -> Result<(), Report> {
    let is_wrong = |search: &&Search| !matches!(search.weights, Weights::Found { .. });
    let wrong: Vec<String> = searches
        .iter()
        .filter(is_wrong)
        .map(|search| format!("{} {}", noun(search), search.outcome()))
        .collect();
    if wrong.is_empty() || args.anyway {
        return Ok(());
    }
    let hint = "put them into a models folder (--models-dir), choose a checkpoint with --model, or go on with --anyway";
    Err(Report::input(wrong.join("; "), Some(hint)))
}

fn noun(search: &Search) -> String {
    let kind = super::models::kind_name(search.wanted.kind);
    match &search.wanted.hash {
        Some(hash) => format!("{kind} {} [{}]", search.wanted.name, hash.get(..12).unwrap_or(hash)),
        None => format!("{kind} {}", search.wanted.name),
    }
}

/// What was read and found.
fn say(history: &History, searches: &[Search], ui: &mut Ui) -> Result<(), Report> {
    let request = &history.request;
    let mut text = format!("made by {}, followed as {}\n", history.program, request.profile);
    for search in searches {
        text.push_str(&format!("{}: {}\n", noun(search), search.outcome()));
    }
    for gap in &history.gaps {
        text.push_str(&format!("left out: {} {}: {}\n", gap.field, gap.found, gap.reason));
    }
    let weights: Vec<Value> = searches.iter().map(search_json).collect();
    let gaps = history
        .gaps
        .iter()
        .map(|gap| json!({ "field": gap.field, "found": gap.found, "reason": gap.reason }));
    let value = json!({
        "program": history.program,
        "request": request,
        "weights": weights,
        "left_out": gaps.collect::<Vec<_>>(),
    });
    ui.result(text.trim_end(), value)
}

fn search_json(search: &Search) -> Value {
    json!({
        "kind": super::models::kind_name(search.wanted.kind),
        "name": search.wanted.name,
        "hash": search.wanted.hash,
        "found": matches!(search.weights, Weights::Found { .. }),
        "outcome": search.outcome(),
    })
}

/// Writes an image and says how far it is from the original.
fn compare(args: &Args, original: &Pixels, image: &GeneratedImage, ui: &mut Ui) -> Result<(), Report> {
    let stem = args.picture.file_stem().unwrap_or_default().to_string_lossy();
    let path = super::free_path(&args.out, &format!("{stem}-again"));
    write_atomic(&path, &record::encode(image, ImageFormat::Png, true)?)?;
    let sizes =
        [original, &image.pixels].map(|pixels| format!("{}x{}", pixels.width_px(), pixels.height_px()));
    if sizes[0] != sizes[1] {
        let text = format!("{}: {} pixels where the original has {}", path.display(), sizes[1], sizes[0]);
        return ui.result(&text, json!({ "path": path, "size": sizes[1], "original_size": sizes[0] }));
    }
    let psnr = psnr_db(original, &image.pixels)?;
    let largest = largest_difference(original, &image.pixels)?;
    // Of pictures smaller than its window there is none.
    let ssim = ssim(original, &image.pixels, SsimSettings::Standard).ok();
    let near = match (largest, ssim) {
        (0, _) => "the same in every pixel".to_owned(),
        (_, Some(ssim)) => format!("PSNR {psnr:.2} dB, SSIM {ssim:.4}, largest difference {largest} of 255"),
        (_, None) => format!("PSNR {psnr:.2} dB, largest difference {largest} of 255"),
    };
    // JSON has no infinity: of equal pictures it is null.
    let value = json!({ "path": path, "psnr_db": psnr, "ssim": ssim, "largest_difference": largest });
    ui.result(&format!("{}: {near}", path.display()), value)
}
