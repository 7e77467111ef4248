//! Sees the attention of the old picture, and gives it to the new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tronie_models::{AttentionEditor, AttentionKind, AttentionSite, Place};
use tronie_sampling::Step;
use tronie_tensor::{DType, Tensor, TensorData};

use super::EditPlan;

/// Which of the two pictures a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The old one: its attention is seen.
    Old,
    /// The new one: its attention is changed.
    New,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// Probabilities of the last pass of the old picture: 1 n s s'.
    probabilities: BTreeMap<AttentionSite, Tensor<4>>,
    /// Sums, over the passes so far, of where each word is looked at, of the old and of the new picture: s s', the mean of
    /// all heads.
    sums: [BTreeMap<AttentionSite, Tensor<2>>; 2],
}

/// What the passes of one run share.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    plan: Arc<EditPlan>,
    seen: Arc<Mutex<Seen>>,
}

/// Where a prompt's places are looked at, pixel by pixel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Looks {
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// For each pixel, row by row, the sum of what all wanted places got.
    pub(crate) values: Vec<f32>,
}

impl Watch {
    pub(crate) fn new(plan: Arc<EditPlan>) -> Self {
        Self { plan, seen: Arc::default() }
    }

    pub(crate) fn plan(&self) -> &EditPlan {
        &self.plan
    }

    /// The editor of one pass, whose first `n_asked` rows are the prompt's; `None` when it has no business there.
    pub(crate) fn editor(&self, role: Role, step: &Step, n_asked: usize) -> Option<Arc<dyn AttentionEditor>> {
        let cross = self.plan.cross_at(step.index, step.n);
        let own = self.plan.own_at(step.index, step.n);
        if n_asked != 1 || (cross.is_none() && !own && !self.plan.wants_maps()) {
            return None;
        }
        Some(Arc::new(Editor { watch: self.clone(), role, cross, own }))
    }

    /// A poisoned lock only means that a thread died while adding a map; the others are whole.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `places` were looked at so far, in the maps nearest to 16x16 pixels: those of Stable Diffusion 1.5 that the
    /// paper's authors take. `None` before the first pass.
    pub(crate) fn looks(&self, role: Role, places: &[usize]) -> Option<Looks> {
        const NEAREST_TO: f64 = 256.0;
        let seen = self.seen();
        let [old, new] = &seen.sums;
        let sums = if role == Role::Old { old } else { new };
        #[expect(clippy::cast_precision_loss, reason = "pixels of a small map")]
        let distance = |site: &AttentionSite| (site.n_pixels() as f64 / NEAREST_TO).ln().abs();
        let size = sums.keys().min_by(|a, b| distance(a).total_cmp(&distance(b)))?.size;
        let mut values = vec![0.0; size.iter().product()];
        for sum in sums.iter().filter(|row| row.0.size == size).map(|row| row.1) {
            let [_, n_places] = sum.dims();
            let all: Vec<f32> = sum.clone().into_data().try_to_vec().unwrap_or_default();
            for (value, row) in values.iter_mut().zip(all.chunks_exact(n_places)) {
                *value += places.iter().filter_map(|&place| row.get(place)).sum::<f32>();
            }
        }
        Some(Looks { size, values })
    }
}

/// The editor of one pass.
#[derive(Debug)]
struct Editor {
    watch: Watch,
    role: Role,
    /// What each new place takes of the old attention; `None` for nothing.
    cross: Option<Vec<f32>>,
    /// Whether pixels look at pixels as in the old picture.
    own: bool,
}

impl Editor {
    /// Whether a layer's attention is handed over.
    fn hands_over(&self, site: &AttentionSite) -> bool {
        match site.kind {
            AttentionKind::Text => self.cross.is_some(),
            AttentionKind::Image => self.own && site.n_pixels() <= self.watch.plan.max_own,
        }
    }

    /// Whether it is summed where a layer's words are looked at: on the way down and up, as the paper's authors do.
    fn sums(&self, site: &AttentionSite) -> bool {
        let is_text = site.kind == AttentionKind::Text && site.place != Place::Mid;
        is_text && self.watch.plan.wants_maps() && site.n_pixels() <= self.watch.plan.max_summed
    }

    /// Adds where each word is looked at in a pass.
    fn sum(&self, site: &AttentionSite, probabilities: &Tensor<4>) {
        let [_, _, n_pixels, n_places] = probabilities.dims();
        let mean = probabilities.clone().cast(DType::F32).mean_dim(1).reshape([n_pixels, n_places]);
        let mut seen = self.watch.seen();
        let [old, new] = &mut seen.sums;
        let sums = if self.role == Role::Old { old } else { new };
        let sum = match sums.remove(site) {
            Some(sum) => sum + mean,
            None => mean,
        };
        sums.insert(*site, sum);
    }

    /// What the new picture goes on with; `None` where the old one was not seen.
    ///
    /// # Shapes
    /// `new`: 1 n s s'. Returns the same shape.
    fn changed(&self, site: &AttentionSite, new: &Tensor<4>) -> Option<Tensor<4>> {
        let old = self.watch.seen().probabilities.get(site).cloned()?;
        let Some(shares) = self.cross.as_ref().filter(|_| site.kind == AttentionKind::Text) else {
            return Some(old);
        };
        let EditPlan { matrix, kept, weights, .. } = &*self.watch.plan;
        let dtype = new.dtype();
        let [_, n_heads, n_pixels, n_old] = old.dims();
        let [_, n_new] = matrix.dims();
        let taken = old.reshape([n_heads * n_pixels, n_old]).matmul(matrix.clone().cast(dtype));
        let taken = taken.reshape([1, n_heads, n_pixels, n_new]); // 1 n s s'
        let edited = (taken + new.clone() * kept.clone().cast(dtype)) * weights.clone().cast(dtype);
        let shares = TensorData::new(shares.clone(), [1, 1, 1, n_new]);
        let shares = Tensor::<4>::from_data(shares, &new.device()).cast(dtype);
        Some(edited * shares.clone() + new.clone() * (shares.neg() + 1.0))
    }
}

impl AttentionEditor for Editor {
    fn wants(&self, site: &AttentionSite) -> bool {
        self.hands_over(site) || self.sums(site)
    }

    fn edit(&self, site: &AttentionSite, probabilities: Tensor<4>) -> Option<Tensor<4>> {
        let n_rows = probabilities.dims()[0];
        let asked = probabilities.clone().narrow(0, 0, 1);
        if self.role == Role::Old {
            if self.sums(site) {
                self.sum(site, &asked);
            }
            if self.hands_over(site) {
                self.watch.seen().probabilities.insert(*site, asked);
            }
            return None;
        }
        let changed = self.hands_over(site).then(|| self.changed(site, &asked)).flatten();
        if self.sums(site) {
            self.sum(site, changed.as_ref().unwrap_or(&asked));
        }
        let changed = changed?;
        if n_rows == 1 {
            return Some(changed);
        }
        Some(Tensor::cat(vec![changed, probabilities.narrow(0, 1, n_rows - 1)], 0))
    }
}
