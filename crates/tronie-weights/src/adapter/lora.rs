//! A LoRA: for each module it changes, two small matrices whose product is added to the module's weight.
//!
//! Hu et al. 2021 (arXiv:2106.09685): the weight becomes `W + alpha / rank * up * down`. Convolutions do the same with
//! `down` a convolution to `rank` channels and `up` a 1x1 convolution back; `LyCORIS`' Tucker form has a third between them
//! (Yeh et al. 2023, arXiv:2309.14859).

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::path::Path;

use serde_json::Value;

use super::error::LoraError;
use super::keys::{Key, Role, WRAPPED, refused};
use super::modules::{Modules, Target};
use super::{family, peft};
use crate::source::shown;
use crate::{Dtype, Part, RawTensor, SafetensorsFile, TensorFile};

/// A LoRA, whichever dialect it came in. Its tensors are as they were stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// What it changes, and how.
    pub modules: BTreeMap<Target, LoraModule>,
    /// The family of checkpoints it is for, as [`Detection::family`](crate::Detection::family) has it, with `sd21` for all
    /// of Stable Diffusion 2; `None` where several fit, or where the modules were given.
    pub family: Option<&'static str>,
    /// The file's metadata (`ss_*`, `modelspec.*`), without what only describes the dialect.
    pub metadata: BTreeMap<String, String>,
}

/// The change of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraModule {
    /// rank c_in, for a convolution rank c_in kh kw (1 1 in the Tucker form).
    pub down: RawTensor,
    /// rank rank kh kw, in the Tucker form only.
    pub mid: Option<RawTensor>,
    /// c_out rank, for a convolution c_out rank 1 1.
    pub up: RawTensor,
    /// The product is multiplied by this over the rank. A file that does not say means the rank.
    pub alpha: f32,
}

impl LoraModule {
    /// Inner dimension of the product; at least 1.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.down.meta.shape.first().copied().unwrap_or_default()
    }
}

/// The tensors of one module, by what they are.
type Pieces = BTreeMap<Role, String>;

impl Lora {
    /// Opens a LoRA file of any dialect and reads it whole. Beside a file that PEFT wrote lies `adapter_config.json`.
    ///
    /// `modules` are those of the model it is for; without them the family is told from the file.
    ///
    /// # Errors
    /// [`LoraError`]: it cannot be read, is no LoRA, or breaks a rule; the tensor or module is named.
    pub fn open(path: &Path, modules: Option<&Modules>) -> Result<Self, LoraError> {
        let (file, metadata): (Box<dyn TensorFile>, _) = match SafetensorsFile::open(path) {
            Ok(file) => {
                let metadata = file.metadata().clone();
                (Box::new(file), metadata)
            }
            Err(_) => (crate::open(path)?, BTreeMap::new()),
        };
        let is_wrapped = file.names().iter().any(|name| name.starts_with(WRAPPED));
        let config = if is_wrapped { Some(peft::read_config(path)?) } else { None };
        Self::read(file.as_ref(), metadata, config.as_ref(), modules)
    }

    /// Reads a LoRA from tensors, their file's metadata, and PEFT's `adapter_config.json` where there is one.
    ///
    /// # Errors
    /// See [`Lora::open`].
    pub fn read(
        file: &dyn TensorFile,
        mut metadata: BTreeMap<String, String>,
        config: Option<&Value>,
        modules: Option<&Modules>,
    ) -> Result<Self, LoraError> {
        let names = file.names();
        if names.is_empty() {
            return Err(LoraError::Empty);
        }
        if let Some((kind, name)) = names.iter().find_map(|name| Some((refused(name)?, name))) {
            return Err(LoraError::Kind { kind, name: shown(name) });
        }
        let chosen = modules.is_none().then(|| family::choose(file));
        let family = chosen.as_ref().and_then(|choice| choice.family);
        let known = chosen.as_ref().map(|choice| &choice.modules).or(modules);
        let pieces = sort(&names, known)?;
        let scales = peft::Scales::read(&mut metadata, config)?;
        let mut modules = BTreeMap::new();
        for (target, pieces) in pieces {
            let module = assemble(file, &target, &pieces, &scales)?;
            modules.insert(target, module);
        }
        Ok(Self { modules, family, metadata })
    }

    /// The ranks there are, ascending.
    #[must_use]
    pub fn ranks(&self) -> BTreeSet<usize> {
        self.modules.values().map(LoraModule::rank).collect()
    }

    /// Number of modules it changes in each network it changes at all.
    #[must_use]
    pub fn n_modules(&self) -> BTreeMap<Part, usize> {
        let mut counts = BTreeMap::new();
        for target in self.modules.keys() {
            *counts.entry(target.part).or_default() += 1;
        }
        counts
    }
}

/// Every tensor's name at its module.
fn sort(names: &[String], modules: Option<&Modules>) -> Result<BTreeMap<Target, Pieces>, LoraError> {
    let mut sorted: BTreeMap<Target, Pieces> = BTreeMap::new();
    let mut unmatched = Vec::new();
    for name in names {
        let key = Key::parse(name);
        let targets = key.as_ref().zip(modules).map(|(key, modules)| key.targets(modules));
        match (key, targets.unwrap_or_default().as_slice()) {
            (Some(key), [target]) => {
                match sorted.entry(target.clone()).or_default().entry(key.role) {
                    Entry::Vacant(slot) => drop(slot.insert(name.clone())),
                    Entry::Occupied(slot) => {
                        let (first, second) = (shown(slot.get()), shown(name));
                        return Err(LoraError::Twice { target: target.clone(), first, second });
                    }
                };
            }
            (Some(_), [first, second, ..]) => {
                let (first, second) = (first.clone(), second.clone());
                return Err(LoraError::Ambiguous { name: shown(name), first, second });
            }
            _ => unmatched.push(shown(name)),
        }
    }
    if unmatched.is_empty() {
        return Ok(sorted);
    }
    let n = unmatched.len();
    unmatched.truncate(LoraError::MOST_NAMES);
    Err(LoraError::Unmatched { n, n_all: names.len(), first: unmatched })
}

/// Reads and checks the tensors of a module.
fn assemble(
    file: &dyn TensorFile,
    target: &Target,
    pieces: &Pieces,
    scales: &peft::Scales,
) -> Result<LoraModule, LoraError> {
    let read = |role: Role| -> Result<Option<RawTensor>, LoraError> {
        let Some(name) = pieces.get(&role) else { return Ok(None) };
        file.read(name).map_err(|cause| LoraError::Read { name: shown(name), cause })
    };
    let required = |role: Role| {
        read(role)?.ok_or_else(|| LoraError::Incomplete {
            target: target.clone(),
            missing: role.kohya(),
            found: pieces.values().map(|name| shown(name)).collect(),
        })
    };
    let (down, up, mid) = (required(Role::Down)?, required(Role::Up)?, read(Role::Mid)?);
    check(target, &down, &up, mid.as_ref())?;
    let mut module = LoraModule { down, mid, up, alpha: 0.0 };
    module.alpha = match read(Role::Alpha)? {
        Some(alpha) => scalar(&alpha).ok_or_else(|| LoraError::Alpha {
            target: target.clone(),
            dtype: alpha.meta.dtype,
            shape: alpha.meta.shape.clone(),
        })?,
        None => scales.alpha(target).unwrap_or_else(|| module.rank() as f32),
    };
    Ok(module)
}

/// Shapes must make a product, and numbers must be floating point.
fn check(
    target: &Target,
    down: &RawTensor,
    up: &RawTensor,
    mid: Option<&RawTensor>,
) -> Result<(), LoraError> {
    let floats = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
    for tensor in [Some(down), Some(up), mid].into_iter().flatten() {
        let found = tensor.meta.dtype;
        if !floats.contains(&found) {
            return Err(LoraError::Dtype { target: target.clone(), found });
        }
    }
    let shape = |tensor: &RawTensor| tensor.meta.shape.clone();
    let fits = match (down.meta.shape.as_slice(), up.meta.shape.as_slice(), mid.map(shape).as_deref()) {
        ([rank, _], [_, inner], None) => *rank > 0 && rank == inner,
        ([rank, _, _, _], [_, inner, 1, 1], None) => *rank > 0 && rank == inner,
        ([rank, _, 1, 1], [_, inner, 1, 1], Some([to, from, _, _])) => {
            *rank > 0 && rank == from && inner == to && rank == inner
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(LoraError::Shapes { target: target.clone(), down: shape(down), mid: mid.map(shape), up: shape(up) })
}

/// The number in a tensor of one number of any type; `None` for more, none, or no number at all.
fn scalar(tensor: &RawTensor) -> Option<f32> {
    let number = match (tensor.meta.dtype, tensor.bytes.as_slice()) {
        (Dtype::I64, bytes) => i64::from_le_bytes(bytes.try_into().ok()?) as f32,
        (Dtype::I32, bytes) => i32::from_le_bytes(bytes.try_into().ok()?) as f32,
        (Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16, _) => {
            let single = tensor.to_dtype(Dtype::F32).ok()?;
            f32::from_le_bytes(single.bytes.as_slice().try_into().ok()?)
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}
