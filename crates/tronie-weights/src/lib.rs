//! Checkpoint files: reading, recognising, renaming, finding and fetching them.

mod tensor_file;

pub use tensor_file::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};
