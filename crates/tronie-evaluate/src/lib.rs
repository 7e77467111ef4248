//! Numbers about sets of pictures: each with an interval, and refused or warned about where the sample is too small.
//!
//! - [`Features`]: a row of numbers for every picture, from files or from embeddings.
//! - [`distribution()`]: how near two sets are: FID, KID, precision and recall.
//! - [`diversity()`], [`memorisation()`]: how different the pictures of a set are, from each other and from what a model was
//!   trained on.
//! - [`ssim`](ssim()), [`ssim_matrix`]: structural similarity, with standard settings and with those of a published coursework.
//! - [`identity()`]: how often pictures of a prompt are taken for the person they should show.
//! - [`Confusion`]: what was asked for against what was measured.
//! - [`Evaluation`]: all of it as JSON; [`page`](page()) shows it as one HTML file that needs nothing else.
//!
//! This crate opens no network and knows no dataset: rows, names and labels are handed in.

mod confusion;
mod distribution;
mod diversity;
mod error;
mod features;
mod identity;
mod linear;
mod memorisation;
mod page;
mod sample;
mod ssim;
mod statistics;

pub use confusion::Confusion;
pub use distribution::{Distribution, NEAREST, distribution, frechet_distance, kernel_distance, precision};
pub use diversity::{Diversity, diversity};
pub use error::EvaluateError;
pub use features::Features;
pub use identity::{Comparison, Identity, PromptRate, identity};
pub use memorisation::{Memorisation, Nearest, memorisation};
pub use page::{Evaluation, page};
pub use sample::{MINIMA, Minimum};
pub use ssim::{SsimMatrix, SsimSettings, ssim, ssim_matrix};
pub use statistics::{Estimate, Interval, Resampling};
