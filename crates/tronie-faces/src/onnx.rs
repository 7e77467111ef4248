//! ONNX networks from strangers: checked, loaded from memory, run within their contract.

mod inspect;
mod wire;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rten::{Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, op_registry};
use rten_tensor::{AsView as _, Layout as _};
use tronie_base::sha256_hex;

pub use inspect::Refusal;

use crate::FacesError;

/// Largest file that is loaded.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Most pictures that go through a network at once.
const MAX_BATCH: usize = 16;

/// One output of a network: a tensor of f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its sides; the first is the number of pictures.
    pub shape: Vec<usize>,
    /// Its values in row-major order.
    pub values: Vec<f32>,
}

impl Output {
    /// The values of each picture.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let n = self.shape.first().copied().unwrap_or(1).max(1);
        self.values.chunks_exact((self.values.len() / n).max(1))
    }
}

/// A network of one picture input. Shared by threads, each of which runs it in a [`Session`] of its own.
#[derive(Clone)]
pub struct Network {
    model: Arc<Model>,
    path: PathBuf,
    sha256: String,
    input: NodeId,
    input_shape: Vec<Option<usize>>,
    outputs: Vec<NodeId>,
}

/// What a network must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Sides of the input; `None` where any is accepted.
    pub input: [Option<usize>; 4],
    /// Names of the outputs that are read, in the order they are read in. Networks whose exporters number their outputs
    /// have none: then all outputs are read in the order of the file.
    pub outputs: &'static [&'static str],
    /// Number of outputs read.
    pub n_outputs: usize,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Opens a file, refuses what no face network contains, and checks that it has the signature.
    ///
    /// # Errors
    /// [`FacesError`] that names the file and what is wrong with it.
    pub fn open(path: &Path, signature: &Signature) -> Result<Self, FacesError> {
        let fail = |source| FacesError::ReadNetwork { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to know that the file is too large.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
        Self::from_bytes(bytes, path, signature)
    }

    /// The same from the content of a file; `path` only names it.
    ///
    /// # Errors
    /// As [`Network::open`].
    pub fn from_bytes(bytes: Vec<u8>, path: &Path, signature: &Signature) -> Result<Self, FacesError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(FacesError::NetworkTooLarge { path: path.to_owned() });
        }
        inspect::inspect(&bytes)
            .map_err(|refusal| FacesError::RefusedNetwork { path: path.to_owned(), refusal })?;
        let sha256 = sha256_hex(&bytes);
        let unloadable = |reason| FacesError::UnloadableNetwork { path: path.to_owned(), reason };
        // Files that pass the inspection can still be inconsistent, and then an operator may panic on them.
        let loaded = panic::catch_unwind(AssertUnwindSafe(|| options().load(bytes)));
        let model = loaded
            .map_err(|_| unloadable("the graph is inconsistent".to_owned()))?
            .map_err(|error| unloadable(error.to_string()))?;
        Self::bind(model, path, sha256, signature)
    }

    fn bind(model: Model, path: &Path, sha256: String, signature: &Signature) -> Result<Self, FacesError> {
        let [input] = *model.input_ids() else {
            let found = format!("{} inputs", model.input_ids().len());
            return Err(FacesError::WrongInput {
                path: path.to_owned(),
                found,
                expected: "one picture".into(),
            });
        };
        let shape = model.node_info(input).and_then(|info| info.shape()).unwrap_or_default();
        let input_shape: Vec<Option<usize>> = shape.iter().map(fixed).collect();
        let fits = input_shape.len() == 4
            && input_shape.iter().zip(signature.input).skip(1).all(|(found, expected)| {
                match (found, expected) {
                    (Some(found), Some(expected)) => *found == expected,
                    _ => true,
                }
            });
        if !fits {
            let (found, expected) = (shape_text(&input_shape), shape_text(&signature.input));
            return Err(FacesError::WrongInput { path: path.to_owned(), found, expected });
        }
        let name = |id: &NodeId| model.node_info(*id).and_then(|info| info.name()).unwrap_or("").to_owned();
        let wrong_outputs = || FacesError::WrongOutputs {
            path: path.to_owned(),
            found: model.output_ids().iter().map(name).collect(),
            expected: if signature.outputs.is_empty() {
                format!("{} of any name", signature.n_outputs)
            } else {
                signature.outputs.join(", ")
            },
        };
        let outputs: Option<Vec<NodeId>> = if signature.outputs.is_empty() {
            Some(model.output_ids().to_vec()).filter(|ids| ids.len() >= signature.n_outputs)
        } else {
            let find = |wanted: &&str| model.output_ids().iter().find(|id| name(id) == **wanted).copied();
            signature.outputs.iter().map(find).collect()
        };
        let mut outputs = outputs.ok_or_else(wrong_outputs)?;
        outputs.truncate(signature.n_outputs);
        Ok(Self { model: Arc::new(model), path: path.to_owned(), sha256, input, input_shape, outputs })
    }

    /// SHA-256 of the file, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A session on a thread of its own.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { network: self.clone(), threads: Arc::new(ThreadPool::with_num_threads(1)) }
    }
}

/// A network and the thread that runs it, so that pictures can be worked on side by side.
#[derive(Debug, Clone)]
pub struct Session {
    network: Network,
    threads: Arc<ThreadPool>,
}

impl Session {
    /// The network it runs.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Runs `pictures`, each the values of one input of shape `shape` (its first side left out), in as few batches as the
    /// network allows, and gives the outputs of all of them.
    ///
    /// # Errors
    /// [`FacesError::RunNetwork`].
    pub fn run(&self, pictures: &[Vec<f32>], shape: [usize; 3]) -> Result<Vec<Output>, FacesError> {
        let batch = match self.network.input_shape.first() {
            Some(Some(fixed)) => *fixed.max(&1),
            _ => MAX_BATCH,
        };
        let mut all: Vec<Output> = Vec::new();
        for pictures in pictures.chunks(batch) {
            let outputs = self.run_batch(pictures, shape)?;
            if all.is_empty() {
                all = outputs;
                continue;
            }
            for (all, output) in all.iter_mut().zip(outputs) {
                all.values.extend(output.values);
                if let (Some(all), Some(n)) = (all.shape.first_mut(), output.shape.first()) {
                    *all += n;
                }
            }
        }
        Ok(all)
    }

    fn run_batch(&self, pictures: &[Vec<f32>], [c, h, w]: [usize; 3]) -> Result<Vec<Output>, FacesError> {
        let fail = |reason: String| FacesError::RunNetwork { path: self.network.path.clone(), reason };
        let input = Value::from_shape([pictures.len(), c, h, w].as_slice(), pictures.concat())
            .map_err(|error| fail(error.to_string()))?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        let inputs = vec![(self.network.input, ValueOrView::from(input))];
        // An inconsistent graph may make an operator panic; the network is not changed by running it.
        let ran = panic::catch_unwind(AssertUnwindSafe(|| {
            self.network.model.run(inputs, &self.network.outputs, Some(options))
        }));
        let values = ran
            .map_err(|_| fail("the graph is inconsistent".to_owned()))?
            .map_err(|error| fail(error.to_string()))?;
        let floats = values.into_iter().map(|value| {
            let tensor = value.into_tensor::<f32>()?;
            Some(Output { shape: tensor.shape().to_vec(), values: tensor.to_vec() })
        });
        floats.collect::<Option<Vec<_>>>().ok_or_else(|| fail("an output is not of f32".to_owned()))
    }
}

fn fixed(side: &Dimension) -> Option<usize> {
    match side {
        Dimension::Fixed(n) => Some(*n),
        Dimension::Symbolic(_) => None,
    }
}

fn shape_text(shape: &[Option<usize>]) -> String {
    let sides: Vec<String> =
        shape.iter().map(|side| side.map_or_else(|| "?".to_owned(), |side| side.to_string())).collect();
    format!("shape {}", sides.join("x"))
}

/// The operators that face networks are made of. None makes a tensor of a size that the graph computes.
fn options() -> ModelOptions {
    ModelOptions::with_ops(op_registry!(
        Add,
        AveragePool,
        BatchNormalization,
        Cast,
        Clip,
        Concat,
        Conv,
        ConvTranspose,
        Div,
        Dropout,
        Exp,
        Flatten,
        Floor,
        Gather,
        Gemm,
        GlobalAveragePool,
        HardSigmoid,
        HardSwish,
        Identity,
        InstanceNormalization,
        LeakyRelu,
        LpNormalization,
        MatMul,
        Max,
        MaxPool,
        Min,
        Mul,
        PRelu,
        Pad,
        Pow,
        ReduceL2,
        ReduceMean,
        ReduceSum,
        Relu,
        Reshape,
        Resize,
        Shape,
        Sigmoid,
        Slice,
        Softmax,
        Softplus,
        Split,
        Sqrt,
        Squeeze,
        Sub,
        Sum,
        Tanh,
        Transpose,
        Unsqueeze,
        Upsample
    ))
}

#[cfg(test)]
pub(crate) mod tests;
