//! A model from the configuration files of a folder in diffusers' layout.

use serde::Deserialize;
use serde_json::Value;

use super::{
    AddedIds, Defaults, LatentSpace, ModelSpec, PAD_WITH_END, PAD_WITH_ZERO, TextStack, UnetInput, scheduler,
};
use crate::clip::ClipConfig;
use crate::config::{ConfigError, choose, parse, require};
use crate::vae::VaeConfig;
use crate::{AdditionEmbedType, PerBlock, UnetConfig};

pub(super) const INDEX: &str = "model_index.json";
pub(super) const UNET: &str = "unet/config.json";
const TOKENIZER: &str = "a tokenizer's configuration";
/// What fills up a chunk, by the token and by its id.
pub(super) const PADS: [(&str, i64); 2] = [("<|endoftext|>", PAD_WITH_END), ("!", PAD_WITH_ZERO)];

/// The texts of the files of one text tower and its tokenizer.
#[derive(Debug, Clone, Copy)]
pub struct TextPart<'a> {
    /// `text_encoder/config.json`
    pub config: &'a str,
    /// `tokenizer/tokenizer_config.json`
    pub tokenizer_config: Option<&'a str>,
    /// `tokenizer/special_tokens_map.json`, which newer folders do not have.
    pub special_tokens: Option<&'a str>,
}

/// The texts of a folder's configuration files.
#[derive(Debug, Clone, Copy)]
pub struct DiffusersFolder<'a> {
    /// `model_index.json`
    pub model_index: &'a str,
    /// `unet/config.json`
    pub unet: &'a str,
    /// `vae/config.json`
    pub vae: &'a str,
    /// `scheduler/scheduler_config.json`
    pub scheduler: &'a str,
    /// `text_encoder` and `tokenizer`; the SDXL refiner has none.
    pub text_encoder: Option<TextPart<'a>>,
    /// `text_encoder_2` and `tokenizer_2`: SDXL.
    pub text_encoder_2: Option<TextPart<'a>>,
}

impl ModelSpec {
    /// Reads a model of any size off its folder's configuration files; the files decide, not its name.
    ///
    /// # Errors
    /// [`ConfigError`] when a file is broken, asks for what tronie cannot do, or does not fit the others.
    pub fn from_diffusers(folder: &DiffusersFolder<'_>) -> Result<Self, ConfigError> {
        let index: Index = parse(INDEX, folder.model_index)?;
        let unet = UnetConfig::from_json(folder.unet)?;
        let vae = VaeConfig::from_json(folder.vae)?;
        let training = scheduler::training(folder.scheduler)?;

        let takes_pooled = unet.addition_embed_type == Some(AdditionEmbedType::TextTime);
        let parts = [folder.text_encoder, folder.text_encoder_2].map(|part| part.map(text_part).transpose());
        let [first, second] = parts;
        let text = TextStack::of_folder([first?, second?], takes_pooled);
        if text.encoders.is_empty() {
            return Err(ConfigError::PartMissing { part: "text_encoder", needed_by: index.class_name });
        }
        check_context(&unet, &text)?;
        let latents = LatentSpace::of(&vae);
        Ok(Self {
            id: "custom",
            input: input(&unet, latents.n_channels)?,
            added: added(&unet, &text)?,
            // an SDXL pipeline's default for a key that its index may lack
            zero_for_empty_negative: index.force_zeros_for_empty_prompt.unwrap_or(takes_pooled),
            training,
            align_your_steps: if takes_pooled { "align_your_steps_sdxl" } else { "align_your_steps" },
            defaults: Defaults::square(unet.sample_size.unwrap_or(64) * latents.factor),
            latents,
            text,
            unet,
            vae,
        })
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(rename = "_class_name", default)]
    class_name: String,
    force_zeros_for_empty_prompt: Option<bool>,
}

/// A tower's configuration and the id its texts are filled up with.
fn text_part(part: TextPart<'_>) -> Result<(ClipConfig, i64), ConfigError> {
    let config = ClipConfig::from_json(part.config)?;
    let tokenizer: Value = part.tokenizer_config.map_or(Ok(Value::Null), |text| parse(TOKENIZER, text))?;
    let map: Value = part.special_tokens.map_or(Ok(Value::Null), |text| parse(TOKENIZER, text))?;
    // As transformers: the map rules, unless the configuration is of the kind that made it obsolete.
    let obsolete = tokenizer.get("added_tokens_decoder").is_some();
    let order = if obsolete { [&tokenizer, &map] } else { [&map, &tokenizer] };
    let token = order.into_iter().find_map(|file| file.get("pad_token").and_then(token_text));
    let found = ("pad_token", token.unwrap_or("<|endoftext|>"));
    let pad_token = choose(TOKENIZER, found, &PADS, "<|endoftext|> or !")?;
    Ok((config, pad_token))
}

/// A special token is a string, or an object that has it as `content`.
fn token_text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn check_context(unet: &UnetConfig, text: &TextStack) -> Result<(), ConfigError> {
    let wanted = text.d_context();
    let fits = match &unet.cross_attention_dim {
        PerBlock::One(d) => *d == wanted,
        PerBlock::Each(widths) => widths.iter().all(|d| *d == wanted),
    };
    let found = ("cross_attention_dim", &unet.cross_attention_dim);
    require(fits, UNET, found, "the width of the text encoders together")
}

pub(super) fn input(unet: &UnetConfig, n_latent: usize) -> Result<UnetInput, ConfigError> {
    if unet.in_channels == n_latent {
        return Ok(UnetInput::Latents);
    }
    let found = ("in_channels", unet.in_channels);
    let expected = "the autoencoder's latent_channels, or twice that and one (inpainting)";
    require(unet.in_channels == 2 * n_latent + 1, UNET, found, expected)?;
    Ok(UnetInput::LatentsMaskAndImage)
}

/// How many numbers the UNet takes shows in the width of what is added: pooled vector and one embedding each.
fn added(unet: &UnetConfig, text: &TextStack) -> Result<AddedIds, ConfigError> {
    if text.pooled_from.is_none() {
        return Ok(AddedIds::None);
    }
    let d_added = unet.projection_class_embeddings_input_dim.unwrap_or_default();
    let d_id = unet.addition_time_embed_dim.unwrap_or_default();
    let known = [AddedIds::Sizes, AddedIds::REFINER];
    let fits = |ids: &AddedIds| text.d_pooled() + ids.count() * d_id == d_added;
    let found = ("projection_class_embeddings_input_dim", d_added);
    let expected = "the pooled width and six (base) or five (refiner) times addition_time_embed_dim";
    let ids = known.into_iter().find(fits);
    require(ids.is_some(), UNET, found, expected)?;
    Ok(ids.unwrap_or(AddedIds::None))
}
