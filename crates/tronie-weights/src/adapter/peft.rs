//! PEFT's and diffusers' dialect: dotted paths, `lora_A` and `lora_B`, and the scale in a configuration beside the tensors.
//! Other kinds than LoRA are in PEFT's own files only.
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
use super::lora::Lora;
use super::module::{LoraModule, Product};
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

/// What configurations say that tensors do not.
#[derive(Debug, Default)]
pub(super) struct Settings {
    by_part: BTreeMap<Part, Setting>,
    /// Where the configuration is that of the one network a file is for.
    any: Option<Setting>,
}

/// The same for one network.
#[derive(Debug)]
struct Setting {
    alpha: Patterned,
    rank: Patterned,
    /// Modules whose inputs (IA)³ multiplies, not their outputs.
    feedforward: Vec<Regex>,
}

/// A number, and modules with a number of their own; the first that fits counts.
#[derive(Debug)]
struct Patterned {
    common: Option<f32>,
    patterns: Vec<(Regex, f32)>,
}

impl Settings {
    /// From the metadata, out of which diffusers' entry is taken, and PEFT's configuration.
    pub(super) fn read(
        metadata: &mut BTreeMap<String, String>,
        config: Option<&Value>,
    ) -> Result<Self, LoraError> {
        metadata.remove("format");
        let mut settings =
            Self { any: config.map(|config| Setting::read(config, "")).transpose()?, ..Self::default() };
        let Some(text) = metadata.remove(METADATA_KEY) else {
            return Ok(settings);
        };
        let packed: Value = serde_json::from_str(&text).map_err(|source| LoraError::Json {
            what: format!("the metadata entry {METADATA_KEY}"),
            source,
        })?;
        for part in [Part::Unet, Part::TextEncoder, Part::TextEncoder2] {
            settings.by_part.insert(part, Setting::read(&packed, &format!("{}.", part.folder()))?);
        }
        Ok(settings)
    }

    /// The alpha of a module, where a configuration says it.
    pub(super) fn alpha(&self, target: &Target) -> Option<f32> {
        self.of(target)?.alpha.of(target)
    }

    /// Alpha over rank of a module, where a configuration says both.
    pub(super) fn scale(&self, target: &Target) -> Option<f32> {
        let setting = self.of(target)?;
        setting.alpha.of(target).zip(setting.rank.of(target)).map(|(alpha, rank)| alpha / rank)
    }

    /// Whether (IA)³ multiplies the inputs of a module.
    pub(super) fn is_feedforward(&self, target: &Target) -> bool {
        self.of(target)
            .is_some_and(|setting| setting.feedforward.iter().any(|name| name.is_match(&target.path)))
    }

    fn of(&self, target: &Target) -> Option<&Setting> {
        self.by_part.get(&target.part).or(self.any.as_ref())
    }
}

impl Setting {
    /// The entries of `config` whose keys start with `prefix`.
    fn read(config: &Value, prefix: &str) -> Result<Self, LoraError> {
        let entries = Entries { config, prefix };
        if let Some((key, found)) = entries.get("use_rslora").filter(|(_, value)| **value != json!(false)) {
            return Err(LoraError::Config { key, found: found.to_string(), expected: "false" });
        }
        Ok(Self {
            // LoRA's and DoRA's word, and that of LoHa and LoKr
            alpha: entries.patterned(["lora_alpha", "alpha"], "alpha_pattern")?,
            rank: entries.patterned(["r", "r"], "rank_pattern")?,
            feedforward: entries.feedforward()?,
        })
    }
}

impl Patterned {
    fn of(&self, target: &Target) -> Option<f32> {
        // transformers 5 leaves out the outermost name.
        let short = target.path.strip_prefix("text_model.").unwrap_or(&target.path);
        let fits = |(pattern, _): &&(Regex, f32)| pattern.is_match(&target.path) || pattern.is_match(short);
        self.patterns.iter().find(fits).map(|(_, number)| *number).or(self.common)
    }
}

/// The entries of a configuration whose keys start with a prefix.
struct Entries<'a> {
    config: &'a Value,
    prefix: &'a str,
}

impl<'a> Entries<'a> {
    fn get(&self, key: &str) -> Option<(String, &'a Value)> {
        let key = format!("{}{key}", self.prefix);
        self.config.get(&key).filter(|value| !value.is_null()).map(|value| (key, value))
    }

    /// A number under the first of two names, and the numbers of single modules.
    fn patterned(&self, names: [&str; 2], pattern: &str) -> Result<Patterned, LoraError> {
        let mut patterns = Vec::new();
        if let Some((key, found)) = self.get(pattern) {
            let rows = found.as_object().ok_or_else(|| wrong(&key, found, "names with numbers"))?;
            for (name, value) in rows {
                // As in peft's `get_pattern_key`: the end of the path, from a dot on.
                patterns.push((regex(&key, &format!(r"^(?:.*\.)?(?:{name})$"), name)?, number(&key, value)?));
            }
        }
        let common = names.into_iter().find_map(|name| self.get(name));
        Ok(Patterned { common: common.map(|(key, value)| number(&key, value)).transpose()?, patterns })
    }

    /// As in peft's `IA3Model`: a pattern for whole paths, or ends of paths.
    fn feedforward(&self) -> Result<Vec<Regex>, LoraError> {
        let Some((key, found)) = self.get("feedforward_modules") else { return Ok(Vec::new()) };
        match found {
            Value::String(pattern) => Ok(vec![regex(&key, &format!("^(?:{pattern})$"), pattern)?]),
            Value::Array(names) => {
                let ends = names.iter().map(|name| {
                    let name = name.as_str().ok_or_else(|| wrong(&key, name, "a module's name"))?;
                    regex(&key, &format!("{}$", regex::escape(name)), name)
                });
                ends.collect()
            }
            other => Err(wrong(&key, other, "names of modules, or a pattern")),
        }
    }
}

fn wrong(key: &str, found: &Value, expected: &'static str) -> LoraError {
    LoraError::Config { key: key.to_owned(), found: found.to_string(), expected }
}

fn regex(key: &str, pattern: &str, name: &str) -> Result<Regex, LoraError> {
    Regex::new(pattern).map_err(|_| wrong(key, &json!(name), "a module's name or pattern"))
}

#[expect(clippy::cast_possible_truncation, reason = "an alpha or a rank is used as f32")]
fn number(key: &str, value: &Value) -> Result<f32, LoraError> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| wrong(key, value, "a finite number"))
}

impl Lora {
    /// Writes the file that diffusers' `save_lora_weights` writes, with the configuration `load_lora_weights` takes the
    /// scale from.
    ///
    /// # Errors
    /// [`LoraError`]: a module is in the Tucker form, which PEFT does not know, or of another kind than LoRA and LoCon, or
    /// the file system refuses.
    pub fn save_peft(&self, path: &Path) -> Result<(), LoraError> {
        let mut tensors = BTreeMap::new();
        for (target, module) in &self.modules {
            let Product { down, mid, up } = module.plain(target, "diffusers")?;
            if mid.is_some() {
                let why = "PEFT has no Tucker form";
                return Err(LoraError::NoPlace { target: target.clone(), dialect: "diffusers", why });
            }
            tensors.insert(format!("{target}.lora_A.weight"), down);
            tensors.insert(format!("{target}.lora_B.weight"), up);
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
