//! Checkpoint files: reading, recognising, renaming, finding and fetching them.

mod detect;
mod hub;
mod layout;
mod tensor_file;

pub use detect::{DetectError, Detection, Hints, Kind, Prediction, detect};
pub use hub::{Hub, HubConfig, HubError, Pull, RepoId};
pub use layout::{
    LAYOUTS, Layout, Mapping, Naming, Operation, Part, PartRow, Recipe, Renamed, Rule, ShapeError, Transform,
    Union, canonical, cast,
};
pub use tensor_file::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};
