//! An image is the same alone and in every batch, whatever else is asked for.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use crate::noise::{NoiseSpec, NoiseStream, Rng, Subseeds};

/// Image `index` of everything a sampler can draw.
fn drawn(spec: &NoiseSpec, dims: [usize; 3], index: usize) -> Vec<f32> {
    let mut noise = NoiseStream::new(spec, dims, &Device::flex()).unwrap();
    let mut path = noise.brownian(0.1, 10.0);
    let tensors =
        [noise.initial(), noise.next(), path.between(10.0, 3.0), noise.next(), path.between(3.0, 0.7)];
    let image = |tensor: Tensor<4>| {
        let image = tensor.narrow(0, index, 1);
        image.into_data().try_to_vec::<f32>().unwrap()
    };
    tensors.into_iter().flat_map(image).collect()
}

prop_compose! {
    fn any_batch()(
        seeds in prop::collection::vec((any::<u64>(), any::<u64>()), 1..5),
        is_philox in any::<bool>(),
        strength in prop_oneof![Just(0.0_f32), 0.0..=1.0_f32],
        eta_seed_delta in prop_oneof![Just(0), any::<i64>()],
        seed_resize in prop::option::of((1_usize..9, 1_usize..9)),
    ) -> NoiseSpec {
        let (seeds, subseeds) = seeds.into_iter().unzip();
        NoiseSpec {
            rng: if is_philox { Rng::Philox } else { Rng::TorchCpu },
            seeds,
            subseeds: Some(Subseeds { seeds: subseeds, strength }),
            eta_seed_delta,
            seed_resize,
            ..NoiseSpec::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_image_of_a_batch_is_the_image_alone(
        spec in any_batch(),
        (c, h, w) in (1_usize..4, 1_usize..9, 1_usize..9),
    ) {
        for (index, &seed) in spec.seeds.iter().enumerate() {
            let subseeds = spec.subseeds.as_ref().unwrap();
            let alone = NoiseSpec {
                seeds: vec![seed],
                subseeds: Some(Subseeds { seeds: vec![subseeds.seeds[index]], ..*subseeds }),
                ..spec.clone()
            };
            let found = drawn(&spec, [c, h, w], index);
            prop_assert!(found.iter().all(|value| value.is_finite()));
            prop_assert_eq!(found, drawn(&alone, [c, h, w], 0));
        }
    }

    #[test]
    fn image_i_has_seed_plus_i(seed in any::<u64>(), index in 0_usize..3, is_philox in any::<bool>()) {
        let rng = if is_philox { Rng::Philox } else { Rng::TorchCpu };
        let batch = NoiseSpec::per_image(rng, seed, 3);
        let alone = NoiseSpec::per_image(rng, seed.wrapping_add(index as u64), 1);
        prop_assert_eq!(drawn(&batch, [4, 5, 6], index), drawn(&alone, [4, 5, 6], 0));
    }

    #[test]
    fn a_path_does_not_depend_on_what_was_asked_before(
        first in prop::collection::vec((0.1_f64..10.0, 0.1_f64..10.0), 0..60),
        (from, to) in (0.1_f64..10.0, 0.1_f64..10.0),
    ) {
        let spec = NoiseSpec::per_image(Rng::Philox, 11, 1);
        let mut noise = NoiseStream::new(&spec, [1, 1, 3], &Device::flex()).unwrap();
        let mut fresh = noise.brownian(0.1, 10.0);
        let mut asked = fresh.clone();
        for (from, to) in first {
            asked.between(from, to);
        }
        let values = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f32>().unwrap();
        prop_assert_eq!(values(asked.between(from, to)), values(fresh.between(from, to)));
    }
}
