//! Pictures for datasets: items in, finished files out, through the same pipeline as `tronie generate`.

use serde::Deserialize;
use tronie_base::{Fault, Faulty, Progress};
use tronie_dataset::{BoxedFaulty, GeneratedImage, Generator, Item, Spec};
use tronie_generate::{
    EMBEDDED_MODEL, GenerateError, GenerateRequest, Guidance, Pipeline, Resolved, Store, record,
};
use tronie_image::ImageFormat;
use tronie_prompt::Emphasis;

/// The `[generation]` table of a spec.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Generation {
    /// As `tronie generate --model`.
    #[serde(default = "embedded")]
    pub(crate) model: String,
    width_px: Option<u32>,
    height_px: Option<u32>,
    steps: Option<u32>,
    sampler: Option<String>,
    schedule: Option<String>,
    cfg: Option<f64>,
    profile: Option<String>,
    clip_skip: Option<u32>,
    eta: Option<f64>,
    emphasis: Option<Emphasis>,
    /// Read by the dataset crate, which names the files.
    #[serde(rename = "format")]
    _format: Option<String>,
    /// Whether images say that an algorithm made them.
    #[serde(default = "yes")]
    mark: bool,
}

fn embedded() -> String {
    EMBEDDED_MODEL.to_owned()
}

fn yes() -> bool {
    true
}

/// A `[generation]` table that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("[generation] of the spec: {}", .0.message())]
pub(crate) struct GenerationError(toml::de::Error);

impl Faulty for GenerationError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("its keys are: model width_px height_px steps sampler schedule cfg profile clip_skip eta emphasis format mark".into())
    }
}

impl Generation {
    /// Reads the table of a spec.
    ///
    /// # Errors
    /// [`GenerationError`] naming the key.
    pub(crate) fn of(spec: &Spec) -> Result<Self, GenerationError> {
        spec.generation().clone().try_into().map_err(GenerationError)
    }

    /// About what one image takes on disk: faces compress to one and a half bytes a pixel as PNG.
    pub(crate) fn typical_bytes(&self) -> u64 {
        let side = |px: Option<u32>| u64::from(px.unwrap_or(512));
        side(self.width_px) * side(self.height_px) * 3 / 2
    }

    fn request(&self, item: &Item) -> GenerateRequest {
        let request = GenerateRequest::new(&item.prompt);
        GenerateRequest {
            negative_prompt: item.negative_prompt.clone(),
            model: self.model.clone(),
            seed: item.seed,
            width_px: self.width_px,
            height_px: self.height_px,
            n_steps: self.steps,
            sampler: self.sampler.clone(),
            schedule: self.schedule.clone(),
            guidance: Guidance { scale: self.cfg, ..Guidance::default() },
            profile: self.profile.clone().unwrap_or(request.profile),
            clip_skip: self.clip_skip,
            eta: self.eta,
            emphasis: self.emphasis,
            ..request
        }
    }
}

/// A loaded pipeline that makes a spec's pictures.
pub(crate) struct PipelineGenerator {
    pipeline: Pipeline,
    generation: Generation,
    format: ImageFormat,
}

impl PipelineGenerator {
    /// Loads the spec's model and checks the settings that all pictures share.
    ///
    /// # Errors
    /// What loading or resolving said.
    pub(crate) fn load(
        spec: &Spec,
        generation: Generation,
        (store, device): (&Store, &str),
        progress: &mut dyn Progress,
    ) -> Result<Self, GenerateError> {
        let pipeline = Pipeline::load(store, &generation.model, device, progress)?;
        let generator = Self { pipeline, generation, format: spec.format() };
        // One item checks the settings before hours of work.
        if let Some(item) = spec.item(0) {
            generator.resolve(&item)?;
        }
        Ok(generator)
    }

    fn resolve(&self, item: &Item) -> Result<Resolved, GenerateError> {
        self.pipeline.resolve(&self.generation.request(item))
    }

    fn make(&self, item: &Item, progress: &mut dyn Progress) -> Result<GeneratedImage, GenerateError> {
        let mut made = None;
        // The build shows images; the steps inside one only need to hear Ctrl-C.
        self.pipeline.run(
            &self.resolve(item)?,
            &mut Cancelling(progress),
            |image, _| -> Result<(), GenerateError> {
                made = Some(record::encode(&image, self.format, self.generation.mark)?);
                Ok(())
            },
        )?;
        let bytes = made.unwrap_or_default();
        Ok(GeneratedImage { bytes, extension: self.format.extension().to_owned() })
    }
}

impl Generator for PipelineGenerator {
    /// One: an image's bytes must not depend on its neighbours, and on a CPU a batch is no faster.
    fn batch_size(&self) -> usize {
        1
    }

    fn model_id(&self) -> &str {
        &self.generation.model
    }

    fn model_hash(&self) -> &str {
        self.pipeline.model_sha256()
    }

    fn generate(
        &mut self,
        items: &[Item],
        progress: &mut dyn Progress,
    ) -> Result<Vec<GeneratedImage>, BoxedFaulty> {
        let made = items.iter().map(|item| self.make(item, progress));
        made.collect::<Result<_, _>>().map_err(|error| Box::new(error) as BoxedFaulty)
    }
}

/// Passes on only the wish to stop.
struct Cancelling<'a>(&'a mut dyn Progress);

impl Progress for Cancelling<'_> {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn advance(&mut self, _n: u64) {}
    fn note(&mut self, message: &str) {
        self.0.note(message);
    }
    fn check(&self) -> Result<(), tronie_base::Cancelled> {
        self.0.check()
    }
}
