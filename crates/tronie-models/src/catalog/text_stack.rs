//! Which text towers a family has and what of their output its UNet is given.

use tronie_base::{Fault, Faulty};

use crate::clip::{ClipActivation, ClipConfig, ClipRequest, HiddenLayer};

/// The id that fills a chunk after the end of the text in OpenAI's tokenizer: the end-of-text token itself.
pub const PAD_WITH_END: i64 = 49407;
/// The same in OpenCLIP's tokenizer: id 0, which is the word "!".
pub const PAD_WITH_ZERO: i64 = 0;

/// The text stacks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStackKind {
    /// SD 1.x: OpenAI's ViT-L/14.
    ClipL,
    /// SD 2.x: OpenCLIP's ViT-H/14 without its last block.
    OpenClipH,
    /// SDXL: ViT-L/14 and OpenCLIP's ViT-bigG/14 side by side.
    ClipLAndBigG,
    /// SDXL refiner: OpenCLIP's ViT-bigG/14.
    BigG,
}

/// What clip skip, counted as A1111 counts it, does to a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipSkip {
    /// Skip n takes the hidden state n - 1 blocks earlier than usual, in every program.
    Everywhere,
    /// The same in diffusers (`clip_skip = n - 1`) and here; A1111 ignores it, so its images are replayed without.
    NotInA1111,
}

/// One text tower of a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEncoder {
    /// Its folder in diffusers' layout: `text_encoder` or `text_encoder_2`.
    pub folder: &'static str,
    /// Its shape.
    pub config: ClipConfig,
    /// Token id that fills a chunk up after its end.
    pub pad_token: i64,
    /// The hidden state that becomes context when nothing is skipped.
    pub layer: HiddenLayer,
}

impl TextEncoder {
    /// The folder of its tokenizer in diffusers' layout.
    #[must_use]
    pub fn tokenizer_folder(&self) -> &'static str {
        if self.folder == "text_encoder_2" { "tokenizer_2" } else { "tokenizer" }
    }
}

/// The text towers of a model, in the order in which their widths are joined to one context.
#[derive(Debug, Clone, PartialEq)]
pub struct TextStack {
    /// At least one.
    pub encoders: Vec<TextEncoder>,
    /// Index of the encoder whose pooled vector conditions the UNet; `None` where none does.
    pub pooled_from: Option<usize>,
    /// What clip skip does.
    pub clip_skip: ClipSkip,
}

/// A clip skip that leaves no block to take the context from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clip skip {found} is out of range, expected 1 to {most}")]
pub struct ClipSkipError {
    /// What was asked for.
    pub found: usize,
    /// The largest this model can do.
    pub most: usize,
}

impl Faulty for ClipSkipError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("1 skips nothing; 2 is what models trained on NovelAI's captions expect".into())
    }
}

const LAST_NORMED: HiddenLayer = HiddenLayer { from_end: 1, final_norm: true };
const PENULTIMATE: HiddenLayer = HiddenLayer { from_end: 2, final_norm: false };

impl TextStack {
    /// The stack as the published checkpoints of a family have it.
    #[must_use]
    pub fn of(kind: TextStackKind) -> Self {
        let clip_l = |layer| (ClipConfig::clip_l(), PAD_WITH_END, layer);
        let open_clip_h = || (ClipConfig::open_clip_h_penultimate(), PAD_WITH_ZERO, LAST_NORMED);
        let bigg = || (ClipConfig::open_clip_bigg(), PAD_WITH_ZERO, PENULTIMATE);
        match kind {
            TextStackKind::ClipL => Self::single([Some(clip_l(LAST_NORMED)), None]),
            TextStackKind::OpenClipH => Self::single([Some(open_clip_h()), None]),
            TextStackKind::ClipLAndBigG => Self::pooled([Some(clip_l(PENULTIMATE)), Some(bigg())]),
            TextStackKind::BigG => Self::pooled([None, Some(bigg())]),
        }
    }

    /// The stack of a folder: (configuration, padding) of `text_encoder` and of `text_encoder_2`, and whether the
    /// UNet takes a pooled vector, which is also what decides the hidden state in diffusers' pipelines.
    pub(super) fn of_folder(parts: [Option<(ClipConfig, i64)>; 2], pooled: bool) -> Self {
        let layer = if pooled { PENULTIMATE } else { LAST_NORMED };
        let parts = parts.map(|part| part.map(|(config, pad_token)| (config, pad_token, layer)));
        if pooled { Self::pooled(parts) } else { Self::single(parts) }
    }

    fn single(parts: [Option<(ClipConfig, i64, HiddenLayer)>; 2]) -> Self {
        let rows = ["text_encoder", "text_encoder_2"].into_iter().zip(parts);
        let encoders = rows.filter_map(|(folder, part)| {
            part.map(|(config, pad_token, layer)| TextEncoder { folder, config, pad_token, layer })
        });
        let encoders: Vec<TextEncoder> = encoders.collect();
        // A1111 skips layers of OpenAI's tower only, which its nonlinearity tells.
        let is_open_ai = |encoder: &TextEncoder| encoder.config.activation == ClipActivation::QuickGelu;
        let clip_skip =
            if encoders.iter().all(is_open_ai) { ClipSkip::Everywhere } else { ClipSkip::NotInA1111 };
        Self { encoders, pooled_from: None, clip_skip }
    }

    fn pooled(parts: [Option<(ClipConfig, i64, HiddenLayer)>; 2]) -> Self {
        let stack = Self::single(parts);
        Self { pooled_from: stack.encoders.len().checked_sub(1), clip_skip: ClipSkip::NotInA1111, ..stack }
    }

    /// Width of the context: the widths of all towers together.
    #[must_use]
    pub fn d_context(&self) -> usize {
        self.encoders.iter().map(|encoder| encoder.config.d).sum()
    }

    /// Width of the pooled vector, 0 where there is none.
    #[must_use]
    pub fn d_pooled(&self) -> usize {
        let encoder = self.pooled_from.and_then(|index| self.encoders.get(index));
        encoder.map_or(0, |encoder| encoder.config.d_projection.unwrap_or(encoder.config.d))
    }

    /// What to ask each tower for, in order. `clip_skip` counts as A1111 does: 1 skips nothing.
    ///
    /// # Errors
    /// [`ClipSkipError`] for 0, and when a tower has not that many blocks.
    pub fn requests(&self, clip_skip: usize) -> Result<Vec<ClipRequest>, ClipSkipError> {
        let rest =
            |encoder: &TextEncoder| (encoder.config.n_layers + 1).saturating_sub(encoder.layer.from_end);
        let most = self.encoders.iter().map(rest).min().unwrap_or_default();
        if clip_skip < 1 || clip_skip > most {
            return Err(ClipSkipError { found: clip_skip, most });
        }
        let request = |(index, encoder): (usize, &TextEncoder)| ClipRequest {
            layer: HiddenLayer { from_end: encoder.layer.from_end + (clip_skip - 1), ..encoder.layer },
            pooled: self.pooled_from == Some(index),
        };
        Ok(self.encoders.iter().enumerate().map(request).collect())
    }
}
