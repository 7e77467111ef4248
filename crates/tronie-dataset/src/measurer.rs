//! Who looks at candidates.

use std::collections::BTreeMap;
use std::thread;

use tronie_faces::{Analyzer, FacesError, Seen, Worker};
use tronie_image::Pixels;

use crate::BoxedFaulty;

/// Says what is in pictures.
///
/// What is said about a picture must depend on the picture and the identity alone.
pub trait Measurer {
    /// What the answers depend on beside the pictures: annotators, and the hashes of their networks. Answers are kept and
    /// used again under this identity.
    fn identity(&self) -> BTreeMap<String, Option<String>>;

    /// How many pictures are best handed over at once, at least 1.
    fn batch_size(&self) -> usize;

    /// What is in each of `pictures`, in their order.
    ///
    /// # Errors
    /// Whatever went wrong; what was measured in earlier calls is kept.
    fn measure(&mut self, pictures: &[Pixels]) -> Result<Vec<Seen>, BoxedFaulty>;
}

/// The annotators of [`tronie_faces`], on as many threads as wanted.
#[derive(Debug)]
pub struct FaceMeasurer {
    identity: BTreeMap<String, Option<String>>,
    workers: Vec<Worker>,
}

impl FaceMeasurer {
    /// Measures with what an analyzer has opened.
    #[must_use]
    pub fn new(analyzer: &Analyzer, n_threads: usize) -> Self {
        let workers = (0..n_threads.max(1)).map(|_| analyzer.worker()).collect();
        Self { identity: analyzer.identity(), workers }
    }
}

impl Measurer for FaceMeasurer {
    fn identity(&self) -> BTreeMap<String, Option<String>> {
        self.identity.clone()
    }

    fn batch_size(&self) -> usize {
        8 * self.workers.len()
    }

    fn measure(&mut self, pictures: &[Pixels]) -> Result<Vec<Seen>, BoxedFaulty> {
        let share = pictures.len().div_ceil(self.workers.len()).max(1);
        let look = |worker: &Worker, share: &[Pixels]| {
            share.iter().map(|pixels| Seen::of(worker, pixels)).collect::<Result<Vec<Seen>, FacesError>>()
        };
        let parts: Vec<_> = thread::scope(|scope| {
            let shares = self.workers.iter_mut().zip(pictures.chunks(share));
            let threads: Vec<_> =
                shares.map(|(worker, share)| scope.spawn(move || look(worker, share))).collect();
            // A panic of a thread goes on in this one.
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let parts: Result<Vec<_>, FacesError> = parts.into_iter().collect();
        Ok(parts.map_err(|error| Box::new(error) as BoxedFaulty)?.into_iter().flatten().collect())
    }
}
