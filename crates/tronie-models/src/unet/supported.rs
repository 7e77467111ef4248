//! The values of `config.json` that mean a network we have. Every other value is an error, not a guess.

use std::fmt;

use serde_json::{Map, Value};

use super::error::UnetConfigError;

/// The class of diffusers this network is.
pub(super) const CLASS_NAME: &str = "UNet2DConditionModel";

/// Values a key may have. A key that is absent has its default, which is always among them.
enum Supported {
    Null,
    False,
    Number(f64),
    Words(&'static [&'static str]),
    WordsOrNull(&'static [&'static str]),
    ListOf(&'static [&'static str]),
}

/// Keys whose other values change the architecture. `dropout` is not among them: it acts in training only, and
/// neither are `resnet_out_scale_factor`, `resnet_skip_time_act`, `cross_attention_norm` and
/// `mid_block_only_cross_attention`, which the supported blocks do not look at.
const KEYS: &[(&str, Supported)] = &[
    ("_class_name", Supported::Words(&[CLASS_NAME])),
    ("act_fn", Supported::Words(&["silu", "swish"])),
    ("addition_embed_type", Supported::WordsOrNull(&["text_time"])),
    ("attention_type", Supported::Words(&["default"])),
    ("center_input_sample", Supported::False),
    ("class_embed_type", Supported::Null),
    ("class_embeddings_concat", Supported::False),
    ("conv_in_kernel", Supported::Number(3.0)),
    ("conv_out_kernel", Supported::Number(3.0)),
    ("down_block_types", Supported::ListOf(&["CrossAttnDownBlock2D", "DownBlock2D"])),
    ("downsample_padding", Supported::Number(1.0)),
    ("dual_cross_attention", Supported::False),
    ("encoder_hid_dim", Supported::Null),
    ("encoder_hid_dim_type", Supported::Null),
    ("mid_block_type", Supported::WordsOrNull(&["UNetMidBlock2DCrossAttn", "UNetMidBlock2D"])),
    ("mid_block_scale_factor", Supported::Number(1.0)),
    ("num_attention_heads", Supported::Null),
    ("num_class_embeds", Supported::Null),
    ("resnet_time_scale_shift", Supported::Words(&["default"])),
    ("time_cond_proj_dim", Supported::Null),
    ("time_embedding_act_fn", Supported::Null),
    ("time_embedding_type", Supported::Words(&["positional"])),
    ("timestep_post_act", Supported::Null),
    ("up_block_types", Supported::ListOf(&["CrossAttnUpBlock2D", "UpBlock2D"])),
];

/// Fails at the first key of a configuration whose value is not supported.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), UnetConfigError> {
    for (key, supported) in KEYS {
        match config.get(*key) {
            Some(value) if !supported.allows(value) => {
                return Err(UnetConfigError::Unsupported {
                    key,
                    value: value.to_string(),
                    supported: supported.to_string(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

impl Supported {
    fn allows(&self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::False => value.as_bool() == Some(false),
            Self::Number(number) => value.as_f64() == Some(*number),
            Self::Words(words) => is_one_of(value, words),
            Self::WordsOrNull(words) => value.is_null() || is_one_of(value, words),
            Self::ListOf(words) => {
                value.as_array().is_some_and(|values| values.iter().all(|value| is_one_of(value, words)))
            }
        }
    }
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|value| words.contains(&value))
}

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |words: &[&str]| format!("\"{}\"", words.join("\", \""));
        match self {
            Self::Null => f.write_str("null"),
            Self::False => f.write_str("false"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Words(words) => f.write_str(&quoted(words)),
            Self::WordsOrNull(words) => write!(f, "{}, null", quoted(words)),
            Self::ListOf(words) => write!(f, "a list of {}", quoted(words)),
        }
    }
}
