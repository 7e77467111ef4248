use tronie_testing::{Golden, assert_close, synthetic};

use super::*;

fn parameter(step: u64) -> Vec<f32> {
    synthetic::input(&format!("ema.{step}"), &[40])
}

#[test]
fn averages_and_decays_are_those_of_diffusers() {
    let golden = Golden::open("training/steadying");
    let warm = EmaOptions {
        decay: 0.7,
        min_decay: 0.2,
        update_after_step: 3,
        warmup: true,
        inv_gamma: 2.0,
        power: 0.75,
    };
    for (name, options) in [("plain", EmaOptions::default()), ("warm", warm)] {
        let mut ema = Ema::new(options, [("p", parameter(0).as_slice())]).unwrap();
        let decays = golden.f64(&format!("ema/{name}/decays"));
        for (step, expected) in (1..).zip(decays) {
            let found = options.decay_at(step);
            assert!((found - expected).abs() < 1e-12, "{name}, step {step}: {found}, expected {expected}");
            ema.step([("p", parameter(step).as_slice())]).unwrap();
        }
        assert_eq!(ema.n_steps, 15);
        assert_close(&ema.averages["p"], &golden.f32(&format!("ema/{name}/average")), 1e-6);
    }
}

#[test]
fn a_stored_average_continues_bit_for_bit() {
    let run = |ema: &mut Ema, steps: std::ops::Range<u64>| {
        steps.for_each(|step| ema.step([("p", parameter(step).as_slice())]).unwrap());
    };
    let mut whole = Ema::new(EmaOptions::default(), [("p", parameter(0).as_slice())]).unwrap();
    run(&mut whole, 1..9);
    let mut half = Ema::new(EmaOptions::default(), [("p", parameter(0).as_slice())]).unwrap();
    run(&mut half, 1..5);
    let mut continued = Ema { options: half.options, n_steps: half.n_steps, averages: half.averages.clone() };
    run(&mut continued, 5..9);
    assert_eq!(continued, whole);
}

#[test]
fn parameters_and_options_that_do_not_fit_are_refused() {
    let mut ema = Ema::new(EmaOptions::default(), [("p", [0.0; 3].as_slice())]).unwrap();
    let error = ema.step([("q", [0.0; 3].as_slice())]).unwrap_err();
    assert_eq!(error.to_string(), "state \"average\" of \"q\" has 0 values, expected 3");
    let error = ema.step([("p", [0.0; 2].as_slice())]).unwrap_err();
    assert_eq!(error.to_string(), "state \"average\" of \"p\" has 3 values, expected 2");
    let error = Ema::new(EmaOptions { decay: 1.0, ..EmaOptions::default() }, []).unwrap_err();
    assert_eq!(error.to_string(), "decay of ema is 1, expected at least 0 and below 1");
}
