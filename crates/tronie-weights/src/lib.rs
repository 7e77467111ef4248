//! Checkpoint files: reading, recognising, renaming, finding and fetching them.

mod adapter;
mod checkpoint;
mod control;
mod convert;
mod detect;
mod hub;
mod image_prompt;
mod layout;
mod open;
mod pickle;
mod pickle_file;
mod safetensors_file;
mod scan;
mod sharded_file;
mod source;
mod tensor_file;
mod trees;
mod write;

pub use adapter::{
    Embedding, EmbeddingError, EmbeddingForm, Factor, Lora, LoraError, LoraModule, Magnitude, Modules,
    Product, Scales, Target as LoraTarget, WeightChange, hash_of_lora,
};
pub use checkpoint::{Checkpoint, CheckpointError, Component, Source, Target, save_file, save_folder};
pub use control::{ControlError, ControlFile, ControlKind};
pub use convert::ConvertError;
pub use detect::{DetectError, Detection, Hints, Kind, Prediction, detect};
pub use hub::{Hub, HubConfig, HubError, Pull, RepoId, Token};
pub use image_prompt::{ImageEncoderFile, ImagePromptFileError, IpAdapterFile};
pub use layout::{
    LAYOUTS, Layout, Mapping, Naming, Operation, Part, PartRow, Recipe, Renamed, Rule, ShapeError, Transform,
    Union, canonical,
};
pub use open::{OpenError, open};
pub use pickle::{ArchiveError, EntryProblem, Limit, PickleError, PickleProblem, TensorView, Value};
pub use pickle_file::{PickleFile, PickleFileError};
pub use safetensors_file::{SafetensorsError, SafetensorsFile, TensorProblem};
pub use scan::{ScanReport, scan};
pub use sharded_file::{ShardedError, ShardedFile};
pub use source::SourceError;
pub use tensor_file::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};
pub use trees::{Library, LibraryError, Listed, ModelFile};
pub use write::{WriteTensorsError, write_safetensors, write_safetensors_streaming};
