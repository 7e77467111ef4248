//! Pictures for networks that are steered by one: edges, blurred and two-tone versions of a picture, and drawn poses.
//!
//! Each is what the networks were trained on, by the definitions of the annotators that made their training data
//! (lllyasviel/ControlNet, `annotator/`).

mod canny;
mod pose;
mod tones;

pub use canny::canny;
pub use pose::{Pose, PoseError};
pub use tones::{blur, invert, scribble, threshold, tile};
