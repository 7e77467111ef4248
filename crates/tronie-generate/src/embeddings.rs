//! Textual inversion in prompts: words that stand for vectors (Gal et al. 2022, arXiv:2208.01618).
//!
//! A file with one embedding is called by its name without ending, as A1111 and `ComfyUI` call it, whatever the file
//! says; of several embeddings in one file each has its own word, as diffusers gives it. How a prompt is searched for
//! these words is [`tronie_prompt::chunk`]'s affair.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tronie_models::catalog::ModelSpec;
use tronie_models::clip::InsertedVector;
use tronie_prompt::{EmbeddingIndex, EmbeddingMatch, Embeddings, Tokenizer, VectorSlot};
use tronie_tensor::{DType, Device, Tensor, TensorData};
use tronie_weights::{Dtype, Embedding, EmbeddingError, Part, RawTensor};

use crate::{GenerateError, Networks};

/// Digits of a file's SHA-256 that A1111 writes down.
const N_HASH_DIGITS: usize = 12;

/// Words and their vectors, for the text encoders of one checkpoint.
#[derive(Debug, Clone, Default)]
pub struct EmbeddingSet {
    index: EmbeddingIndex,
    origins: BTreeMap<String, Origin>,
    encoders: Encoders,
}

/// The text encoders that vectors are for.
#[derive(Debug, Clone, Default)]
struct Encoders {
    widths: Vec<usize>,
    /// The second of SDXL's two is the only one, as in its refiner; files for both have vectors for it.
    is_second: bool,
}

impl Encoders {
    fn of(spec: &ModelSpec) -> Self {
        let encoders = &spec.text.encoders;
        let is_second = encoders.iter().all(|encoder| encoder.folder == Part::TextEncoder2.folder());
        Self { widths: encoders.iter().map(|encoder| encoder.config.d).collect(), is_second }
    }

    /// What an embedding has for them.
    fn vectors<'a>(&self, embedding: &'a Embedding) -> Vec<&'a RawTensor> {
        let rows = embedding.vectors.iter();
        rows.filter(|(part, _)| !self.is_second || **part == Part::TextEncoder2)
            .map(|(_, vectors)| vectors)
            .collect()
    }

    fn fits(&self, embedding: &Embedding) -> bool {
        let width = |vectors: &RawTensor| vectors.meta.shape.last().copied();
        self.vectors(embedding).into_iter().map(width).eq(self.widths.iter().copied().map(Some))
    }
}

/// Where the vectors of a word are.
#[derive(Debug, Clone)]
enum Origin {
    /// In a file, which is read when a prompt has the word: what is wrong with it is no concern of other prompts.
    File(PathBuf),
    /// In memory, for each text encoder n d.
    Memory(Vec<Tensor<2>>),
}

impl Embeddings for EmbeddingSet {
    fn find(&self, tokens: &[u32]) -> Option<EmbeddingMatch<'_>> {
        self.index.find(tokens)
    }
}

impl EmbeddingSet {
    /// The embeddings in these files. Of several with one name the first that fits the checkpoint counts; one that cannot
    /// be read or does not fit is an error when a prompt names it.
    #[must_use]
    pub fn of_files(paths: impl IntoIterator<Item = PathBuf>, networks: &Networks) -> Self {
        Self::collected(paths, networks, |_| true)
    }

    /// Only those that fit, for a model that takes over from another: to it, other words are only text.
    pub(crate) fn fitting(paths: impl IntoIterator<Item = PathBuf>, networks: &Networks) -> Self {
        Self::collected(paths, networks, |fits| fits)
    }

    fn collected(
        paths: impl IntoIterator<Item = PathBuf>,
        networks: &Networks,
        is_wanted: fn(bool) -> bool,
    ) -> Self {
        let encoders = Encoders::of(&networks.spec);
        let mut rows: BTreeMap<String, (PathBuf, usize, bool)> = BTreeMap::new();
        for path in paths {
            let words = words_of(&path, &encoders).into_iter();
            for (word, n_vectors, fits) in words.filter(|(_, _, fits)| is_wanted(*fits)) {
                let known = rows.get(&word).is_some_and(|(_, _, fits)| *fits);
                if !known {
                    rows.insert(word, (path.clone(), n_vectors, fits));
                }
            }
        }
        let names = rows.iter().map(|(word, (_, n_vectors, _))| (word.as_str(), *n_vectors));
        let index = EmbeddingIndex::new(&networks.tokenizer, names);
        let origins = rows.into_iter().map(|(word, (path, ..))| (word, Origin::File(path))).collect();
        Self { index, origins, encoders }
    }

    /// One word whose vectors are in memory.
    ///
    /// # Shapes
    /// `vectors`: n d for each text encoder, n the same for all.
    #[must_use]
    pub fn of_vectors(word: &str, vectors: Vec<Tensor<2>>, tokenizer: &Tokenizer) -> Self {
        let n_vectors = vectors.first().map_or(0, |vectors| vectors.dims()[0]);
        let widths = vectors.iter().map(|vectors| vectors.dims()[1]).collect();
        let index = EmbeddingIndex::new(tokenizer, [(word, n_vectors)]);
        let encoders = Encoders { widths, is_second: false };
        Self { index, origins: [(word.to_owned(), Origin::Memory(vectors))].into(), encoders }
    }

    /// The vectors for places in a batch's texts, as a text encoder takes them. `encoder` is its index in
    /// `ModelSpec::text`; each slot comes with its row of the batch.
    ///
    /// # Errors
    /// [`GenerateError::Embedding`] or [`GenerateError::EmbeddingWidth`], naming the file.
    pub fn inserted<'a>(
        &self,
        slots: impl IntoIterator<Item = (usize, &'a VectorSlot)>,
        encoder: usize,
        device: &Device,
    ) -> Result<Vec<InsertedVector>, GenerateError> {
        let mut seen: BTreeMap<&str, Vec<Tensor<2>>> = BTreeMap::new();
        let mut inserted = Vec::new();
        for (batch, slot) in slots {
            if !seen.contains_key(slot.name.as_str()) {
                seen.insert(&slot.name, self.vectors(&slot.name, device)?);
            }
            let vectors = seen.get(slot.name.as_str()).and_then(|vectors| vectors.get(encoder));
            inserted.extend(vectors.map(|vectors| {
                let vector = vectors.clone().narrow(0, slot.row, 1).squeeze_dim::<1>(0); // d
                InsertedVector { batch, position: slot.position, vector }
            }));
        }
        Ok(inserted)
    }

    /// (name, A1111's hash of its file) of each of these words that has a file, in their order.
    ///
    /// # Errors
    /// [`GenerateError::Embedding`] when a file cannot be read.
    pub(crate) fn hashes<'a>(
        &self,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<(String, String)>, GenerateError> {
        let mut hashes = Vec::new();
        for word in words {
            if let Some(Origin::File(path)) = self.origins.get(word) {
                let hash = Embedding::sha256(path).map_err(wrong(path))?;
                hashes.push((word.to_owned(), hash.chars().take(N_HASH_DIGITS).collect()));
            }
        }
        Ok(hashes)
    }

    /// The vectors of a word, for each text encoder n d.
    fn vectors(&self, word: &str, device: &Device) -> Result<Vec<Tensor<2>>, GenerateError> {
        match self.origins.get(word) {
            None => Ok(Vec::new()),
            Some(Origin::Memory(vectors)) => Ok(vectors.clone()),
            Some(Origin::File(path)) => {
                let embeddings = Embedding::open(path).map_err(wrong(path))?;
                let is_only = embeddings.len() == 1;
                let found = embeddings.into_iter().find(|embedding| is_only || embedding.name == word);
                let found = found.ok_or(EmbeddingError::Empty).map_err(wrong(path))?;
                if !self.encoders.fits(&found) {
                    return Err(GenerateError::EmbeddingWidth {
                        path: path.clone(),
                        found: found.widths(),
                        expected: self.encoders.widths.clone(),
                    });
                }
                Ok(self.encoders.vectors(&found).into_iter().map(|vectors| tensor(vectors, device)).collect())
            }
        }
    }
}

/// (word, number of vectors, whether they are of these widths) of what a file holds. One that cannot be read takes one
/// place in a prompt, until that is found out.
fn words_of(path: &Path, encoders: &Encoders) -> Vec<(String, usize, bool)> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let row = |word: String, embedding: &Embedding| (word, embedding.n_vectors(), encoders.fits(embedding));
    match Embedding::open(path).as_deref() {
        Err(_) => vec![(stem, 1, false)],
        Ok([only]) => vec![row(stem, only)],
        Ok(several) => several.iter().map(|one| row(one.name.clone(), one)).collect(),
    }
}

fn wrong(path: &Path) -> impl FnOnce(EmbeddingError) -> GenerateError {
    |source| GenerateError::Embedding { path: path.to_owned(), source }
}

/// n d, in f32.
fn tensor(vectors: &RawTensor, device: &Device) -> Tensor<2> {
    // Reading an embedding has made sure that these are floating point numbers.
    let bytes = vectors.to_dtype(Dtype::F32).map(|vectors| vectors.bytes).unwrap_or_default();
    let data = TensorData::from_bytes_vec(bytes, vectors.meta.shape.clone(), DType::F32);
    Tensor::from_data(data, device)
}

#[cfg(test)]
mod tests;
