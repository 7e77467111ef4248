//! kohya's dialect: underscores, `lora_down` and `lora_up`, and an `alpha` for every module.
//!
//! Names and metadata: kohya-ss/sd-scripts, `networks/lora.py` (`LoRANetwork`), `train_network.py`,
//! `networks/resize_lora.py` ("Dynamic"), hashes: `library/train_util.py` (`precalculate_safetensors_hashes`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::LoraError;
use super::keys::Role;
use super::lora::Lora;
use super::module::{LoraModule, Product, WeightChange};
use super::modules::{Modules, Target, flat};
use crate::layout::Part;
use crate::write::{WriteTensorsError, header, layout};
use crate::{Dtype, RawTensor, TensorMeta, write_safetensors_streaming};
use tronie_base::hex;

/// Hashes of a file's tensors, which other programs find a LoRA by.
const MODEL_HASH: &str = "sshs_model_hash";
const LEGACY_HASH: &str = "sshs_legacy_hash";

impl Lora {
    /// Writes the file that kohya's trainer writes for a model with these modules. Its metadata is completed with the
    /// network's kind, rank and alpha where they are not given, and with the hashes.
    ///
    /// # Errors
    /// [`LoraError`]: a module is not among `modules` or changes in another way than a LoRA's or LoCon's, or the file
    /// system refuses.
    pub fn save_kohya(&self, path: &Path, modules: &Modules) -> Result<(), LoraError> {
        let mut tensors = BTreeMap::new();
        for (target, module) in &self.modules {
            let name = name(target, modules)?;
            let Product { down, mid, up } = module.plain(target, "kohya")?;
            let mid = mid.as_ref().map(|mid| (Role::Mid, Cow::Borrowed(mid)));
            let alpha = alpha(module.alpha, down.meta.dtype);
            let rest = [
                (Role::Down, Cow::Borrowed(down)),
                (Role::Up, Cow::Borrowed(up)),
                (Role::Alpha, Cow::Owned(alpha)),
            ];
            let pieces = mid.into_iter().chain(rest);
            tensors.extend(pieces.map(|(role, tensor)| (format!("{name}.{}", role.kohya()), tensor)));
        }
        let mut metadata = self.metadata.clone();
        remove_hashes(&mut metadata);
        let ranks = self.ranks().into_iter().map(|rank| rank.to_string());
        let alphas = self.modules.values().map(|module| format!("{:?}", module.alpha));
        let facts = [
            ("ss_network_module", "networks.lora".to_owned()),
            ("ss_network_dim", the_one(ranks)),
            ("ss_network_alpha", the_one(alphas)),
        ];
        for (key, value) in facts {
            metadata.entry(key.to_owned()).or_insert(value);
        }
        let [model, legacy] = hashes(&metadata, &tensors)?;
        metadata.insert(MODEL_HASH.to_owned(), model);
        metadata.insert(LEGACY_HASH.to_owned(), legacy);
        let metas = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.meta.clone())).collect();
        let read = |name: &str| Ok(tensors.get(name).map(|tensor| tensor.clone().into_owned()));
        Ok(write_safetensors_streaming(path, &metadata, metas, read)?)
    }
}

impl LoraModule {
    /// Its two or three factors, where it is a LoRA or LoCon and nothing else: this is what programs write, other kinds are
    /// read from what others made.
    pub(super) fn plain(&self, target: &Target, dialect: &'static str) -> Result<&Product, LoraError> {
        match self {
            Self { weight: Some(WeightChange::LowRank(product)), magnitude: None, bias: None, .. } => {
                Ok(product)
            }
            _ => {
                let why = "only LoRA and LoCon are written";
                Err(LoraError::NoPlace { target: target.clone(), dialect, why })
            }
        }
    }
}

/// How a module is spelled. A model with a second text encoder (SDXL) is trained on LDM's UNet and has its text encoders
/// numbered; others are trained on diffusers'.
fn name(target: &Target, modules: &Modules) -> Result<String, LoraError> {
    let is_numbered = modules.numbers_text_encoders();
    let spelled = modules.find(target.part, &target.path).and_then(|_| {
        Some(match target.part {
            Part::Unet if is_numbered => format!("lora_unet_{}", flat(modules.original(&target.path)?)),
            Part::Unet => format!("lora_unet_{}", flat(&target.path)),
            Part::TextEncoder if is_numbered => format!("lora_te1_{}", flat(&target.path)),
            Part::TextEncoder => format!("lora_te_{}", flat(&target.path)),
            Part::TextEncoder2 => format!("lora_te2_{}", flat(&target.path)),
            Part::Vae => return None,
        })
    });
    spelled.ok_or_else(|| LoraError::NoPlace {
        target: target.clone(),
        dialect: "kohya",
        why: "the model has no such module",
    })
}

/// Alpha in the type of the weights, as the trainer saves it, unless that type cannot hold it.
fn alpha(alpha: f32, dtype: Dtype) -> RawTensor {
    let meta = TensorMeta { dtype: Dtype::F32, shape: Vec::new() };
    let exact = RawTensor { meta, bytes: alpha.to_le_bytes().to_vec() };
    let stored = exact.to_dtype(dtype).ok();
    let holds = |stored: &RawTensor| stored.to_dtype(Dtype::F32).as_ref() == Ok(&exact);
    stored.filter(holds).unwrap_or(exact)
}

/// The only value, or kohya's word for several.
fn the_one(values: impl Iterator<Item = String>) -> String {
    let values: BTreeSet<String> = values.collect();
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(only), None) => only,
        _ => "Dynamic".to_owned(),
    }
}

/// Takes out what describes the bytes of another file.
pub(super) fn remove_hashes(metadata: &mut BTreeMap<String, String>) {
    metadata.retain(|key, _| key != MODEL_HASH && key != LEGACY_HASH);
}

/// The hash of all tensors' bytes, and that of 64 KiB at 1 MiB of the file, cut to eight digits: both of a file whose
/// metadata is the `ss_*` entries alone.
fn hashes(
    metadata: &BTreeMap<String, String>,
    tensors: &BTreeMap<String, Cow<'_, RawTensor>>,
) -> Result<[String; 2], WriteTensorsError> {
    const WINDOW: std::ops::Range<usize> = 0x10_0000..0x11_0000;
    let own = metadata.iter().filter(|(key, _)| key.starts_with("ss_"));
    let own = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    let metas = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.meta.clone()));
    let rows = layout(metas.collect())?;
    let header = header(&own, &rows)?;
    let (mut whole, mut window) = (Sha256::new(), Sha256::new());
    let mut start = 0;
    let mut see = |bytes: &[u8]| {
        let from = WINDOW.start.saturating_sub(start).min(bytes.len());
        let to = WINDOW.end.saturating_sub(start).min(bytes.len());
        window.update(bytes.get(from..to).unwrap_or_default());
        start += bytes.len();
    };
    see(&(header.len() as u64).to_le_bytes());
    see(&header);
    for tensor in rows.iter().filter_map(|row| tensors.get(&row.name)) {
        whole.update(&tensor.bytes);
        see(&tensor.bytes);
    }
    let mut legacy = hex(&window.finalize());
    legacy.truncate(8);
    Ok([hex(&whole.finalize()), legacy])
}
