//! What a file of tensors is, told from the names and shapes in it.
//!
//! Stable Diffusion's families differ in three numbers of the UNet: the width of the text it reads, its own base width
//! and the width of its label embedding. One table, `SIGNATURES`, has them; another, `foreign::FOREIGN`, has the files people take for
//! checkpoints and that are something else.
//!
//! Whether a network predicts noise or velocity leaves no trace in names and shapes. It is decided by the first of: the
//! scheduler's configuration, the original `.yaml` beside the file, `modelspec.prediction_type`, a `v_pred` tensor, extra
//! input channels (no such model predicts velocity), for Stable Diffusion 2 the spread of one bias vector, the file's
//! name, and last the family's habit (velocity for Stable Diffusion 2, as diffusers assumes; noise for all others).

mod foreign;
mod prediction;

use std::collections::BTreeMap;

use serde_json::Value;
use tronie_base::{Fault, Faulty};

pub use foreign::Kind;
pub use prediction::Prediction;

use crate::layout::Part;
use crate::{TensorFile, WeightsFault};

/// What a file was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// How its tensors are named: an id of [`LAYOUTS`](crate::LAYOUTS), or `diffusers`.
    pub layout: &'static str,
    /// `sd15`, `sd20_base`, `sd21`, `sdxl_base`, `sdxl_refiner`; `custom` for a Stable Diffusion network of other
    /// measures; `any` for an autoencoder or text encoder alone, which does not tell.
    pub family: &'static str,
    /// Channels the UNet takes: 4, 8 (instructions), 9 (inpainting); `None` without a UNet.
    pub in_channels: Option<usize>,
    /// The networks it has, sorted.
    pub parts: Vec<Part>,
    /// What the UNet predicts.
    pub prediction: Prediction,
    /// Why: one sentence per decision, for people.
    pub evidence: Vec<String>,
}

/// What is known of a file besides its tensors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// Its name, without folder.
    pub file_name: Option<&'a str>,
    /// The metadata in its header.
    pub metadata: Option<&'a BTreeMap<String, String>>,
    /// `scheduler/scheduler_config.json`.
    pub scheduler: Option<&'a Value>,
    /// The text of the original configuration beside it (`v2-inference-v.yaml`).
    pub yaml: Option<&'a str>,
}

/// A file that is no checkpoint of a family tronie knows.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// Something else, and known.
    #[error("this is {what}, not a checkpoint (tensor \"{name}\" tells)")]
    Foreign {
        /// What it is, with its article.
        what: &'static str,
        /// The name that gave it away.
        name: String,
        /// What sort of file that is.
        kind: Kind,
        /// The family of checkpoints an adapter is for, as in [`Detection::family`], with `sd21` for all of Stable
        /// Diffusion 2; `None` where several fit, and for other files.
        family: Option<&'static str>,
        /// Where it belongs.
        advice: &'static str,
    },
    /// Nothing known.
    #[error("none of the {n} tensors belongs to a known network, first \"{name}\"")]
    Unknown {
        /// Number of tensors.
        n: usize,
        /// The first name.
        name: String,
    },
    /// No tensors.
    #[error("the file holds no tensors")]
    Empty,
    /// A tensor that decides could not be read.
    #[error("a tensor that tells the model's kind cannot be read: {cause}")]
    Read {
        /// What the file said.
        cause: WeightsFault,
    },
}

impl Faulty for DetectError {
    fn fault(&self) -> Fault {
        match self {
            Self::Foreign { .. } | Self::Unknown { .. } | Self::Empty => Fault::Input,
            Self::Read { cause } => cause.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { advice, .. } => Some((*advice).into()),
            Self::Unknown { .. } | Self::Empty => Some(
                "tronie reads Stable Diffusion 1.x, 2.x and XL, as a single file or a diffusers folder"
                    .into(),
            ),
            Self::Read { cause } => cause.hint(),
        }
    }
}

/// A row of [`SIGNATURES`].
struct Signature {
    /// The family if the network predicts noise, and if it predicts velocity.
    families: (&'static str, &'static str),
    /// The layout of its single files.
    layout: &'static str,
    /// Width of the text embedding.
    context: usize,
    /// Channels of the first level.
    channels: usize,
    /// Width of what the label embedding takes: pooled text and sizes.
    label: Option<usize>,
    /// Predicts velocity unless something says otherwise.
    velocity: bool,
}

impl Signature {
    fn usual_family(&self) -> &'static str {
        if self.velocity { self.families.1 } else { self.families.0 }
    }
}

/// The families, by three measures of the UNet (from the configurations of the published models).
const SIGNATURES: &[Signature] = &[
    Signature {
        families: ("sd15", "sd15"),
        layout: "ldm_sd1",
        context: 768,
        channels: 320,
        label: None,
        velocity: false,
    },
    Signature {
        families: ("sd20_base", "sd21"),
        layout: "ldm_sd2",
        context: 1024,
        channels: 320,
        label: None,
        velocity: true,
    },
    Signature {
        families: ("sdxl_base", "sdxl_base"),
        layout: "ldm_sdxl_base",
        context: 2048,
        channels: 320,
        label: Some(2816),
        velocity: false,
    },
    Signature {
        families: ("sdxl_refiner", "sdxl_refiner"),
        layout: "ldm_sdxl_refiner",
        context: 1280,
        channels: 384,
        label: Some(2560),
        velocity: false,
    },
];

/// Where a network shows itself: a name only it has, its part, and whether the rest is in diffusers' names.
const PROBES: &[(&str, Part, bool)] = &[
    ("model.diffusion_model.input_blocks.0.0.weight", Part::Unet, false),
    ("first_stage_model.decoder.conv_in.weight", Part::Vae, false),
    ("vae.decoder.conv_in.weight", Part::Vae, false),
    ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", Part::TextEncoder, false),
    ("cond_stage_model.transformer.embeddings.token_embedding.weight", Part::TextEncoder, false),
    ("cond_stage_model.model.token_embedding.weight", Part::TextEncoder, false),
    (
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
        Part::TextEncoder,
        false,
    ),
    ("conditioner.embedders.1.model.token_embedding.weight", Part::TextEncoder2, false),
    ("input_blocks.0.0.weight", Part::Unet, false),
    ("encoder.down.0.block.0.norm1.weight", Part::Vae, false),
    ("decoder.up.0.block.0.norm1.weight", Part::Vae, false),
    ("down_blocks.0.resnets.0.norm1.weight", Part::Unet, true),
    ("encoder.down_blocks.0.resnets.0.norm1.weight", Part::Vae, true),
    ("decoder.up_blocks.0.resnets.0.norm1.weight", Part::Vae, true),
    ("text_model.embeddings.token_embedding.weight", Part::TextEncoder, true),
    ("embeddings.token_embedding.weight", Part::TextEncoder, true),
];

/// SDXL's refiner and Stable Diffusion 2 as sgm saves it: the same name, another part.
const SGM_ONLY_ENCODER: &str = "conditioner.embedders.0.model.token_embedding.weight";

/// Says what a file is.
///
/// # Errors
/// [`DetectError`]: it is something else, or nothing known.
pub fn detect(file: &dyn TensorFile, hints: Hints<'_>) -> Result<Detection, DetectError> {
    let names = file.names();
    let Some(first) = names.first() else {
        return Err(DetectError::Empty);
    };
    foreign::refuse(file, &names)?;
    let has = |name: &str| file.meta(name).is_some();
    let found: Vec<_> = PROBES.iter().filter(|(name, ..)| has(name)).collect();
    if found.is_empty() && !has(SGM_ONLY_ENCODER) {
        foreign::refuse_fragments(file, &names)?;
        foreign::refuse_vectors(file, &names)?;
        return Err(DetectError::Unknown { n: names.len(), name: first.clone() });
    }
    let mut parts: Vec<Part> = found.iter().map(|(_, part, _)| *part).collect();
    let evidence = found.iter().map(|(name, part, _)| format!("\"{name}\": {}", part.folder()));
    let mut detection = Detection {
        layout: "diffusers",
        family: "any",
        in_channels: None,
        parts: Vec::new(),
        prediction: Prediction::Epsilon,
        evidence: evidence.collect(),
    };
    let signature = measure_unet(file, hints, &mut detection)?;
    if has(SGM_ONLY_ENCODER) {
        let second = signature.is_none_or(|row| row.layout != "ldm_sd2");
        parts.push(if second { Part::TextEncoder2 } else { Part::TextEncoder });
    }
    if found.iter().any(|(_, _, diffusers)| !diffusers) || found.is_empty() {
        detection.layout = signature.map_or_else(|| layout_by_encoder(&has), |row| row.layout);
    }
    parts.sort();
    parts.dedup();
    detection.parts = parts;
    Ok(detection)
}

/// The layout of a file whose UNet is missing or of unknown measures.
fn layout_by_encoder(has: &dyn Fn(&str) -> bool) -> &'static str {
    let encoders = [
        ("conditioner.embedders.1.model.token_embedding.weight", "ldm_sdxl_base"),
        (SGM_ONLY_ENCODER, "ldm_sdxl_refiner"),
        ("cond_stage_model.model.token_embedding.weight", "ldm_sd2"),
    ];
    let row = encoders.into_iter().find(|(name, _)| has(name));
    row.map_or("ldm_sd1", |(_, layout)| layout)
}

/// Fills in what the UNet tells: family, channels, prediction. Returns its row, if it has one.
fn measure_unet(
    file: &dyn TensorFile,
    hints: Hints<'_>,
    detection: &mut Detection,
) -> Result<Option<&'static Signature>, DetectError> {
    let spellings = [
        ("model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.label_emb.0.0.weight"),
        ("input_blocks.0.0.weight", "label_emb.0.0.weight"),
        ("conv_in.weight", "add_embedding.linear_1.weight"),
    ];
    let metas = |(conv, label): &(&str, &str)| Some((file.meta(conv)?, file.meta(label)));
    let Some((conv, label)) = spellings.iter().find_map(metas) else {
        return Ok(None);
    };
    let (Some(&channels), Some(&in_channels)) = (conv.shape.first(), conv.shape.get(1)) else {
        return Ok(None);
    };
    let reads_text = |name: &String| name.ends_with(".attn2.to_k.weight") && !name.starts_with("first_stage");
    let context = file.names().into_iter().find(reads_text).and_then(|name| file.meta(&name));
    let context = context.and_then(|meta| meta.shape.get(1).copied()).unwrap_or_default();
    let label = label.and_then(|meta| meta.shape.get(1).copied());
    detection.in_channels = Some(in_channels);
    detection.evidence.push(format!(
        "the UNet reads text of width {context}, is {channels} channels wide and takes {in_channels}"
    ));
    let fits = |row: &&Signature| row.context == context && row.channels == channels && row.label == label;
    let row = SIGNATURES.iter().find(fits);
    if let Some(advice) = foreign::relative(row.map(|row| row.layout), context, in_channels, label) {
        return Err(advice);
    }
    let (prediction, why) =
        prediction::decide(file, hints, in_channels, row.is_some_and(|row| row.velocity))?;
    detection.prediction = prediction;
    detection.evidence.push(why);
    detection.family = match (row, prediction) {
        (Some(row), Prediction::Epsilon) => row.families.0,
        (Some(row), Prediction::Velocity) => row.families.1,
        (None, _) => "custom",
    };
    Ok(row)
}

/// The family whose UNet reads text of this width, by its usual prediction; a width is as good as a name, no two share one.
pub(crate) fn family_of_width(context: usize) -> Option<&'static str> {
    SIGNATURES.iter().find(|row| row.context == context).map(Signature::usual_family)
}

/// The family of a layout, by its usual prediction.
pub(crate) fn family_of_layout(layout: &str) -> Option<&'static str> {
    SIGNATURES.iter().find(|row| row.layout == layout).map(Signature::usual_family)
}

/// The layout of a family's single files.
pub(crate) fn original_layout(family: &str) -> Option<&'static str> {
    let row = SIGNATURES.iter().find(|row| row.families.0 == family || row.families.1 == family);
    row.map(|row| row.layout)
}

/// The prefix an original file's tensors lack when the file holds one network alone (`vae-ft-mse-840000.ckpt`).
pub(crate) fn missing_prefix(file: &dyn TensorFile) -> Option<&'static str> {
    let bare = [
        ("input_blocks.0.0.weight", "model.diffusion_model."),
        ("encoder.down.0.block.0.norm1.weight", "first_stage_model."),
        ("decoder.up.0.block.0.norm1.weight", "first_stage_model."),
    ];
    let row = bare.into_iter().find(|(name, _)| file.meta(name).is_some());
    row.map(|(_, prefix)| prefix)
}

#[cfg(test)]
mod tests;
