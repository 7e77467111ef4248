//! A LoRA, or an adapter of another kind that changes weights: what it does to each module.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::path::Path;

use serde_json::Value;

use super::assemble::{Pieces, assemble};
use super::error::LoraError;
use super::keys::{Key, WRAPPED, refused};
use super::module::LoraModule;
use super::modules::{Modules, Target};
use super::{family, peft};
use crate::source::shown;
use crate::{Part, SafetensorsFile, TensorFile};

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
        let settings = peft::Settings::read(&mut metadata, config)?;
        let mut modules = BTreeMap::new();
        for (target, pieces) in pieces {
            let module = assemble(file, &target, &pieces, &settings)?;
            modules.insert(target, module);
        }
        Ok(Self { modules, family, metadata })
    }

    /// The ranks there are, ascending.
    #[must_use]
    pub fn ranks(&self) -> BTreeSet<usize> {
        self.modules.values().filter_map(LoraModule::rank).collect()
    }

    /// The kinds of change there are, by the field's names.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<&'static str> {
        self.modules.values().map(LoraModule::kind).collect()
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
