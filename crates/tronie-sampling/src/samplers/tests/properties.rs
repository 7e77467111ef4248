use tronie_base::Cancelled;
use tronie_tensor::noise::{NoiseSpec, NoiseStream, Rng};
use tronie_tensor::{Device, Tensor};

use crate::{Denoiser, Observer, Run, SAMPLERS, SampleError, Sigmas, Step, Unobserved, find_sampler};

/// Knows the answer: 0.25 everywhere.
struct Oracle {
    n_looks: usize,
}

impl Denoiser for Oracle {
    fn denoise(&mut self, x: &Tensor<4>, _sigma: f64) -> Result<Tensor<4>, SampleError> {
        self.n_looks += 1;
        Ok(x.zeros_like() + 0.25)
    }
}

struct StopAt(usize);

impl Observer for StopAt {
    fn on_step(&mut self, step: &Step, _x0: &Tensor<4>) -> Result<(), SampleError> {
        if step.index >= self.0 { Err(Cancelled.into()) } else { Ok(()) }
    }
}

fn walk(id: &str, model: &mut dyn Denoiser, observer: &mut dyn Observer) -> Result<Vec<f32>, SampleError> {
    let (row, _) = find_sampler(id).unwrap();
    let levels = (0..=24).map(|i| 14.6 * (0.02_f64 / 14.6).powf(f64::from(i) / 24.0));
    let sigmas = Sigmas::new(levels.chain([0.0]).collect()).unwrap();
    let spec = NoiseSpec::per_image(Rng::Philox, 5, 2);
    let mut noise = NoiseStream::new(&spec, [4, 2, 2], &Device::flex()).unwrap();
    let x = noise.initial() * 14.6;
    let run = Run { model, sigmas: &sigmas, noise: &mut noise, observer, options: row.options() };
    Ok(row.run(run, x)?.to_data().try_to_vec::<f32>().unwrap())
}

#[test]
fn every_sampler_arrives_at_a_picture_the_model_is_sure_of() {
    for row in SAMPLERS {
        let end = walk(row.id, &mut Oracle { n_looks: 0 }, &mut Unobserved).unwrap();
        // Samplers that stop above level 0 keep noise of that level; 0.02 with 32 values stays below 4 sigma.
        let worst = end.iter().fold(0.0_f32, |worst, value| worst.max((value - 0.25).abs()));
        assert!(worst < 0.08, "{}: off by {worst}", row.id);
    }
}

#[test]
fn the_same_noise_gives_the_same_picture() {
    for row in SAMPLERS {
        let [a, b] = [0; 2].map(|_| walk(row.id, &mut Oracle { n_looks: 0 }, &mut Unobserved).unwrap());
        assert_eq!(a, b, "{}", row.id);
    }
}

#[test]
fn an_observer_ends_a_run_at_once() {
    for row in SAMPLERS {
        let mut model = Oracle { n_looks: 0 };
        let error = walk(row.id, &mut model, &mut StopAt(1)).unwrap_err();
        assert!(matches!(error, SampleError::Cancelled(_)), "{}", row.id);
        assert!(model.n_looks <= 12, "{}: {} looks", row.id, model.n_looks);
    }
}

#[test]
fn options_and_answers_that_make_no_sense_are_named() {
    struct Wrong;
    impl Denoiser for Wrong {
        fn denoise(&mut self, x: &Tensor<4>, _sigma: f64) -> Result<Tensor<4>, SampleError> {
            Ok(x.clone().reshape([1, 8, 2, 2]))
        }
    }
    let error = walk("euler", &mut Wrong, &mut Unobserved).unwrap_err();
    let message = "the network answered with shape [1, 8, 2, 2], expected [2, 4, 2, 2] (b c h w)";
    assert_eq!(error.to_string(), message);

    let (row, _) = find_sampler("ddim").unwrap();
    for (eta, s_noise, wrong) in [(-1.0, 1.0, "eta"), (f64::NAN, 1.0, "eta"), (0.0, f64::INFINITY, "s_noise")]
    {
        let options = crate::SamplerOptions { eta, s_noise, ..row.options() };
        match options.check() {
            Err(SampleError::Option { name, .. }) => assert_eq!(name, wrong),
            other => panic!("{other:?}"),
        }
    }
}
