//! From a prompt's text to what the UNet attends to.

use tronie_models::catalog::{ImageSizes, ModelSpec};
use tronie_models::clip::{Clip, ClipRequest};
use tronie_prompt::{
    Chunk, ChunkRules, Emphasis, Layout, NoEmbeddings, Pass, Timeline, Tokenizer, chunk, split_and,
};
use tronie_tensor::{Device, Int, Tensor, TensorData};

use crate::guided::{Part, Span};
use crate::{EmbeddingSet, GenerateError};

/// One text as the UNet sees it.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// 1 s d
    pub(crate) context: Tensor<3>,
    /// 1 d, for checkpoints that take it
    pub(crate) pooled: Option<Tensor<2>>,
    /// 1 n, for checkpoints that take them
    pub(crate) time_ids: Option<Tensor<2>>,
    /// Names of the embeddings in the text, each once.
    pub(crate) embeddings: Vec<String>,
}

/// The text encoders of a checkpoint and everything that decides how they are used.
pub(crate) struct TextEncoders<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) clips: &'a [Clip],
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) embeddings: &'a EmbeddingSet,
    pub(crate) device: &'a Device,
}

/// How a request wants its prompts read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) emphasis: Emphasis,
    pub(crate) layout: Layout,
    pub(crate) clip_skip: usize,
    pub(crate) pass: Pass,
    pub(crate) sizes: ImageSizes,
    pub(crate) is_negative: bool,
}

/// One encoder and how it is used for a request.
struct Way<'a> {
    clip: &'a Clip,
    rules: ChunkRules,
    request: ClipRequest,
}

impl TextEncoders<'_> {
    /// Encodes everything a prompt says during a run: its spans of steps, and the weighted parts of each.
    ///
    /// # Errors
    /// [`GenerateError::ClipSkip`] when more layers are left out than there are; those of embeddings that the prompt names.
    pub(crate) fn spans(&self, prompt: &str, reading: Reading) -> Result<Vec<Span>, GenerateError> {
        let timeline = Timeline::parse(prompt, reading.pass);
        let mut seen: Vec<(String, Encoded)> = Vec::new(); // alternating prompts repeat their texts
        let mut spans = Vec::new();
        for (until_step, text) in timeline.entries() {
            // A negative prompt is one text: A1111 does not compose it.
            let parts = if reading.is_negative { vec![(text.to_owned(), 1.0)] } else { split_and(text) };
            let mut encoded_parts = Vec::new();
            for (text, weight) in parts {
                let known = seen.iter().find(|row| row.0 == text).map(|row| row.1.clone());
                let encoded = match known {
                    Some(encoded) => encoded,
                    None => self.encode(&text, reading)?,
                };
                seen.push((text, encoded.clone()));
                encoded_parts.push(Part { weight, encoded });
            }
            spans.push(Span { until_step: until_step as usize, parts: encoded_parts });
        }
        Ok(spans)
    }

    fn encode(&self, text: &str, reading: Reading) -> Result<Encoded, GenerateError> {
        let requests = self.spec.text.requests(reading.clip_skip)?;
        let mut contexts = Vec::new();
        let mut pooled = None;
        let mut names = Vec::new();
        let encoders = self.clips.iter().zip(&self.spec.text.encoders).zip(requests).enumerate();
        for (i, ((clip, encoder), request)) in encoders {
            let rules = ChunkRules {
                layout: reading.layout,
                emphasis: reading.emphasis,
                pad_id: u32::try_from(encoder.pad_token).unwrap_or_default(),
            };
            let way = Way { clip, rules, request };
            let chunked = chunk(text, self.tokenizer, self.embeddings, rules)?;
            names = chunked.embedding_names().into_iter().map(str::to_owned).collect();
            let mut rows = Vec::new();
            for chunk in &chunked.chunks {
                let slots = chunk.vectors.iter().map(|slot| (0, slot));
                let inserted = self.embeddings.inserted(slots, i, self.device)?;
                let output = way.clip.forward(self.tokens(chunk), &inserted, way.request);
                // Only the first chunk is pooled.
                pooled = pooled.or(output.pooled);
                let hidden = self.emphasize(output.hidden, chunk, &way)?;
                let s = chunk.kept.len();
                rows.push(hidden.narrow(1, chunk.kept.start, s));
            }
            contexts.push(Tensor::cat(rows, 1)); // 1 s d
        }
        let mut context = Tensor::cat(contexts, 2); // 1 s d
        if reading.is_negative && text.is_empty() && self.spec.zero_for_empty_negative {
            context = context.zeros_like();
            pooled = pooled.map(|pooled| pooled.zeros_like());
        }
        Ok(Encoded { context, pooled, time_ids: self.time_ids(reading), embeddings: names })
    }

    fn tokens(&self, chunk: &Chunk) -> Tensor<2, Int> {
        let ids: Vec<i64> = chunk.tokens.iter().map(|&id| i64::from(id)).collect();
        let n = ids.len();
        Tensor::from_data(TensorData::new(ids, [1, n]), self.device)
    }

    /// Applies the weights of a chunk's tokens, the way the request's [`Emphasis`] says.
    ///
    /// # Shapes
    /// `hidden`: 1 s d. Returns 1 s d.
    fn emphasize(&self, hidden: Tensor<3>, chunk: &Chunk, way: &Way<'_>) -> Result<Tensor<3>, GenerateError> {
        #[expect(clippy::float_cmp, reason = "1 is the weight of unweighted text, not a computed value")]
        if chunk.weights.iter().all(|&weight| weight == 1.0) {
            return Ok(hidden);
        }
        let n = chunk.weights.len();
        let weights = Tensor::<3>::from_data(TensorData::new(chunk.weights.clone(), [1, n, 1]), self.device);
        Ok(match way.rules.emphasis {
            // The mean is taken over the whole tensor, as A1111's `EmphasisOriginal` does.
            Emphasis::Original => {
                let before = hidden.clone().mean();
                let weighted = hidden * weights;
                let after = weighted.clone().mean();
                weighted * (before / after).reshape([1, 1, 1])
            }
            Emphasis::NoNorm => hidden * weights,
            Emphasis::Comfy => {
                let empty = chunk_of_nothing(self.tokenizer, way.rules)?;
                let empty = way.clip.forward(self.tokens(&empty), &[], way.request).hidden;
                (hidden - empty.clone()) * weights + empty
            }
            Emphasis::Ignore | Emphasis::None => hidden,
        })
    }

    fn time_ids(&self, reading: Reading) -> Option<Tensor<2>> {
        let values = self.spec.added.values(reading.sizes, reading.is_negative);
        let n = values.len();
        #[expect(clippy::cast_possible_truncation, reason = "sizes in pixels and scores below ten")]
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        (n > 0).then(|| Tensor::from_data(TensorData::new(values, [1, n]), self.device))
    }
}

/// The chunk of an empty prompt.
fn chunk_of_nothing(tokenizer: &Tokenizer, rules: ChunkRules) -> Result<Chunk, GenerateError> {
    let mut chunks = chunk("", tokenizer, &NoEmbeddings, rules)?.chunks;
    Ok(chunks.swap_remove(0))
}
