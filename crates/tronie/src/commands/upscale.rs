//! `tronie upscale`: pictures enlarged by a network, without diffusion.

use std::path::PathBuf;

use serde_json::json;
use tronie_base::write_atomic;
use tronie_generate::Enlarger;
use tronie_image::{ImageFormat, decode, encode, read_file, read_text};

use super::models::Places;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// PNG, JPEG or WebP files
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// An ESRGAN or Real-ESRGAN file (.pth, .safetensors), or its name in a models folder
    #[arg(long = "with", value_name = "NETWORK")]
    network: String,
    /// Factor on width and height, 0.1 to 16; the network's own when left out
    #[arg(long, value_name = "FACTOR", value_parser = parse_scale)]
    scale: Option<f64>,
    /// Folder for the results, PNG files of the same names
    #[arg(long, short, default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    places: Places,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.1..=16.0).contains(scale));
    scale.ok_or_else(|| "expected a number from 0.1 to 16".to_owned())
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let enlarger = Enlarger::open(&args.places.store(), &args.network, &args.places.device)?;
    let scale = args.scale.unwrap_or(enlarger.scale() as f64);
    for path in &args.pictures {
        let bytes = read_file(path)?;
        let of_file = |error: tronie_image::ImageError| error.in_file(path);
        let pixels = decode(&bytes).map_err(of_file)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size times at most 16; `as` saturates"
        )]
        let side = |px: u32| (f64::from(px) * scale).round().max(1.0) as u32;
        let larger = enlarger.enlarge(&pixels, [side(pixels.width_px()), side(pixels.height_px())], ui)?;
        // What the picture says about itself stays true of it.
        let entries = read_text(&bytes).map_err(of_file)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let out = super::free_path(&args.out, &stem);
        write_atomic(&out, &encode(&larger, ImageFormat::Png, &entries)?)?;
        ui.file(&out, json!({ "of": path, "width_px": larger.width_px(), "height_px": larger.height_px() }))?;
    }
    ui.finish();
    Ok(())
}
