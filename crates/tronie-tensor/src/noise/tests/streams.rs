//! Streams and Brownian paths against PyTorch, torchsde and k-diffusion.

use burn::tensor::{Device, Tensor};
use tronie_base::{Fault, Faulty};
use tronie_testing::{Golden, assert_close};

use crate::noise::{NoiseError, NoiseSpec, NoiseStream, Rng, Streams, Subseeds};

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn stream(spec: &NoiseSpec, image_dims: [usize; 3]) -> NoiseStream {
    NoiseStream::new(spec, image_dims, &Device::flex()).unwrap()
}

/// What reference/noise.py draws: three images of 2 8 9.
fn spec_of_three() -> NoiseSpec {
    NoiseSpec { rng: Rng::TorchCpu, seeds: vec![1000, 1001, 5], ..NoiseSpec::default() }
}

#[test]
fn first_and_following_noise_equal_the_reference() {
    struct Case {
        name: &'static str,
        strength: f32,
        seed_resize: Option<(usize, usize)>,
        eta_seed_delta: i64,
    }
    let case =
        |name, strength, seed_resize, eta_seed_delta| Case { name, strength, seed_resize, eta_seed_delta };
    let cases = [
        case("plain", 0.0, None, 0),
        case("subseed", 0.3, None, 0),
        case("subseed_all", 1.0, None, 0),
        case("smaller", 0.0, Some((5, 4)), 0),
        case("larger", 0.0, Some((11, 12)), 0),
        case("wider", 0.6, Some((6, 13)), 0),
        case("ensd", 0.0, None, 31337),
        case("ensd_negative", 0.25, Some((8, 7)), -1000),
    ];
    let golden = Golden::open("noise/stream");
    for case in cases {
        let spec = NoiseSpec {
            subseeds: Some(Subseeds { seeds: vec![7, 8, 1 << 40], strength: case.strength }),
            seed_resize: case.seed_resize,
            eta_seed_delta: case.eta_seed_delta,
            ..spec_of_three()
        };
        let mut noise = stream(&spec, [2, 8, 9]);
        let found = [noise.initial(), noise.next(), noise.next()];
        println!("{}", case.name);
        let tolerance = if case.strength == 0.0 { 0.0 } else { 1e-7 }; // mixing is rounded differently
        assert_close(&found.map(values).concat(), &golden.f32(case.name), tolerance);
    }
}

#[test]
fn a_whole_batch_is_one_draw() {
    let spec = NoiseSpec::whole_batch(Rng::TorchCpu, 1000, 3);
    let mut noise = stream(&spec, [2, 8, 9]);
    let found = [noise.initial(), noise.next(), noise.next()];
    let expected = Golden::open("noise/stream").f32("whole_batch");
    assert_eq!(found.map(values).concat(), expected);
}

#[test]
fn brownian_noise_equals_torchsde() {
    let golden = Golden::open("noise/brownian");
    let layouts = [
        (
            "per_image",
            NoiseSpec { rng: Rng::TorchCpu, seeds: vec![42, (1 << 63) - 1], ..NoiseSpec::default() },
        ),
        ("whole_batch", NoiseSpec::whole_batch(Rng::TorchCpu, 2_483_964_025, 2)),
    ];
    for schedule in ["karras_10", "karras_20", "dyadic"] {
        let [low, high] = golden.f64(&format!("{schedule}.range")) else { panic!("two ends") };
        for (layout, spec) in &layouts {
            let mut path = stream(spec, [2, 3, 5]).brownian(*low, *high);
            let queries = golden.f64(&format!("{schedule}.queries")).chunks_exact(2);
            let expected = golden.f32(&format!("{schedule}.{layout}"));
            for (query, expected) in queries.zip(expected.chunks_exact(60)) {
                let found = values(path.between(query[0], query[1]));
                assert_eq!(found, expected, "{schedule} {layout} {query:?}");
            }
        }
    }
}

#[test]
fn brownian_increments_have_unit_variance_and_do_not_repeat() {
    let mut path = stream(&NoiseSpec::per_image(Rng::Philox, 9, 1), [4, 32, 32]).brownian(0.03, 14.6);
    let levels = [14.6, 9.0, 5.5, 2.2, 1.0, 0.3, 0.03];
    let steps: Vec<_> = levels.windows(2).map(|pair| values(path.between(pair[0], pair[1]))).collect();
    let n = 4096.0;
    for (index, step) in steps.iter().enumerate() {
        let dot = |other: &[f32]| step.iter().zip(other).map(|(&a, &b)| f64::from(a * b)).sum::<f64>() / n;
        assert!((dot(step) - 1.0).abs() < 6.0 * (2.0 / n).sqrt());
        for other in &steps[index + 1..] {
            assert!(dot(other).abs() < 6.0 / n.sqrt());
        }
    }
}

#[test]
fn strange_noise_levels_end() {
    let mut noise = stream(&NoiseSpec::per_image(Rng::Philox, 0, 1), [1, 1, 2]);
    let ranges = [(0.0, 1e300), (-1e30, 1e30), (1.0, 1.0), (f64::NAN, 2.0), (0.0, f64::INFINITY)];
    for (low, high) in ranges {
        let mut path = noise.brownian(low, high);
        for (from, to) in
            [(0.3, 0.1), (1.0, 1.0), (f64::NAN, 1.0), (f64::INFINITY, f64::NEG_INFINITY), (1e9, 0.0)]
        {
            assert_eq!(path.between(from, to).dims(), [1, 1, 1, 2]);
        }
    }
}

#[test]
fn a_silent_stream_is_zero() {
    let dims = [2, 1, 3, 2];
    let mut noise = NoiseStream::silent(dims, &Device::flex());
    let drawn = [noise.initial(), noise.next(), noise.brownian(0.1, 1.0).between(1.0, 0.5)];
    for tensor in drawn {
        assert_eq!(tensor.dims(), dims);
        assert_eq!(values(tensor), [0.0; 12]);
    }
}

#[test]
fn initial_rewinds() {
    let spec = NoiseSpec { eta_seed_delta: 3, ..spec_of_three() };
    let mut noise = stream(&spec, [1, 4, 4]);
    let mut round = || [noise.initial(), noise.next()].map(values);
    assert_eq!(round(), round());
}

#[test]
fn a_subseed_that_is_the_seed_changes_nothing() {
    let spec = spec_of_three();
    let plain = values(stream(&spec, [2, 8, 9]).initial());
    let subseeds = Subseeds { seeds: spec.seeds.clone(), strength: 0.4 };
    let same = NoiseSpec { subseeds: Some(subseeds), ..spec };
    assert_close(&values(stream(&same, [2, 8, 9]).initial()), &plain, 1e-7);
}

#[track_caller]
fn check_refused(spec: &NoiseSpec, edit: impl Fn(&mut NoiseSpec), message: &str) {
    let mut spec = spec.clone();
    edit(&mut spec);
    let error = NoiseStream::new(&spec, [4, 8, 8], &Device::flex()).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.fault(), Fault::Input);
}

fn set_subseeds(spec: &mut NoiseSpec, n: usize, strength: f32) {
    let seeds = vec![1; n];
    spec.subseeds = Some(Subseeds { seeds, strength });
}

#[test]
fn a_spec_that_cannot_be_drawn_says_why() {
    let good = spec_of_three();
    let check = |edit: fn(&mut NoiseSpec), message| check_refused(&good, edit, message);
    check(|spec| spec.seeds.clear(), "noise for 0 images of [4, 8, 8] (c h w) is empty");
    check(|spec| set_subseeds(spec, 2, 0.5), "found 2 variation seeds, expected one for each of 3 images");
    check(|spec| set_subseeds(spec, 3, 1.5), "variation strength 1.5 is not between 0 and 1");
    check(|spec| set_subseeds(spec, 3, f32::NAN), "variation strength NaN is not between 0 and 1");
    check(|spec| spec.seed_resize = Some((0, 8)), "seed resize from a size of 0");
    check(
        |spec| spec.seed_resize = Some((8, 16385)),
        "seed resize from 8x16385 latents, expected at most 16384x16384",
    );
    let huge = NoiseStream::new(&good, [usize::MAX, 2, 2], &Device::flex()).unwrap_err();
    assert!(matches!(huge, NoiseError::TooLarge { n_images: 3, .. }));
}

#[test]
fn a_whole_batch_refuses_what_is_per_image() {
    let whole = NoiseSpec::whole_batch(Rng::Philox, 4, 2);
    let check = |edit: fn(&mut NoiseSpec), message| check_refused(&whole, edit, message);
    check(|spec| spec.seeds = vec![4, 5], "a batch drawn as a whole has one seed, found 4 and 5");
    check(
        |spec| set_subseeds(spec, 2, 0.5),
        "a variation seed needs one generator per image, but this batch is drawn as a whole",
    );
    check(
        |spec| spec.seed_resize = Some((8, 8)),
        "seed resize needs one generator per image, but this batch is drawn as a whole",
    );
}

#[test]
fn a_spec_is_what_its_json_says() {
    let json =
        r#"{"rng":"torch_cpu","seeds":[18446744073709551615],"eta_seed_delta":0,"layout":"per_image"}"#;
    let spec = NoiseSpec::per_image(Rng::TorchCpu, u64::MAX, 1);
    assert_eq!(serde_json::to_string(&spec).unwrap(), json);
    assert_eq!(serde_json::from_str::<NoiseSpec>(json).unwrap(), spec);
    let short: NoiseSpec = serde_json::from_str(r#"{"seeds":[1]}"#).unwrap();
    assert_eq!((short.rng, short.layout), (Rng::Philox, Streams::PerImage));
}

#[test]
fn a_shared_draw_comes_before_the_noise_and_moves_it() {
    let spec = NoiseSpec::whole_batch(Rng::TorchCpu, 1000, 2);
    let mut noise = stream(&spec, [2, 8, 9]);
    let shared = noise.shared([2, 8, 9]);
    assert_eq!(shared.dims(), [1, 2, 8, 9]);
    let found = [values(shared), values(noise.initial_here())].concat();
    // One generator draws three pictures' worth: the shared one, then the batch.
    let three = values(stream(&NoiseSpec::whole_batch(Rng::TorchCpu, 1000, 1), [6, 8, 9]).initial());
    assert_close(&found, &three, 0.0);
    let alone = values(stream(&spec, [2, 8, 9]).initial());
    assert_eq!(values(noise.initial()), alone, "a rewound stream starts with the noise");
}
