//! PEFT's and diffusers' dialect: dotted paths, `lora_A` and `lora_B`, and the scale in a configuration beside the tensors.
//!
//! Names: diffusers `loaders/lora_pipeline.py` (`save_lora_weights`). Scale: `LoraConfig` of peft
//! (`tuners/lora/config.py`), which diffusers keeps as JSON in the file's metadata (`loaders/lora_base.py`), its entries
//! prefixed with the network's folder name, and PEFT itself in `adapter_config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::{Value, json};

use super::error::LoraError;
use super::kohya;
use super::lora::{Lora, LoraModule};
use super::modules::Target;
use crate::layout::Part;
use crate::write_safetensors_streaming;

/// diffusers' entry in a file's metadata.
const METADATA_KEY: &str = "lora_adapter_metadata";

/// The configuration PEFT writes beside its weights.
pub(super) fn read_config(weights: &Path) -> Result<Value, LoraError> {
    let path = weights.with_file_name("adapter_config.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LoraError::ConfigFile { path, source }),
    };
    serde_json::from_str(&text).map_err(|source| LoraError::Json { what: path.display().to_string(), source })
}

/// What configurations say about alpha.
#[derive(Debug, Default)]
pub(super) struct Scales {
    by_part: BTreeMap<Part, Scale>,
    /// Where the configuration is that of the one network a file is for.
    any: Option<Scale>,
}

#[derive(Debug)]
struct Scale {
    alpha: Option<f32>,
    /// Modules with an alpha of their own; the first that fits counts.
    patterns: Vec<(Regex, f32)>,
}

impl Scales {
    /// From the metadata, out of which diffusers' entry is taken, and PEFT's configuration.
    pub(super) fn read(
        metadata: &mut BTreeMap<String, String>,
        config: Option<&Value>,
    ) -> Result<Self, LoraError> {
        metadata.remove("format");
        let mut scales =
            Self { any: config.map(|config| Scale::read(config, "")).transpose()?, ..Self::default() };
        let Some(text) = metadata.remove(METADATA_KEY) else {
            return Ok(scales);
        };
        let packed: Value = serde_json::from_str(&text).map_err(|source| LoraError::Json {
            what: format!("the metadata entry {METADATA_KEY}"),
            source,
        })?;
        for part in [Part::Unet, Part::TextEncoder, Part::TextEncoder2] {
            scales.by_part.insert(part, Scale::read(&packed, &format!("{}.", part.folder()))?);
        }
        Ok(scales)
    }

    /// The alpha of a module, where a configuration says it.
    pub(super) fn alpha(&self, target: &Target) -> Option<f32> {
        let scale = self.by_part.get(&target.part).or(self.any.as_ref())?;
        // transformers 5 leaves out the outermost name.
        let short = target.path.strip_prefix("text_model.").unwrap_or(&target.path);
        let fits = |(pattern, _): &&(Regex, f32)| pattern.is_match(&target.path) || pattern.is_match(short);
        scale.patterns.iter().find(fits).map(|(_, alpha)| *alpha).or(scale.alpha)
    }
}

impl Scale {
    /// The entries of `config` whose keys start with `prefix`.
    fn read(config: &Value, prefix: &str) -> Result<Self, LoraError> {
        let entry = |key: &str| {
            let key = format!("{prefix}{key}");
            config.get(&key).filter(|value| !value.is_null()).map(|value| (key, value))
        };
        for key in ["use_dora", "use_rslora"] {
            if let Some((key, found)) = entry(key).filter(|(_, value)| **value != json!(false)) {
                return Err(LoraError::Config { key, found: found.to_string(), expected: "false" });
            }
        }
        let mut patterns = Vec::new();
        if let Some((key, found)) = entry("alpha_pattern") {
            let wrong = |found: &Value, expected| LoraError::Config {
                key: key.clone(),
                found: found.to_string(),
                expected,
            };
            let rows = found.as_object().ok_or_else(|| wrong(found, "names with numbers"))?;
            for (name, value) in rows {
                // As in peft's `get_pattern_key`: the end of the path, from a dot on.
                let pattern = Regex::new(&format!(r"^(?:.*\.)?(?:{name})$"));
                let pattern = pattern.map_err(|_| wrong(&json!(name), "a module's name or pattern"))?;
                patterns.push((pattern, number(&key, value)?));
            }
        }
        let alpha = entry("lora_alpha").map(|(key, value)| number(&key, value)).transpose()?;
        Ok(Self { alpha, patterns })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an alpha is used as f32")]
fn number(key: &str, value: &Value) -> Result<f32, LoraError> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| LoraError::Config {
        key: key.to_owned(),
        found: value.to_string(),
        expected: "a finite number",
    })
}

impl Lora {
    /// Writes the file that diffusers' `save_lora_weights` writes, with the configuration `load_lora_weights` takes the
    /// scale from.
    ///
    /// # Errors
    /// [`LoraError`]: a module is in the Tucker form, which PEFT does not know, or the file system refuses.
    pub fn save_peft(&self, path: &Path) -> Result<(), LoraError> {
        let mut tensors = BTreeMap::new();
        for (target, module) in &self.modules {
            if module.mid.is_some() {
                let why = "PEFT has no Tucker form";
                return Err(LoraError::NoPlace { target: target.clone(), dialect: "diffusers", why });
            }
            tensors.insert(format!("{target}.lora_A.weight"), &module.down);
            tensors.insert(format!("{target}.lora_B.weight"), &module.up);
        }
        let mut metadata = self.metadata.clone();
        kohya::remove_hashes(&mut metadata);
        metadata.insert("format".into(), "pt".into());
        metadata.insert(METADATA_KEY.into(), format!("{:#}", self.config()));
        let metas = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.meta.clone()));
        let read = |name: &str| Ok(tensors.get(name).map(|tensor| (*tensor).clone()));
        Ok(write_safetensors_streaming(path, &metadata, metas.collect(), read)?)
    }

    /// The fields of `LoraConfig` that a loader needs, for every network.
    fn config(&self) -> Value {
        let mut config = BTreeMap::new();
        for part in self.n_modules().into_keys() {
            let modules = || self.modules.iter().filter(|(target, _)| target.part == part);
            let rank = most_common(modules().map(|(_, module)| json!(module.rank())));
            let alpha = most_common(modules().map(|(_, module)| alpha_json(module)));
            let own = |common: &Value, value: &dyn Fn(&LoraModule) -> Value| {
                let differing = modules().map(|(target, module)| (name(target), value(module)));
                Value::Object(differing.filter(|(_, value)| value != common).collect())
            };
            let entries = [
                ("rank_pattern", own(&rank, &|module| json!(module.rank()))),
                ("alpha_pattern", own(&alpha, &alpha_json)),
                ("target_modules", modules().map(|(target, _)| name(target)).collect()),
                ("r", rank),
                ("lora_alpha", alpha),
            ];
            config.extend(entries.map(|(key, value)| (format!("{}.{key}", part.folder()), value)));
        }
        json!(config)
    }
}

/// A module's name in a configuration: PEFT compares the ends of paths, so this fits with transformers 4 and 5.
fn name(target: &Target) -> String {
    target.path.strip_prefix("text_model.").unwrap_or(&target.path).to_owned()
}

/// Whole numbers without a decimal point, as people give them to `LoraConfig`.
#[expect(clippy::cast_possible_truncation, reason = "the number is whole and small")]
fn alpha_json(module: &LoraModule) -> Value {
    const EXACT: f32 = 16_777_216.0;
    let alpha = module.alpha;
    if alpha.fract() == 0.0 && alpha.abs() <= EXACT { json!(alpha as i32) } else { json!(f64::from(alpha)) }
}

/// The value that occurs most often, of several the first.
fn most_common(values: impl Iterator<Item = Value>) -> Value {
    let mut counts: Vec<(Value, usize)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, n)) => *n += 1,
            None => counts.push((value, 1)),
        }
    }
    counts.into_iter().rev().max_by_key(|(_, n)| *n).map_or(Value::Null, |(value, _)| value)
}
