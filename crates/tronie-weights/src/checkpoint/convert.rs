//! Writing a model as a diffusers folder or as a single file. Either is there whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tronie_base::{Cancelled, Fault, Faulty, Progress, WriteError, temporary_sibling, write_atomic};

use super::{Checkpoint, CheckpointError, KEPT_OF_TOKENIZERS, MODEL_KEY, TOKENIZERS};
use crate::detect;
use crate::layout::{Layout, Part, Renamed, SD1, SDXL_BASE, SDXL_REFINER, Union};
use crate::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault, write_safetensors_streaming};

/// Where to write, and how.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The folder or file that will be there.
    pub path: &'a Path,
    /// What real numbers are stored as; `None` keeps what each tensor has.
    pub dtype: Option<Dtype>,
}

/// Cancelling, as a tensor source reports it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Stopped(#[from] Cancelled);

impl Faulty for Stopped {
    fn fault(&self) -> Fault {
        Fault::Interrupted
    }
}

/// Writes a diffusers folder.
///
/// # Errors
/// [`CheckpointError`]: the folder exists, a configuration is missing (most single files have none: set them from the
/// catalog first), or reading, writing or the user's patience fails.
pub fn save_folder(
    checkpoint: &Checkpoint,
    target: Target<'_>,
    progress: &mut dyn Progress,
) -> Result<(), CheckpointError> {
    if target.path.exists() {
        return Err(CheckpointError::Exists { path: target.path.to_owned() });
    }
    let folder = UnfinishedFolder::beside(target.path);
    let missing = |file: String| CheckpointError::MissingConfig { file };
    let scheduler = checkpoint.scheduler.as_ref();
    let scheduler = scheduler.ok_or_else(|| missing("scheduler/scheduler_config.json".into()))?;
    write_json(&folder.0.join("scheduler/scheduler_config.json"), scheduler)?;
    let index = checkpoint.model_index.as_ref();
    let index = index.ok_or_else(|| missing("model_index.json".into()))?;
    write_json(&folder.0.join("model_index.json"), index)?;
    for (path, bytes) in &checkpoint.tokenizer_files {
        write_atomic(&folder.0.join(path), bytes)?;
    }
    for (part, component) in &checkpoint.parts {
        let config = component.config.as_ref();
        let config = config.ok_or_else(|| missing(format!("{}/config.json", part.folder())))?;
        let inside = folder.0.join(part.folder());
        write_json(&inside.join("config.json"), config)?;
        let path = inside.join(format!("{}.safetensors", part.file_stem()));
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let weights = Target { path: &path, dtype: target.dtype };
        write(component.tensors.as_ref(), &metadata, weights, progress)?;
    }
    folder.publish(target.path)
}

/// Writes a single file in the layout of the checkpoint's family, which A1111 and `ComfyUI` read as well.
///
/// The configurations are kept in the file's metadata, where [`Checkpoint::open`] finds them again. Vocabularies are
/// not: they are large, and Stable Diffusion has but one.
///
/// # Errors
/// [`CheckpointError`]: a tensor has no place in the layout, or reading, writing or the user's patience fails.
pub fn save_file(
    checkpoint: &Checkpoint,
    target: Target<'_>,
    progress: &mut dyn Progress,
) -> Result<(), CheckpointError> {
    let layout = original_layout(checkpoint);
    let mut views: Vec<Box<dyn TensorFile + '_>> = Vec::new();
    for (part, component) in &checkpoint.parts {
        let (recipes, leftover) = layout.to_original(*part, &component.tensors.names());
        if let Some(name) = leftover.first() {
            return Err(CheckpointError::NoPlace {
                part: part.folder(),
                n: leftover.len(),
                name: name.clone(),
            });
        }
        views.push(Box::new(Renamed::new(Arc::new(component.tensors.as_ref()), recipes)));
    }
    write(&Union(views), &metadata(checkpoint), target, progress)
}

/// The layout a checkpoint's single file has.
fn original_layout(checkpoint: &Checkpoint) -> &'static Layout {
    let has = |part| checkpoint.parts.contains_key(&part);
    let by_parts = || match (has(Part::TextEncoder), has(Part::TextEncoder2)) {
        (true, true) => &SDXL_BASE,
        (false, true) => &SDXL_REFINER,
        (_, false) => &SD1,
    };
    let found = Layout::find(checkpoint.detection.layout);
    let found = found.or_else(|| Layout::find(detect::original_layout(checkpoint.family())?));
    found.unwrap_or_else(by_parts)
}

fn metadata(checkpoint: &Checkpoint) -> BTreeMap<String, String> {
    let mut model = Map::new();
    for (part, component) in &checkpoint.parts {
        if let Some(config) = &component.config {
            model.insert(part.folder().into(), config.clone());
        }
    }
    let others = [("scheduler", &checkpoint.scheduler), ("model_index", &checkpoint.model_index)];
    for (key, value) in others {
        if let Some(value) = value {
            model.insert(key.into(), value.clone());
        }
    }
    let kept = checkpoint.tokenizer_files.iter();
    let kept = kept.filter(|(path, _)| KEPT_OF_TOKENIZERS.iter().any(|name| path.ends_with(name)));
    let kept = kept.map(|(path, bytes)| (path.clone(), Value::from(String::from_utf8_lossy(bytes))));
    model.insert(TOKENIZERS.into(), Value::Object(kept.collect()));
    let mut metadata = checkpoint.metadata.clone();
    metadata.insert("format".into(), "pt".into());
    metadata.insert(MODEL_KEY.into(), Value::Object(model).to_string());
    let prediction = match checkpoint.detection.prediction {
        crate::Prediction::Epsilon => "epsilon",
        crate::Prediction::Velocity => "v",
    };
    metadata.insert("modelspec.prediction_type".into(), prediction.into());
    metadata
}

/// Writes all tensors of a file, each read when its turn comes.
fn write(
    tensors: &dyn TensorFile,
    metadata: &BTreeMap<String, String>,
    target: Target<'_>,
    progress: &mut dyn Progress,
) -> Result<(), CheckpointError> {
    let stored = |meta: TensorMeta| TensorMeta {
        dtype: target.dtype.filter(|_| is_float(meta.dtype)).unwrap_or(meta.dtype),
        shape: meta.shape,
    };
    let metas = tensors.names().into_iter().filter_map(|name| {
        let meta = stored(tensors.meta(&name)?);
        Some((name, meta))
    });
    let metas: Vec<(String, TensorMeta)> = metas.collect();
    let size = |(_, meta): &(String, TensorMeta)| meta.size_bytes().unwrap_or_default() as u64;
    let name = target.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    progress.begin(&format!("writing {name}"), metas.iter().map(size).sum());
    let read = |name: &str| -> Result<Option<RawTensor>, WeightsFault> {
        progress.check().map_err(|stop| -> WeightsFault { Box::new(Stopped(stop)) })?;
        let Some(tensor) = tensors.read(name)? else {
            return Ok(None);
        };
        let tensor = match target.dtype {
            Some(dtype) if is_float(tensor.meta.dtype) => {
                let converted = tensor.to_dtype(dtype);
                converted.map_err(|error| -> WeightsFault { Box::new(error) })?
            }
            _ => tensor,
        };
        progress.advance(tensor.bytes.len() as u64);
        Ok(Some(tensor))
    };
    Ok(write_safetensors_streaming(target.path, metadata, metas, read)?)
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

fn write_json(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    Ok(write_atomic(path, format!("{value:#}\n").as_bytes())?)
}

/// A folder that goes away unless it is published.
struct UnfinishedFolder(PathBuf);

impl UnfinishedFolder {
    fn beside(path: &Path) -> Self {
        Self(temporary_sibling(path))
    }

    fn publish(self, path: &Path) -> Result<(), CheckpointError> {
        let fail = |source| WriteError { path: path.to_owned(), source };
        Ok(fs::rename(&self.0, path).map_err(fail)?)
    }
}

impl Drop for UnfinishedFolder {
    fn drop(&mut self) {
        // After publishing there is nothing under this name; a failure here has nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
