//! Captions as the networks see them.

use tronie_generate::{EmbeddingSet, Networks};
use tronie_models::clip::ClipRequest;
use tronie_prompt::{ChunkRules, Emphasis, Layout, chunk};
use tronie_tensor::{Device, Int, Tensor, TensorData};

use crate::TrainError;
use crate::data::Draw;
use crate::recipe::Text;

/// Encoded captions of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// b s d
    pub(crate) context: Tensor<3>,
    /// b d, for models that take it
    pub(crate) pooled: Option<Tensor<2>>,
}

impl Texts {
    /// One after the other in a batch.
    pub(crate) fn cat(texts: Vec<Self>) -> Self {
        let pooled: Option<Vec<_>> = texts.iter().map(|text| text.pooled.clone()).collect();
        Self {
            context: Tensor::cat(texts.into_iter().map(|text| text.context).collect(), 0),
            pooled: pooled.map(|pooled| Tensor::cat(pooled, 0)),
        }
    }
}

/// What becomes of a caption at one step: its parts between commas may change places, or nothing is left of it.
pub(crate) fn at_step(caption: &str, text: &Text, draw: Draw) -> String {
    if draw.happens("caption", text.dropout) {
        return String::new();
    }
    if !text.shuffle {
        return caption.to_owned();
    }
    let parts: Vec<&str> = caption.split(',').map(str::trim).collect();
    let order = draw.shuffled("parts", parts.len(), text.keep_parts);
    let parts: Vec<&str> = order.into_iter().filter_map(|i| parts.get(i).copied()).collect();
    parts.join(", ")
}

/// Encodes captions, with vectors for the words in `embeddings`. Brackets in them are text: weights belong to prompts.
///
/// Longer captions than `text.n_rows` of 75 tokens are cut; the rows are read one by one and joined without their inner
/// beginnings and ends, as kohya's trainer does (`get_hidden_states` in its `library/train_util.py`).
pub(crate) fn encode(
    (networks, embeddings): (&Networks, &EmbeddingSet),
    captions: &[String],
    text: &Text,
    device: &Device,
) -> Result<Texts, TrainError> {
    let spec = &networks.spec;
    let requests: Vec<ClipRequest> = spec.text.requests(text.clip_skip as usize)?;
    let mut contexts = Vec::new();
    let mut pooled = None;
    let encoders = networks.clips.iter().zip(&spec.text.encoders).zip(requests).enumerate();
    for (i, ((clip, encoder), request)) in encoders {
        let rules = ChunkRules {
            layout: Layout::Kohya { n_rows: text.n_rows },
            emphasis: Emphasis::None,
            pad_id: u32::try_from(encoder.pad_token).unwrap_or_default(),
        };
        let mut laid_out = Vec::new();
        for caption in captions {
            laid_out.push(chunk(caption, &networks.tokenizer, embeddings, rules)?.chunks);
        }
        let mut rows = Vec::new();
        for row in 0..laid_out.iter().map(Vec::len).min().unwrap_or_default() {
            let chunks: Vec<_> = laid_out.iter().filter_map(|chunks| chunks.get(row)).collect();
            let ids: Vec<i64> =
                chunks.iter().flat_map(|chunk| &chunk.tokens).map(|&id| i64::from(id)).collect();
            let dims = [chunks.len(), ids.len() / chunks.len().max(1)];
            let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, dims), device);
            let slots = chunks.iter().enumerate();
            let slots = slots.flat_map(|(batch, chunk)| chunk.vectors.iter().map(move |slot| (batch, slot)));
            let inserted = embeddings.inserted(slots, i, device)?;
            let output = clip.forward(tokens, &inserted, request);
            pooled = pooled.or(output.pooled); // of the first row
            if let Some(chunk) = chunks.first() {
                rows.push(output.hidden.narrow(1, chunk.kept.start, chunk.kept.len()));
            }
        }
        contexts.push(Tensor::cat(rows, 1)); // b s d
    }
    Ok(Texts { context: Tensor::cat(contexts, 2), pooled })
}
