//! The state of a run in one file: parameters, what the optimizer remembers, the moving average, the step.
//!
//! A run that continues from it goes on bit for bit: everything random is a function of the seed and the step, so there is
//! no generator to keep.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tronie_weights::{
    Dtype, RawTensor, SafetensorsFile, TensorFile as _, TensorMeta, write_safetensors_streaming,
};

use crate::optimizer::{Shared, State, StateTensor};
use crate::parameters::{Parameters, Values};
use crate::{Ema, EmaOptions, TrainError};

/// Where a run folder has its checkpoints.
pub(crate) const FOLDER: &str = "checkpoints";
const STEP: &str = "step";

/// Everything that changes from step to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progressed {
    /// Steps taken.
    pub(crate) step: u64,
    pub(crate) parameters: Parameters,
    /// By parameter.
    pub(crate) states: BTreeMap<String, State>,
    pub(crate) shared: Shared,
    /// The moving average, where the recipe wants one.
    pub(crate) average: Option<Ema>,
}

impl Progressed {
    /// Writes it into a run folder and removes all but the newest `keep`.
    pub(crate) fn save(&self, run: &Path, keep: usize) -> Result<(), TrainError> {
        let path = run.join(FOLDER).join(format!("step-{:08}.safetensors", self.step));
        let tensors = self.tensors();
        let metas = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.meta()));
        let metadata = BTreeMap::from([(STEP.to_owned(), self.step.to_string())]);
        write_safetensors_streaming(&path, &metadata, metas.collect(), |name| {
            Ok(tensors.get(name).map(Borrowed::raw))
        })?;
        let all = all(run);
        for old in all.iter().take(all.len().saturating_sub(keep)) {
            // One that cannot be removed is in nobody's way.
            let _ = fs::remove_file(old);
        }
        Ok(())
    }

    /// The newest state of a run folder, `None` where there is none. `ema` are the options of its moving average.
    pub(crate) fn newest(run: &Path, ema: Option<EmaOptions>) -> Result<Option<Self>, TrainError> {
        all(run).last().map(|path| Self::read(path, ema)).transpose()
    }

    fn tensors(&self) -> BTreeMap<String, Borrowed<'_>> {
        let mut tensors = BTreeMap::new();
        for (name, Values { shape, values }) in &self.parameters.0 {
            tensors.insert(format!("parameter/{name}"), Borrowed::F32(shape, values));
            if let Some(average) = self.average.as_ref().and_then(|ema| ema.averages.get(name)) {
                tensors.insert(format!("average/{name}"), Borrowed::F32(shape, average));
            }
        }
        for (name, state) in &self.states {
            for (key, StateTensor { shape, values }) in &state.floats {
                tensors.insert(format!("state/{name}/{key}"), Borrowed::F32(shape, values));
            }
            for (key, StateTensor { shape, values }) in &state.codes {
                tensors.insert(format!("codes/{name}/{key}"), Borrowed::U8(shape, values));
            }
        }
        for (key, number) in &self.shared.numbers {
            tensors.insert(format!("shared/{key}"), Borrowed::F64(*number));
        }
        tensors
    }

    fn read(path: &Path, ema: Option<EmaOptions>) -> Result<Self, TrainError> {
        let problem = |problem: String| TrainError::Stored { path: path.to_owned(), problem };
        let file = SafetensorsFile::open(path).map_err(|error| problem(error.to_string()))?;
        let step = file.metadata().get(STEP).and_then(|step| step.parse().ok());
        let step = step.ok_or_else(|| problem("it does not say its step".to_owned()))?;
        let average = ema.map(|options| Ema { options, n_steps: step, averages: BTreeMap::new() });
        let mut read = Self {
            step,
            parameters: Parameters::default(),
            states: BTreeMap::new(),
            shared: Shared::default(),
            average,
        };
        for name in file.names() {
            let raw = file.read(&name).map_err(|error| problem(error.to_string()))?;
            let raw = raw.ok_or_else(|| problem(format!("tensor \"{name}\" is not there")))?;
            if !read.insert(&name, raw) {
                return Err(problem(format!("tensor \"{name}\" belongs to no state of a run")));
            }
        }
        Ok(read)
    }

    /// Puts a tensor of a file where it belongs; false if it belongs nowhere.
    fn insert(
        &mut self,
        name: &str,
        RawTensor { meta: TensorMeta { dtype, shape }, bytes }: RawTensor,
    ) -> bool {
        let mut words = name.split('/');
        match (words.next(), words.next(), words.next(), dtype) {
            (Some("parameter"), Some(name), None, Dtype::F32) => {
                let values = f32s(&bytes);
                self.parameters.0.insert(name.to_owned(), Values { shape, values });
            }
            (Some("average"), Some(name), None, Dtype::F32) => match &mut self.average {
                Some(average) => _ = average.averages.insert(name.to_owned(), f32s(&bytes)),
                None => return false,
            },
            (Some("state"), Some(name), Some(key), Dtype::F32) => {
                let state = self.states.entry(name.to_owned()).or_default();
                state.floats.insert(key.to_owned(), StateTensor { shape, values: f32s(&bytes) });
            }
            (Some("codes"), Some(name), Some(key), Dtype::U8) => {
                let state = self.states.entry(name.to_owned()).or_default();
                state.codes.insert(key.to_owned(), StateTensor { shape, values: bytes });
            }
            (Some("shared"), Some(key), None, Dtype::F64) => match bytes.try_into() {
                Ok(bytes) => {
                    self.shared.numbers.insert(key.to_owned(), f64::from_le_bytes(bytes));
                }
                Err(_) => return false,
            },
            _ => return false,
        }
        true
    }
}

/// A tensor of the state, on its way into a file.
enum Borrowed<'a> {
    F32(&'a [usize], &'a [f32]),
    U8(&'a [usize], &'a [u8]),
    F64(f64),
}

impl Borrowed<'_> {
    fn meta(&self) -> TensorMeta {
        match self {
            Self::F32(shape, _) => TensorMeta { dtype: Dtype::F32, shape: shape.to_vec() },
            Self::U8(shape, _) => TensorMeta { dtype: Dtype::U8, shape: shape.to_vec() },
            Self::F64(_) => TensorMeta { dtype: Dtype::F64, shape: Vec::new() },
        }
    }

    fn raw(&self) -> RawTensor {
        let bytes = match self {
            Self::F32(_, values) => values.iter().copied().flat_map(f32::to_le_bytes).collect(),
            Self::U8(_, codes) => codes.to_vec(),
            Self::F64(number) => number.to_le_bytes().to_vec(),
        };
        RawTensor { meta: self.meta(), bytes }
    }
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()
}

/// The checkpoints of a run folder, oldest first. Their names sort by step.
fn all(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join(FOLDER)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_checkpoint(path)).collect();
    paths.sort();
    paths
}

fn is_checkpoint(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("step-") && name.ends_with(".safetensors")
}
