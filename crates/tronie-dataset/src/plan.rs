//! What a spec will make, before anything is made.

use crate::{Cell, Excluded, Item, Spec};

/// Example prompts in a plan.
const N_EXAMPLES: u64 = 8;

/// What one image costs, as measured on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Seconds of work, from prompt to file.
    pub seconds_per_image: f64,
    /// Size of a file.
    pub bytes_per_image: u64,
}

/// What a build of a spec will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the spec.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its identity, see [`Spec::identity`].
    pub identity: String,
    /// Number of images.
    pub n_images: u64,
    /// The cells with their counts.
    pub cells: Vec<Cell>,
    /// The cells left out.
    pub excluded: Vec<Excluded>,
    /// The first images, of as many different cells as there are.
    pub examples: Vec<Item>,
    /// Estimated size of all images.
    pub n_bytes: u64,
    /// Estimated duration in seconds, without interruptions.
    pub seconds: f64,
}

/// What a build of `spec` will be, at the given rate.
#[must_use]
pub fn plan(spec: &Spec, rate: Rate) -> Plan {
    let n_images = spec.n_images();
    #[expect(clippy::cast_precision_loss, reason = "at most 10^7 images")]
    let seconds = rate.seconds_per_image * n_images as f64;
    Plan {
        name: spec.name().to_owned(),
        version: spec.version(),
        identity: spec.identity().to_owned(),
        n_images,
        cells: spec.cells().to_vec(),
        excluded: spec.excluded().to_vec(),
        examples: (0..n_images.min(N_EXAMPLES)).filter_map(|index| spec.item(index)).collect(),
        n_bytes: rate.bytes_per_image.saturating_mul(n_images),
        seconds,
    }
}
