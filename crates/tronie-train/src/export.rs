//! What a finished run leaves for other programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use half::{bf16, f16};
use tronie_base::Progress;
use tronie_generate::save_as_folder;
use tronie_weights::{
    Dtype, EmbeddingForm, Lora, LoraModule, LoraTarget, Modules, Part, RawTensor, Target, TensorFile,
    TensorMeta, WeightsFault,
};

use crate::TrainError;
use crate::parameters::{Parameters, Values};
use crate::recipe::{Method, Recipe, SaveDtype};
use crate::run::Job;
use crate::scratch::set_latent_scale;
use crate::trainee::{Trainee, base};
use crate::weave::{DOWN, UP};

/// The end of a run.
pub(crate) struct Finished {
    /// What was trained.
    pub(crate) result: Parameters,
    /// Steps taken.
    pub(crate) step: u64,
    /// What latents have to be multiplied by, where the autoencoder was trained.
    pub(crate) latent_scale: Option<f64>,
}

/// Writes the result of a run into its folder:
/// - a diffusers folder `model`;
/// - `lora.safetensors` (kohya's names, which A1111, `ComfyUI` and kohya's tools read) and
///   `pytorch_lora_weights.safetensors` (PEFT's names, for diffusers);
/// - `<word>.safetensors` (for A1111, `ComfyUI` and kohya's tools) and, for models with one text encoder,
///   `learned_embeds.safetensors` (diffusers' name and form; it reads the other one for SDXL too).
pub(crate) fn export(
    job: Job<'_>,
    trainee: &Trainee,
    finished: &Finished,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, TrainError> {
    let Finished { result, step, latent_scale } = finished;
    match job.method {
        Method::Dreambooth | Method::Scratch => {
            let path = job.folder.join("model");
            if path.exists() {
                return Ok(vec![path]); // of an earlier call that got this far
            }
            let mut checkpoint = base(job.recipe, job.method, job.store, progress)?;
            if let Some(scale) = latent_scale {
                set_latent_scale(&mut checkpoint, *scale);
            }
            for (part, component) in &mut checkpoint.parts {
                let base = std::mem::replace(&mut component.tensors, Box::new(Changed::default()));
                component.tensors = Box::new(Changed::over(base, part.folder(), result));
            }
            save_as_folder(
                checkpoint,
                &job.recipe.model,
                Target { path: &path, dtype: Some(job.recipe.save_dtype.stored()) },
                progress,
            )?;
            Ok(vec![path])
        }
        Method::Lora => {
            let lora = lora(job.recipe, result, *step);
            let names: Vec<(Part, Vec<String>)> =
                trainee.checkpoint.parts.iter().map(|(part, row)| (*part, row.tensors.names())).collect();
            let modules = Modules::of_networks(names.iter().map(|(part, names)| (*part, names.as_slice())));
            let paths =
                ["lora.safetensors", "pytorch_lora_weights.safetensors"].map(|name| job.folder.join(name));
            let [kohya, peft] = &paths;
            lora.save_kohya(kohya, &modules)?;
            lora.save_peft(peft)?;
            Ok(paths.to_vec())
        }
        Method::TextualInversion => {
            let Some(embedding) = trainee.word.as_ref().map(|word| word.embedding(result, *step)) else {
                return Ok(Vec::new());
            };
            let mut forms = vec![(format!("{}.safetensors", embedding.name), EmbeddingForm::Kohya)];
            if embedding.vectors.len() == 1 {
                forms.push(("learned_embeds.safetensors".to_owned(), EmbeddingForm::Word));
            }
            let metadata = metadata(job.recipe, &embedding.name, *step);
            let save = |(name, form): (String, EmbeddingForm)| {
                let path = job.folder.join(name);
                embedding.save(&path, form, &metadata)?;
                Ok(path)
            };
            forms.into_iter().map(save).collect()
        }
    }
}

fn lora(recipe: &Recipe, result: &Parameters, step: u64) -> Lora {
    let mut modules = BTreeMap::new();
    for (name, down) in &result.0 {
        let layer = name.strip_suffix(DOWN);
        let Some((layer, up)) = layer.and_then(|layer| Some((layer, result.0.get(&format!("{layer}{UP}"))?)))
        else {
            continue;
        };
        let target = layer.trim_end_matches('.').split_once('.').and_then(|(folder, path)| {
            let part = Part::ALL.into_iter().find(|part| part.folder() == folder)?;
            Some(LoraTarget { part, path: path.to_owned() })
        });
        let rank = down.shape.first().copied().unwrap_or(1);
        #[expect(clippy::cast_possible_truncation, reason = "the file's alpha is f32")]
        let alpha = (recipe.lora.scale() * rank as f64) as f32;
        if let Some(target) = target {
            let [down, up] = [down, up].map(|row| narrowed(row, recipe.save_dtype));
            modules.insert(target, LoraModule::low_rank(down, up, alpha));
        }
    }
    Lora { modules, family: None, metadata: metadata(recipe, "lora", step) }
}

/// What kohya's tools say of a run in the file it has made.
fn metadata(recipe: &Recipe, name: &str, step: u64) -> BTreeMap<String, String> {
    let rows = [
        ("ss_output_name", name.to_owned()),
        ("ss_sd_model_name", recipe.model.clone()),
        ("ss_seed", recipe.seed.to_string()),
        ("ss_steps", step.to_string()),
        ("ss_batch_size_per_device", recipe.batch.to_string()),
        ("ss_gradient_accumulation_steps", recipe.accumulate.to_string()),
        ("ss_optimizer", recipe.optimizer.id.clone()),
        ("ss_lr_scheduler", recipe.lr_schedule.id.clone()),
        ("ss_clip_skip", recipe.text.clip_skip.to_string()),
    ];
    rows.map(|(key, value)| (key.to_owned(), value)).into()
}

fn narrowed(values: &Values, dtype: SaveDtype) -> RawTensor {
    let Values { shape, values: numbers } = values;
    let bytes = match dtype {
        SaveDtype::F32 => return values.to_raw(),
        SaveDtype::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        SaveDtype::Bf16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
    };
    RawTensor { meta: TensorMeta { dtype: dtype.stored(), shape: shape.clone() }, bytes }
}

/// A network's tensors, with those that were trained in place of the old ones.
#[derive(Default)]
pub(crate) struct Changed {
    base: Option<Box<dyn TensorFile>>,
    trained: BTreeMap<String, Values>,
}

impl Changed {
    /// A network of nothing else.
    pub(crate) fn new(trained: BTreeMap<String, Values>) -> Self {
        Self { base: None, trained }
    }

    fn over(base: Box<dyn TensorFile>, folder: &str, result: &Parameters) -> Self {
        let inside = |name: &str| name.strip_prefix(folder)?.strip_prefix('.').map(str::to_owned);
        let trained = result.0.iter().filter_map(|(name, row)| Some((inside(name)?, row.clone())));
        Self { trained: trained.collect(), base: Some(base) }
    }
}

impl TensorFile for Changed {
    fn names(&self) -> Vec<String> {
        self.base.as_ref().map_or_else(|| self.trained.keys().cloned().collect(), |base| base.names())
    }

    fn meta(&self, name: &str) -> Option<TensorMeta> {
        match self.trained.get(name) {
            Some(Values { shape, .. }) => Some(TensorMeta { dtype: Dtype::F32, shape: shape.clone() }),
            None => self.base.as_ref()?.meta(name),
        }
    }

    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        match (self.trained.get(name), &self.base) {
            (Some(values), _) => Ok(Some(values.to_raw())),
            (None, Some(base)) => base.read(name),
            (None, None) => Ok(None),
        }
    }
}
