//! Steering by pictures: ControlNets and T2I-Adapters, each with a picture, a weight and a part of the steps.
//!
//! [`ControlUnit`] is what a request says. [`ControlLoader`] makes of it a [`Control`], with its network in memory and its
//! picture looked at, and [`add_controls`] puts what all of them give into a UNet's conditioning.

mod error;
mod hint;
mod loader;

pub use error::ControlUnitError;
pub use hint::Preprocessor;
pub(crate) use loader::ControlLoader;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tronie_image::Fit;
use tronie_models::{AdapterFeatures, Added, Conditioning, ControlNet, ControlResiduals, Hint};
use tronie_sampling::Step;
use tronie_tensor::Tensor;

use crate::PictureFile;
use crate::request::{Row, in_range, interval};

/// Each map weighs this much of the next deeper one where the prompt shall count for more (A1111's soft weights).
const SOFTER: f64 = 0.825;
/// Weights of an adapter's maps there, from the highest resolution to the lowest (A1111's).
const SOFT_ADAPTER: [f64; 4] = [0.25, 0.62, 0.825, 1.0];
/// Maps of the ControlNets that [`SOFTER`] is counted from: 12 and the middle. A1111 counts so for SDXL too, which has 10.
const N_SOFT: i32 = 13;

/// One picture that steers, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlUnit {
    /// File of the picture; of a pose, its JSON.
    pub image: PictureFile,
    /// What is made of the picture before the network looks at it.
    #[serde(default)]
    pub preprocessor: Preprocessor,
    /// How a picture of another size is brought to the image's; an error when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// The network: a path, a name in a models folder, or a Hugging Face id.
    pub model: String,
    /// How strongly it steers, 0 to 2.
    #[serde(default = "one")]
    pub weight: f64,
    /// It begins after this share of the steps.
    #[serde(default)]
    pub start: f64,
    /// It ends after this share of the steps.
    #[serde(default = "one")]
    pub end: f64,
    /// What counts for more where prompt and picture disagree.
    #[serde(default)]
    pub mode: ControlMode,
    /// What kind of picture it is, for a ControlNet Union; when left out, what the preprocessor makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ControlPicture>,
}

/// Kinds of pictures that a ControlNet Union knows, in the order of its numbers; the last two only in `ProMax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlPicture {
    /// A drawn pose.
    Pose,
    /// Brighter is nearer.
    Depth,
    /// Soft edges or strokes of a hand (HED, `PiDiNet`, scribble).
    SoftEdge,
    /// Hard edges and lines (Canny, line art, MLSD).
    Line,
    /// Directions of surfaces.
    Normal,
    /// One color for each kind of thing.
    Segmentation,
    /// A coarser version of the image.
    Tile,
    /// The image with what shall be painted missing.
    Inpaint,
}

impl ControlPicture {
    /// What a preprocessor makes, where that is one of them.
    fn made_by(preprocessor: Preprocessor) -> Option<Self> {
        match preprocessor {
            Preprocessor::Canny { .. } => Some(Self::Line),
            Preprocessor::Tile { .. } | Preprocessor::Blur { .. } => Some(Self::Tile),
            Preprocessor::Scribble { .. } | Preprocessor::Threshold { .. } => Some(Self::SoftEdge),
            Preprocessor::Pose => Some(Self::Pose),
            Preprocessor::None | Preprocessor::Invert => None,
        }
    }
}

/// What counts for more where prompt and picture disagree (A1111's control mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlMode {
    /// Neither.
    #[default]
    Balanced,
    /// The prompt: maps of high resolution weigh less.
    Prompt,
    /// The picture: the same weights, and only where the prompt is asked, so that guidance strengthens them.
    Control,
}

fn one() -> f64 {
    1.0
}

impl ControlUnit {
    /// A unit that leaves everything but picture and network to the defaults.
    #[must_use]
    pub fn new(image: PathBuf, model: &str) -> Self {
        Self {
            image: image.into(),
            preprocessor: Preprocessor::None,
            fit: None,
            model: model.to_owned(),
            weight: 1.0,
            start: 0.0,
            end: 1.0,
            mode: ControlMode::Balanced,
            kind: None,
        }
    }

    /// The same, with a picture that is stretched where its size is another.
    pub(crate) fn at_any_size(&self) -> Self {
        Self { fit: Some(self.fit.unwrap_or(Fit::Stretch)), ..self.clone() }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let Self { weight, start, end, .. } = *self;
        let mut rows = vec![
            in_range("control weight", weight, 0.0..=2.0, "0 to 2"),
            interval("control start and end", [start, end]),
        ];
        rows.extend(self.preprocessor.row());
        rows
    }

    fn acts_at(&self, step: &Step) -> bool {
        self.weight != 0.0 && lies_within(step, [self.start, self.end])
    }
}

/// Whether a step lies in a share of all steps as a whole, as in diffusers.
pub(crate) fn lies_within(step: &Step, [start, end]: [f64; 2]) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "steps are at most 1000")]
    let [begins, ends, n] = [step.index, step.index + 1, step.n].map(|count| count as f64);
    begins / n >= start && ends / n <= end
}

/// A unit that is ready to steer.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    unit: ControlUnit,
    network: Looked,
}

impl Control {
    /// What the request says of it, with its picture's hash.
    pub(crate) fn unit(&self) -> &ControlUnit {
        &self.unit
    }
}

/// A control network that has looked at its picture.
#[derive(Debug, Clone)]
enum Looked {
    /// Runs at every step.
    ControlNet(Box<Shown>),
    /// Has run once.
    Adapter(AdapterFeatures),
}

/// A ControlNet and its picture.
#[derive(Debug, Clone)]
struct Shown {
    network: Arc<ControlNet>,
    hint: Hint,
    in_channels: usize,
    pools: bool,
}

/// One pass of a UNet.
pub(crate) struct Pass<'a> {
    /// b c h w: the rows that are asked with the prompt first.
    pub(crate) x: &'a Tensor<4>,
    /// b
    pub(crate) timesteps: &'a Tensor<1>,
    /// Rows that are asked with the prompt.
    pub(crate) n_asked: usize,
    pub(crate) step: &'a Step,
}

/// What the controls give at a step, added to what the UNet is told.
pub(crate) fn add_controls(
    controls: &[Control],
    pass: &Pass<'_>,
    conditioning: Conditioning,
) -> Conditioning {
    let n_rows = pass.x.dims()[0];
    let mut told = conditioning;
    for Control { unit, network } in controls.iter().filter(|control| control.unit.acts_at(pass.step)) {
        let is_soft = unit.mode != ControlMode::Balanced;
        match network {
            Looked::ControlNet(shown) => {
                let Shown { network, hint, in_channels, pools } = shown.as_ref();
                let only_asked = unit.mode == ControlMode::Control || *pools;
                let n = if only_asked { pass.n_asked } else { n_rows };
                if n == 0 {
                    continue;
                }
                let x = pass.x.clone().narrow(0, 0, n).narrow(1, 0, *in_channels);
                let timesteps = pass.timesteps.clone().narrow(0, 0, n);
                let residuals = network.forward(x, timesteps, &first_rows(&told, n), hint);
                let weights = weights(unit.weight, is_soft, residuals.down.len() + 1);
                let residuals = residuals.scaled(&weights).padded(n_rows);
                told.control = Some(match told.control {
                    Some(others) => ControlResiduals::plus(others, residuals),
                    None => residuals,
                });
            }
            Looked::Adapter(features) => {
                let only_asked = unit.mode == ControlMode::Control;
                let n = if only_asked { pass.n_asked } else { n_rows };
                if n == 0 {
                    continue;
                }
                let soft = |weight: f64| if is_soft { unit.weight * weight } else { unit.weight };
                let features = features.clone().scaled(&SOFT_ADAPTER.map(soft)).repeated(n).padded(n_rows);
                told.adapter = Some(match told.adapter {
                    Some(others) => AdapterFeatures::plus(others, features),
                    None => features,
                });
            }
        }
    }
    told
}

/// The weight of each map, the middle's last.
fn weights(weight: f64, is_soft: bool, n_maps: usize) -> Vec<f64> {
    let soft = |exponent: i32| if is_soft { weight * SOFTER.powi(exponent) } else { weight };
    (0..N_SOFT).rev().chain(std::iter::repeat(0)).take(n_maps).map(soft).collect()
}

/// Texts and added numbers of the first rows.
fn first_rows(conditioning: &Conditioning, n: usize) -> Conditioning {
    let added = conditioning.added.as_ref().map(|Added { pooled, time_ids }| Added {
        pooled: pooled.clone().narrow(0, 0, n),
        time_ids: time_ids.clone().narrow(0, 0, n),
    });
    Conditioning { added, ..Conditioning::new(conditioning.context.clone().narrow(0, 0, n)) }
}
