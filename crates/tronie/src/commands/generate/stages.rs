//! Options of `tronie generate` about what follows the first walk.

use tronie_generate::{GenerateError, GenerateRequest, Hires, Refiner, Upscale, Upscaler};

use super::picture::none_of;
use super::{parse_id, set, set_some};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Further passes")]
pub(super) struct StageArgs {
    /// Make the image this much larger and walk again (hires fix)
    #[arg(long, value_name = "FACTOR")]
    hires: Option<f64>,
    /// latent, latent_antialiased, latent_bicubic, latent_bicubic_antialiased, latent_nearest, latent_nearest_exact, lanczos, or a
    /// network: an ESRGAN or Real-ESRGAN file, or its name in a models folder
    #[arg(long, value_name = "HOW", value_parser = parse_id::<Upscaler>)]
    hires_upscaler: Option<Upscaler>,
    /// How much the second pass may change, 0 to 1 [default: 0.7]
    #[arg(long, value_name = "SHARE")]
    hires_strength: Option<f64>,
    /// Steps of the second pass; as the first when left out, like the next
    #[arg(long, value_name = "STEPS")]
    hires_steps: Option<u32>,
    /// Its sampler
    #[arg(long, value_name = "SAMPLER")]
    hires_sampler: Option<String>,
    /// Its schedule
    #[arg(long, value_name = "SCHEDULE")]
    hires_schedule: Option<String>,
    /// Its prompt
    #[arg(long, value_name = "PROMPT")]
    hires_prompt: Option<String>,
    /// What it must not show
    #[arg(long, value_name = "PROMPT")]
    hires_negative: Option<String>,
    /// Its guidance scale
    #[arg(long, value_name = "CFG")]
    hires_cfg: Option<f64>,
    /// Another model for the last steps
    #[arg(long, value_name = "MODEL")]
    refiner: Option<String>,
    /// Share of the noise schedule after which it takes over [default: 0.8]
    #[arg(long, value_name = "SHARE")]
    refiner_at: Option<f64>,
    /// Make the finished image, or --image as it is, this much larger and walk again in tiles
    #[arg(long, value_name = "FACTOR")]
    upscale: Option<f64>,
    /// Side of a tile; the model's own size when left out
    #[arg(long, value_name = "PX", num_args = 0..=1)]
    tile: Option<Option<u32>>,
    /// What neighbouring tiles share; an eighth of a tile when left out
    #[arg(long, value_name = "PX")]
    tile_overlap: Option<u32>,
    /// A network that enlarges before tiles are walked, as above; Lanczos when left out
    #[arg(long, value_name = "NETWORK")]
    upscaler: Option<String>,
    /// How much tiles may change, 0 to 1 [default: 0.3]
    #[arg(long, value_name = "SHARE")]
    upscale_strength: Option<f64>,
    /// Start from the result again, so many times in all, each with the next seed
    #[arg(long, value_name = "TURNS")]
    loopback: Option<u32>,
}

impl StageArgs {
    /// Puts what was typed into a request.
    ///
    /// # Errors
    /// [`GenerateError::Value`] for an option about a pass that there is none of.
    pub(super) fn apply(&self, request: &mut GenerateRequest) -> Result<(), GenerateError> {
        set_some(&mut request.n_turns, self.loopback.as_ref());
        self.apply_hires(&mut request.hires)?;
        self.apply_refiner(&mut request.refiner)?;
        self.apply_upscale(&mut request.upscale)
    }

    fn apply_hires(&self, hires: &mut Option<Hires>) -> Result<(), GenerateError> {
        if let Some(scale) = self.hires {
            *hires = Some(hires.take().map_or_else(|| Hires::new(scale), |hires| Hires { scale, ..hires }));
        }
        let typed = [
            ("hires_upscaler", self.hires_upscaler.is_some()),
            ("hires_strength", self.hires_strength.is_some()),
            ("hires_steps", self.hires_steps.is_some()),
            ("hires_sampler", self.hires_sampler.is_some()),
            ("hires_schedule", self.hires_schedule.is_some()),
            ("hires_prompt", self.hires_prompt.is_some()),
            ("hires_negative", self.hires_negative.is_some()),
            ("hires_cfg", self.hires_cfg.is_some()),
        ];
        let Some(hires) = hires else { return none_of(&typed, "hires, a factor") };
        set(&mut hires.upscaler, self.hires_upscaler.as_ref());
        set(&mut hires.strength, self.hires_strength.as_ref());
        set_some(&mut hires.n_steps, self.hires_steps.as_ref());
        set_some(&mut hires.sampler, self.hires_sampler.as_ref());
        set_some(&mut hires.schedule, self.hires_schedule.as_ref());
        set_some(&mut hires.prompt, self.hires_prompt.as_ref());
        set_some(&mut hires.negative_prompt, self.hires_negative.as_ref());
        set_some(&mut hires.guidance_scale, self.hires_cfg.as_ref());
        Ok(())
    }

    fn apply_refiner(&self, refiner: &mut Option<Refiner>) -> Result<(), GenerateError> {
        if let Some(model) = &self.refiner {
            let at = refiner.take().map(|refiner| refiner.at);
            let new = Refiner::new(model.clone());
            *refiner = Some(Refiner { at: at.unwrap_or(new.at), ..new });
        }
        let typed = [("refiner_at", self.refiner_at.is_some())];
        let Some(refiner) = refiner else { return none_of(&typed, "a refiner") };
        set(&mut refiner.at, self.refiner_at.as_ref());
        Ok(())
    }

    fn apply_upscale(&self, upscale: &mut Option<Upscale>) -> Result<(), GenerateError> {
        if let Some(scale) = self.upscale {
            let before = upscale.take();
            *upscale =
                Some(before.map_or_else(|| Upscale::new(scale), |upscale| Upscale { scale, ..upscale }));
        }
        let typed = [
            ("tile", self.tile.is_some()),
            ("tile_overlap", self.tile_overlap.is_some()),
            ("upscaler", self.upscaler.is_some()),
            ("upscale_strength", self.upscale_strength.is_some()),
        ];
        let Some(upscale) = upscale else { return none_of(&typed, "upscale, a factor") };
        set_some(&mut upscale.tile_px, self.tile.flatten().as_ref());
        set_some(&mut upscale.overlap_px, self.tile_overlap.as_ref());
        set_some(&mut upscale.upscaler, self.upscaler.as_ref());
        set(&mut upscale.strength, self.upscale_strength.as_ref());
        Ok(())
    }
}
