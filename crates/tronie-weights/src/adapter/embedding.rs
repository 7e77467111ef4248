//! Textual inversion: vectors that stand for a new word (Gal et al. 2022, arXiv:2208.01618).
//!
//! | written by | what is in the file |
//! |---|---|
//! | A1111 | `string_to_param: {"*": n d}`, `string_to_token`, `name`, `step`, `sd_checkpoint`, `sd_checkpoint_name` |
//! | diffusers | the word: n d, or d alone; several words in one file |
//! | kohya | `emb_params`: n d |
//! | kohya and A1111 for SDXL | `clip_l`: n 768, `clip_g`: n 1280 |
//!
//! Sources: A1111 `modules/textual_inversion/textual_inversion.py`, diffusers `loaders/textual_inversion.py`,
//! kohya-ss/sd-scripts `train_textual_inversion.py` and `sdxl_train_textual_inversion.py`.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tronie_base::{Fault, Faulty};

use crate::detect::family_of_width;
use crate::layout::Part;
use crate::open::{Format, recognize};
use crate::pickle_file::PickleFile;
use crate::source::{Source, shown};
use crate::{
    Dtype, OpenError, RawTensor, TensorFile, TensorMeta, Value, WeightsFault, WriteTensorsError,
    write_safetensors,
};
use tronie_base::hex;

/// Vectors for one word.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The word: what the file says, else the file's name without ending.
    pub name: String,
    /// For each text encoder n d, one row for each token the word takes; n is the same for all, and at least 1.
    pub vectors: BTreeMap<Part, RawTensor>,
    /// Steps it was trained for, where the file says.
    pub step: Option<i64>,
}

/// How an embedding for one text encoder is written; every program reads both. One for two encoders has only one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingForm {
    /// Under its word, as diffusers does.
    Word,
    /// As `emb_params`, as kohya's trainer does; the file's name is the word.
    Kohya,
}

/// An embedding that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// Its file could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// A tensor could not be read.
    #[error("tensor \"{name}\" cannot be read: {cause}")]
    Read {
        /// Its name.
        name: String,
        /// What the file said.
        cause: WeightsFault,
    },
    /// No tensors.
    #[error("the file holds no tensors, expected an embedding's vectors")]
    Empty,
    /// A tensor that is no list of vectors.
    #[error(
        "tensor \"{name}\" is {dtype:?} {shape:?}, expected floating point [n, d] or [d], none of them 0"
    )]
    Shape {
        /// Its name.
        name: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Two tensors for one text encoder.
    #[error("\"{first}\" and \"{second}\" are both for {part}")]
    Twice {
        /// One tensor's name.
        first: String,
        /// The other's.
        second: String,
        /// The text encoder's folder name.
        part: &'static str,
    },
    /// Text encoders with different numbers of vectors.
    #[error("the text encoders have {found:?} vectors, expected as many for each")]
    Counts {
        /// How many each has.
        found: Vec<usize>,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(Box<WriteTensorsError>),
}

impl Faulty for EmbeddingError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open(error) => error.fault(),
            Self::Read { cause, .. } => cause.fault(),
            Self::Write(error) => error.fault(),
            Self::Empty | Self::Shape { .. } | Self::Twice { .. } | Self::Counts { .. } => Fault::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Read { cause, .. } => cause.hint(),
            Self::Write(error) => error.hint(),
            _ => Some("check that this is an embedding for Stable Diffusion 1.x, 2.x or XL".into()),
        }
    }
}

impl From<OpenError> for EmbeddingError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<WriteTensorsError> for EmbeddingError {
    fn from(error: WriteTensorsError) -> Self {
        Self::Write(Box::new(error))
    }
}

/// Names that are no words: the text encoder each is for, where it tells.
const NAMES: &[(&str, Option<Part>)] = &[
    ("emb_params", None),
    ("string_to_param.*", None),
    ("clip_l", Some(Part::TextEncoder)),
    ("clip_g", Some(Part::TextEncoder2)),
    ("text_encoders_0", Some(Part::TextEncoder)),
    ("text_encoders_1", Some(Part::TextEncoder2)),
];

/// Width of SDXL's second text encoder, which no first one has.
const SECOND_WIDTH: usize = 1280;

impl Embedding {
    /// Reads all embeddings of a file of any of the forms; those of A1111 and kohya hold one.
    ///
    /// # Errors
    /// [`EmbeddingError`]: it cannot be read or is no embedding; the tensor is named.
    pub fn open(path: &Path) -> Result<Vec<Self>, EmbeddingError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let source = Source::open(path).map_err(OpenError::from)?;
        if recognize(&source, path)? != Format::Pickle {
            return Self::read(crate::open(path)?.as_ref(), &stem);
        }
        let file = PickleFile::from_source(source).map_err(OpenError::from)?;
        let mut embeddings = Self::read(&file, &stem)?;
        if let (Some(_), [only]) = (file.value().get("string_to_param"), embeddings.as_mut_slice()) {
            let name = file.value().get("name").and_then(Value::as_text);
            only.name = name.unwrap_or(&stem).to_owned();
            only.step = file.value().get("step").and_then(Value::as_int);
        }
        Ok(embeddings)
    }

    /// Reads all embeddings among these tensors; one without a word of its own gets the name `stem`.
    ///
    /// # Errors
    /// See [`Embedding::open`].
    pub fn read(file: &dyn TensorFile, stem: &str) -> Result<Vec<Self>, EmbeddingError> {
        let mut words: BTreeMap<String, BTreeMap<Part, (String, RawTensor)>> = BTreeMap::new();
        for name in file.names() {
            let read = file.read(&name);
            let read = read.map_err(|cause| EmbeddingError::Read { name: shown(&name), cause })?;
            let Some(RawTensor { mut meta, bytes }) = read else { continue };
            let (word, part) = place(&name, &meta, stem)?;
            if meta.shape.len() == 1 {
                meta.shape.insert(0, 1);
            }
            let vectors = RawTensor { meta, bytes };
            let parts = words.entry(word).or_default();
            if let Some((first, _)) = parts.insert(part, (name.clone(), vectors)) {
                let (first, second) = (shown(&first), shown(&name));
                return Err(EmbeddingError::Twice { first, second, part: part.folder() });
            }
        }
        if words.is_empty() {
            return Err(EmbeddingError::Empty);
        }
        let embeddings = words.into_iter().map(|(name, parts)| {
            let vectors = parts.into_iter().map(|(part, (_, vectors))| (part, vectors)).collect();
            let embedding = Self { name, vectors, step: None };
            let found: Vec<usize> = embedding.vectors.values().map(n_rows).collect();
            let is_even = found.windows(2).all(|pair| pair.first() == pair.last());
            if is_even { Ok(embedding) } else { Err(EmbeddingError::Counts { found }) }
        });
        embeddings.collect()
    }

    /// SHA-256 of a file, hexadecimal. Its first 12 digits are what A1111 calls an embedding's hash, whatever the file's
    /// form (`Embedding.set_hash` in `modules/textual_inversion/textual_inversion.py`, from version 1.5 on).
    ///
    /// # Errors
    /// [`EmbeddingError::Open`]: the file cannot be read.
    pub fn sha256(path: &Path) -> Result<String, EmbeddingError> {
        let source = Source::open(path).map_err(OpenError::from)?;
        let bytes = source.read(0, source.len()).map_err(OpenError::from)?;
        Ok(hex(&Sha256::digest(bytes)))
    }

    /// Number of tokens the word takes.
    #[must_use]
    pub fn n_vectors(&self) -> usize {
        self.vectors.values().next().map_or(0, n_rows)
    }

    /// Width of the vectors for each text encoder.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        self.vectors.values().filter_map(|tensor| tensor.meta.shape.get(1).copied()).collect()
    }

    /// The family of checkpoints it is for; `None` for one of none.
    #[must_use]
    pub fn family(&self) -> Option<&'static str> {
        family_of_width(self.widths().into_iter().sum())
    }

    /// Writes it as safetensors.
    ///
    /// # Errors
    /// [`EmbeddingError::Write`]: the file system refuses.
    pub fn save(
        &self,
        path: &Path,
        form: EmbeddingForm,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), EmbeddingError> {
        let is_single = self.vectors.len() == 1;
        let tensors = self.vectors.iter().map(|(part, vectors)| {
            let name = match (is_single, form, part) {
                (true, EmbeddingForm::Word, _) => self.name.as_str(),
                (true, EmbeddingForm::Kohya, _) => "emb_params",
                (false, _, Part::TextEncoder2) => "clip_g",
                (false, ..) => "clip_l",
            };
            (name.to_owned(), vectors.clone())
        });
        Ok(write_safetensors(path, metadata, tensors)?)
    }
}

/// The family the first embedding of a file is for. Only names and shapes are looked at.
pub(crate) fn family_of_embedding(file: &dyn TensorFile) -> Option<&'static str> {
    let mut widths: BTreeMap<String, usize> = BTreeMap::new();
    for name in file.names() {
        let meta = file.meta(&name)?;
        let (word, _) = place(&name, &meta, "").ok()?;
        *widths.entry(word).or_default() += meta.shape.last()?;
    }
    family_of_width(*widths.values().next()?)
}

/// The word and the text encoder that a tensor is for.
fn place(name: &str, meta: &TensorMeta, stem: &str) -> Result<(String, Part), EmbeddingError> {
    let is_float = matches!(meta.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
    let width = match meta.shape.as_slice() {
        [_, width] | [width] if is_float && !meta.shape.contains(&0) => *width,
        shape => {
            let (name, shape) = (shown(name), shape.to_vec());
            return Err(EmbeddingError::Shape { name, dtype: meta.dtype, shape });
        }
    };
    let known = NAMES.iter().find(|(known, _)| *known == name);
    let by_width = if width == SECOND_WIDTH { Part::TextEncoder2 } else { Part::TextEncoder };
    let part = known.and_then(|(_, part)| *part).unwrap_or(by_width);
    let word = if known.is_some() { stem } else { name };
    Ok((word.to_owned(), part))
}

fn n_rows(tensor: &RawTensor) -> usize {
    tensor.meta.shape.first().copied().unwrap_or_default()
}
