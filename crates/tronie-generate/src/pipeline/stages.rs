//! What follows the first walk: a second one at a larger size, turns that start from the last result, tiles.

use std::sync::Arc;

use tronie_base::Progress;
use tronie_image::{
    Fit, ImageError, MAX_PIXELS, MAX_SIDE_PX, Mosaic, Pixels, Rect, crop, fit, resize, tile_spans,
};
use tronie_prompt::Pass;
use tronie_sampling::{StrengthRule, Stretch, find_profile};
use tronie_tensor::Tensor;

use super::source::Prepared;
use super::walk::{Begin, Leg, Steerings};
use super::{Pipeline, Resolved, size};
use crate::enlarge::Enlarger;
use crate::interpolate::{Interpolation, resized};
use crate::request::{GenerateRequest, Hires, Upscale, Upscaler};
use crate::{ControlUnit, GenerateError, Guidance};

/// Sides of images are multiples of this.
const GRID_PX: u32 = 8;

/// The second pass of a request, as a request of its own.
#[derive(Debug, Clone)]
pub(super) struct SecondPass {
    pub(super) resolved: Resolved,
    upscaler: Upscaler,
    /// The network, where the upscaler is one.
    enlarger: Option<Arc<Enlarger>>,
}

/// How a finished picture is enlarged: every tile is a request of its own.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    pub(super) resolved: Resolved,
    scale: f64,
    overlap_px: u32,
    enlarger: Option<Arc<Enlarger>>,
}

/// What steers each stage of a request.
pub(super) struct Prompts {
    first: Steerings,
    second: Option<Steerings>,
    tiles: Option<Steerings>,
}

impl Prompts {
    /// Names of the embeddings in all texts, each once.
    pub(super) fn embeddings(&self) -> Vec<&str> {
        let mut names = self.first.main.embeddings();
        for name in self.second.iter().flat_map(|second| second.main.embeddings()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl SecondPass {
    /// What was asked for with nothing left open.
    pub(super) fn filled(&self, hires: &Hires) -> Hires {
        let request = &self.resolved.request;
        Hires {
            n_steps: request.n_steps,
            sampler: request.sampler.clone(),
            schedule: request.schedule.clone(),
            guidance_scale: request.guidance.scale,
            ..hires.clone()
        }
    }
}

impl Tiles {
    /// What was asked for with nothing left open.
    pub(super) fn filled(&self, upscale: &Upscale) -> Upscale {
        Upscale {
            tile_px: self.resolved.request.width_px,
            overlap_px: Some(self.overlap_px),
            ..upscale.clone()
        }
    }
}

impl Upscaler {
    /// What happens to latents; `None` for upscalers of pixels.
    fn interpolation(&self) -> Option<Interpolation> {
        match self {
            Self::Latent => Some(Interpolation::Bilinear),
            Self::LatentAntialiased => Some(Interpolation::BilinearAntialiased),
            Self::LatentBicubic => Some(Interpolation::Bicubic),
            Self::LatentBicubicAntialiased => Some(Interpolation::BicubicAntialiased),
            Self::LatentNearest => Some(Interpolation::Nearest),
            Self::LatentNearestExact => Some(Interpolation::NearestExact),
            Self::Lanczos | Self::Network(_) => None,
        }
    }
}

impl Pipeline {
    /// Encodes what every stage of a request is told.
    pub(super) fn prompts(&self, resolved: &Resolved) -> Result<Prompts, GenerateError> {
        let second = resolved.second.as_ref().map(|second| self.encode(&second.resolved));
        let tiles = resolved.tiles.as_ref().map(|tiles| self.encode(&tiles.resolved));
        Ok(Prompts { first: self.encode(resolved)?, second: second.transpose()?, tiles: tiles.transpose()? })
    }

    /// The finished images of one run of the sampler, with their places in it.
    pub(super) fn pictures<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        prompts: &Prompts,
        (seed, n): (u64, usize),
        progress: &mut P,
    ) -> Result<Vec<(u32, Pixels)>, GenerateError> {
        let begun = match resolved.picture.as_ref().filter(|_| resolved.request.enlarges_source()) {
            Some(picture) => vec![picture.pixels.clone(); n],
            None => self.walked(resolved, prompts, (seed, n), progress)?,
        };
        let mut pictures = Vec::new();
        for (i, mut pixels) in (0_u32..).zip(begun) {
            if resolved.request.only_image.is_some_and(|only| only != i) {
                continue;
            }
            for turn in 1..resolved.request.n_turns.unwrap_or(1) {
                let seed = seed.wrapping_add(turn.into());
                pixels = self.turned(resolved, &prompts.first, (pixels, seed), progress)?;
            }
            if let Some((tiles, steerings)) = resolved.tiles.as_ref().zip(prompts.tiles.as_ref()) {
                pixels = self.enlarged(tiles, steerings, (&pixels, seed), progress)?;
            }
            pictures.push((i, pixels));
        }
        Ok(pictures)
    }

    /// What the walks of a run make: one, or two with a larger size.
    fn walked<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        prompts: &Prompts,
        seeds: (u64, usize),
        progress: &mut P,
    ) -> Result<Vec<Pixels>, GenerateError> {
        let begin = resolved.picture.as_ref().map_or(Begin::Noise, Begin::Picture);
        let leg = Leg { steerings: &prompts.first, begin, seeds };
        let mut latents = self.walk(resolved, leg, progress)?;
        if let Some((second, steerings)) = resolved.second.as_ref().zip(prompts.second.as_ref()) {
            latents = self.walk_again(second, steerings, (latents, seeds), progress)?;
        }
        let images = latents.split(1, 0).into_iter().map(|image| {
            let pixels = self.decode(image, resolved)?;
            match &resolved.picture {
                Some(picture) => picture.finished(pixels),
                None => Ok(pixels),
            }
        });
        images.collect()
    }

    /// A finished picture walked from once more.
    fn turned<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        steerings: &Steerings,
        (pixels, seed): (Pixels, u64),
        progress: &mut P,
    ) -> Result<Pixels, GenerateError> {
        let Some(picture) = &resolved.picture else { return Ok(pixels) };
        let picture = picture.again(pixels)?;
        let leg = Leg { steerings, begin: Begin::Picture(&picture), seeds: (seed, 1) };
        let latents = self.walk(resolved, leg, progress)?;
        picture.finished(self.decode(latents, resolved)?)
    }

    /// Plans the second pass of a request whose first is resolved.
    pub(super) fn second_pass(&self, first: &Resolved, hires: &Hires) -> Result<SecondPass, GenerateError> {
        let base = &first.request;
        let own_sampler = hires.sampler.is_some();
        let scaled = |px: Option<u32>| px.map(|px| floored(f64::from(px) * hires.scale));
        let text = |own: &Option<String>, first: &String| own.as_ref().unwrap_or(first).clone();
        let request = GenerateRequest {
            prompt: text(&hires.prompt, &base.prompt),
            negative_prompt: text(&hires.negative_prompt, &base.negative_prompt),
            width_px: scaled(base.width_px),
            height_px: scaled(base.height_px),
            n_steps: hires.n_steps.or(base.n_steps),
            sampler: hires.sampler.clone().or(base.sampler.clone()),
            schedule: hires.schedule.clone().or(base.schedule.clone().filter(|_| !own_sampler)),
            eta: base.eta.filter(|_| !own_sampler),
            guidance: Guidance { scale: hires.guidance_scale.or(base.guidance.scale), ..base.guidance },
            control: base.control.iter().map(ControlUnit::at_any_size).collect(),
            hires: None,
            upscale: None,
            ..base.clone()
        };
        request.check()?; // the larger size
        let n_steps = request.n_steps.unwrap_or_default();
        let stretch = Stretch::from_picture(StrengthRule::PartOfLonger, hires.strength, n_steps as usize)?;
        let mut resolved = self.resolve_walk(&request, Some(stretch))?;
        resolved.pass = Pass {
            n_steps: base.n_steps.unwrap_or_default(),
            n_hires_steps: Some(n_steps),
            rules: resolved.pass.rules,
        };
        let enlarger = match &hires.upscaler {
            Upscaler::Network(name) => Some(self.enlarger(name)?),
            _ => None,
        };
        Ok(SecondPass { resolved, upscaler: hires.upscaler.clone(), enlarger })
    }

    /// Enlarges the first pass's latents (b c h w) and walks again. Returns b c h' w'.
    pub(super) fn walk_again<P: Progress + ?Sized>(
        &self,
        second: &SecondPass,
        steerings: &Steerings,
        (latents, seeds): (Tensor<4>, (u64, usize)),
        progress: &mut P,
    ) -> Result<Tensor<4>, GenerateError> {
        let resolved = &second.resolved;
        let (width_px, height_px) = size(&resolved.request);
        let begin = match second.upscaler.interpolation() {
            Some(way) => {
                let factor = self.spec().latents.factor;
                let larger = resized(&latents, [height_px / factor, width_px / factor], way);
                Begin::Latents(larger.split(1, 0))
            }
            None => {
                let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
                let images = latents.split(1, 0).into_iter();
                let size = [side(width_px), side(height_px)];
                let larger = images.map(|image| {
                    let pixels = self.decode(image, resolved)?;
                    enlarged_by(second.enlarger.as_deref(), &pixels, size, progress)
                });
                Begin::Pixels(larger.collect::<Result<_, GenerateError>>()?)
            }
        };
        self.walk(resolved, Leg { steerings, begin, seeds }, progress)
    }

    /// Plans the tiles of a request whose walk is resolved.
    pub(super) fn tiles(&self, first: &Resolved, upscale: &Upscale) -> Result<Tiles, GenerateError> {
        let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
        let [height_px, width_px] = self.spec().defaults.size_px.map(side);
        let tile_px = upscale.tile_px.unwrap_or(width_px.max(height_px));
        let request = GenerateRequest {
            width_px: Some(tile_px),
            height_px: Some(tile_px),
            source: None,
            inpaint: None,
            hires: None,
            upscale: None,
            // They show the whole picture.
            control: Vec::new(),
            ..first.request.clone()
        };
        let n_steps = request.n_steps.unwrap_or_default() as usize;
        let rules = find_profile(&request.profile)?.from_picture;
        let stretch = Stretch::from_picture(rules.strength, upscale.strength, n_steps)?;
        let resolved = self.resolve_walk(&request, Some(stretch))?;
        let overlap_px = upscale.overlap_px.unwrap_or(tile_px / 8).min(tile_px / 2);
        let enlarger = upscale.upscaler.as_deref().map(|name| self.enlarger(name)).transpose()?;
        Ok(Tiles { resolved, scale: upscale.scale, overlap_px, enlarger })
    }

    /// The picture enlarged, each tile walked from what is there. Tile i of the image with this seed has the noise of seed + i.
    pub(super) fn enlarged<P: Progress + ?Sized>(
        &self,
        tiles: &Tiles,
        steerings: &Steerings,
        (pixels, seed): (&Pixels, u64),
        progress: &mut P,
    ) -> Result<Pixels, GenerateError> {
        let Tiles { resolved, scale, overlap_px, enlarger } = tiles;
        let side = |px: u32| rounded(f64::from(px) * scale);
        let (width_px, height_px) = (side(pixels.width_px()), side(pixels.height_px()));
        let n_pixels = u64::from(width_px) * u64::from(height_px);
        if width_px.max(height_px) > MAX_SIDE_PX || n_pixels > MAX_PIXELS {
            return Err(ImageError::TooManyPixels { width_px, height_px }.into());
        }
        let larger = enlarged_by(enlarger.as_deref(), pixels, [width_px, height_px], progress)?;
        let tile_px = resolved.request.width_px.unwrap_or_default();
        let mut mosaic = Mosaic::new(width_px, height_px);
        let columns = tile_spans(width_px, tile_px, *overlap_px);
        let rows = tile_spans(height_px, tile_px, *overlap_px);
        let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (index, (&(top, height), &(left, width))) in (0_u64..).zip(places) {
            let rect = Rect { left, top, width, height };
            // A picture smaller than a tile is stretched to one, and back.
            let tile = fit(&crop(&larger, rect)?, tile_px, tile_px, Fit::Stretch)?;
            let picture = Prepared { pixels: tile, noise_multiplier: 1.0, painted: None };
            let begin = Begin::Picture(&picture);
            let leg = Leg { steerings, begin, seeds: (seed.wrapping_add(index), 1) };
            let walked = self.decode(self.walk(resolved, leg, progress)?, resolved)?;
            mosaic.add(&fit(&walked, width, height, Fit::Stretch)?, rect, *overlap_px)?;
        }
        Ok(mosaic.finish()?)
    }
}

/// A picture at another size, by a network or by Lanczos.
fn enlarged_by<P: Progress + ?Sized>(
    enlarger: Option<&Enlarger>,
    pixels: &Pixels,
    [width_px, height_px]: [u32; 2],
    progress: &mut P,
) -> Result<Pixels, GenerateError> {
    match enlarger {
        Some(enlarger) => enlarger.enlarge(pixels, [width_px, height_px], progress),
        None => Ok(resize(pixels, width_px, height_px)?),
    }
}

/// Down to whole latents, at least one.
fn floored(px: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size times at most 8")]
    let px = px as u32;
    (px - px % GRID_PX).max(GRID_PX)
}

fn rounded(px: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size times at most 8")]
    let px = px.round() as u32;
    px.max(1)
}
