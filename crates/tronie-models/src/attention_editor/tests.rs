use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tronie_tensor::{DType, Device, TensorData};
use tronie_testing::{assert_close, repository, synthetic};
use tronie_weights::Dtype;

use super::*;
use crate::synthetic::filled;
use crate::{Conditioning, UnetConfig};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    /// Returns what it saw.
    Repeats,
    /// Lets nothing look at the last token.
    ForgetsLast,
}

#[derive(Debug)]
struct Recorder {
    does: Does,
    seen: Mutex<Vec<(AttentionSite, [usize; 4])>>,
}

impl AttentionEditor for Recorder {
    fn wants(&self, site: &AttentionSite) -> bool {
        self.does != Does::ForgetsLast || site.kind == AttentionKind::Text
    }

    fn edit(&self, site: &AttentionSite, probabilities: Tensor<4>) -> Option<Tensor<4>> {
        let [b, n, s, n_tokens] = probabilities.dims();
        self.seen.lock().unwrap().push((*site, probabilities.dims()));
        let sums: Vec<f32> = probabilities.clone().sum_dim(3).into_data().try_to_vec().unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
        match self.does {
            Does::Nothing => None,
            Does::Repeats => Some(probabilities),
            Does::ForgetsLast => {
                let nothing = Tensor::zeros([b, n, s, 1], &probabilities.device());
                Some(probabilities.slice_assign([0..b, 0..n, 0..s, n_tokens - 1..n_tokens], nothing))
            }
        }
    }
}

fn input<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(synthetic::input(name, &shape), shape), &Device::flex())
}

/// The network's answer with an editor that does this, and what it saw.
fn answer(does: Option<Does>) -> (Vec<f32>, Vec<(AttentionSite, [usize; 4])>) {
    let path = repository().join("testdata/unet/sdxl.config.json");
    let config = UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    let device = Device::flex();
    let unet = filled(config.init(&device).unwrap(), Dtype::F32, &device);
    let recorder = does.map(|does| Arc::new(Recorder { does, seen: Mutex::default() }));
    let added = crate::Added { pooled: input("pooled", [2, 20]), time_ids: input("sizes", [2, 6]) * 100.0 };
    let conditioning = Conditioning {
        added: Some(added),
        editor: recorder.clone().map(|recorder| recorder as Arc<dyn AttentionEditor>),
        ..Conditioning::new(input("context", [2, 5, 24]))
    };
    let timestep = Tensor::from_data([601.0_f32, 601.0], &device);
    let output = unet.forward(input("latents", [2, 4, 8, 6]), timestep, &conditioning);
    let seen = recorder.map_or_else(Vec::new, |recorder| recorder.seen.lock().unwrap().clone());
    (output.cast(DType::F32).into_data().try_to_vec().unwrap(), seen)
}

#[test]
fn an_editor_that_only_looks_changes_no_bit() {
    assert_eq!(answer(Some(Does::Nothing)).0, answer(None).0);
}

#[test]
fn probabilities_given_back_give_the_fused_output() {
    assert_close(&answer(Some(Does::Repeats)).0, &answer(None).0, 1e-5);
}

#[test]
fn changed_probabilities_change_the_output() {
    let difference: f32 =
        answer(Some(Does::ForgetsLast)).0.iter().zip(answer(None).0).map(|(a, b)| (a - b).abs()).sum();
    assert!(difference > 0.1, "{difference}");
}

#[test]
fn every_layer_is_seen_once_with_its_place_and_size() {
    let (_, seen) = answer(Some(Does::Nothing));
    let sites: BTreeSet<AttentionSite> = seen.iter().map(|row| row.0).collect();
    assert_eq!(sites.len(), seen.len(), "no two layers have the same site");
    // transformers of 2 layers twice at [4, 3], of 3 twice at [2, 2]; 3 in the middle; on the way up one more of each
    assert_eq!(seen.len(), 2 * (2 * 2 + 2 * 3 + 3 + 3 * 3 + 3 * 2));
    for (site, dims) in seen {
        let n_seen = if site.kind == AttentionKind::Text { 5 } else { site.n_pixels() };
        assert_eq!([dims[0], dims[2], dims[3]], [2, site.n_pixels(), n_seen], "{site:?}");
        assert_eq!(site.index == 1, site.kind == AttentionKind::Text);
        assert_eq!(site.size, if dims[1] == 2 { [4, 3] } else { [2, 2] });
    }
}
