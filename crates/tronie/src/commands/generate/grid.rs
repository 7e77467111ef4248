//! `tronie generate --grid` and `--matrix`: variants of one request, and sheets to compare them on.

use serde_json::json;
use tronie_base::write_atomic;
use tronie_generate::grid::{Grid, Sheet, matrix};
use tronie_generate::{GenerateError, GenerateRequest, Pipeline};
use tronie_image::{MAX_SIDE_PX, Pixels, contact_sheet, encode};

use super::{Files, TextArgs};
use crate::report::Report;
use crate::ui::Ui;

/// Sides of tiles: wide enough for labels, small enough for screens.
const TILE_PX: std::ops::RangeInclusive<u32> = 192..=1024;
/// Room for the gap and the label of a tile.
const AROUND_TILE_PX: u32 = 48;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Grids")]
pub(super) struct GridArgs {
    /// Vary something along an axis, x=sampler:euler,ddim, and make a sheet of it; up to once each for x, y and z. Can vary:
    /// sampler, schedule, steps, cfg, cfg_rescale, seed, clip_skip, eta, size, model, profile, strength, hires_strength,
    /// refiner_at, prompt and negative (words for the first value)
    #[arg(long, value_name = "AXIS=WHAT:VALUES", conflicts_with = "matrix")]
    grid: Vec<String>,
    /// Make every combination of the prompt's parts, a face|glasses|smiling, and a sheet of them
    #[arg(long)]
    matrix: bool,
}

impl GridArgs {
    /// The sheets that were asked for; none when a request is just itself.
    pub(super) fn sheets(&self, request: &GenerateRequest) -> Result<Vec<Sheet>, GenerateError> {
        if self.matrix {
            return Ok(vec![matrix(request)?]);
        }
        let mut grid = Grid::default();
        for axis in &self.grid {
            grid.add(axis)?;
        }
        if grid.is_empty() { Ok(Vec::new()) } else { grid.sheets(request) }
    }
}

/// Makes every variant, saves its images, and a sheet of the first image of each.
pub(super) fn run(args: &TextArgs, sheets: &[Sheet], ui: &mut Ui) -> Result<(), Report> {
    let store = args.places.store();
    let mut files = Files::of(args);
    let mut loaded: Option<(String, Pipeline)> = None;
    for sheet in sheets {
        let mut firsts = Vec::new();
        for variant in &sheet.variants {
            let request = &variant.request;
            let pipeline = match loaded.take().filter(|(model, _)| *model == request.model) {
                Some((_, pipeline)) => pipeline,
                None => Pipeline::load(&store, &request.model, &args.places.device, ui)?,
            };
            let mut first = None;
            pipeline.run(&pipeline.resolve(request)?, ui, |image, ui| {
                files.save(&image, ui)?;
                first.get_or_insert(image.pixels);
                Ok::<(), Report>(())
            })?;
            firsts.extend(first);
            loaded = Some((request.model.clone(), pipeline));
        }
        save(&mut files, sheet, &firsts, ui)?;
    }
    ui.finish();
    Ok(())
}

/// Writes a sheet. It carries no request: every picture on it has its own file that does.
fn save(files: &mut Files<'_>, sheet: &Sheet, images: &[Pixels], ui: &mut Ui) -> Result<(), Report> {
    let labels: Vec<String> = sheet.variants.iter().map(|variant| variant.label.clone()).collect();
    let largest = images.iter().map(|image| image.width_px().max(image.height_px())).max();
    let n_rows = sheet.variants.len().div_ceil(sheet.columns);
    let n_along = u32::try_from(sheet.columns.max(n_rows)).unwrap_or(u32::MAX);
    let room = (MAX_SIDE_PX / n_along).saturating_sub(AROUND_TILE_PX).max(1);
    let tile_px = largest.unwrap_or_default().clamp(*TILE_PX.start(), *TILE_PX.end()).min(room);
    let pixels = contact_sheet(images, &labels, sheet.columns, tile_px)?;
    let mut texts = Vec::new();
    if !files.args.no_mark {
        texts.push(tronie_image::synthetic_packet(concat!("tronie ", env!("CARGO_PKG_VERSION"))));
    }
    let path = files.next("sheet");
    write_atomic(&path, &encode(&pixels, files.args.format, &texts)?)?;
    ui.file(&path, json!({ "labels": labels, "columns": sheet.columns }))
}
