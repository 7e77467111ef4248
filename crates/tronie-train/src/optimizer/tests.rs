use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::json;
use tronie_testing::{Golden, assert_close, synthetic};

use super::*;

/// The parameters of `reference/training.py`; the second is large enough to be quantised.
const SHAPES: [(&str, &[usize]); 3] =
    [("proj.bias", &[24]), ("proj.weight", &[72, 64]), ("conv.weight", &[6, 5, 3, 3])];
const N_STEPS: u64 = 20;

fn constant(_: u64) -> f64 {
    1.0
}

fn warm(step: u64) -> f64 {
    (step as f64 / 4.0).min(1.0)
}

/// A step without any learning rate, then a warm-up.
fn late(step: u64) -> f64 {
    ((step - 1) as f64 / 4.0).min(1.0)
}

/// A run that can be looked at, stored and continued.
struct Training {
    optimizer: Box<dyn Optimizer>,
    names: Vec<(&'static str, &'static [usize])>,
    values: Vec<Vec<f32>>,
    states: Vec<State>,
    shared: Shared,
}

impl Training {
    fn new(id: &str, options: Value, names: &[(&'static str, &'static [usize])]) -> Self {
        let optimizer = find_optimizer(id).unwrap().make(options).unwrap();
        let values: Vec<Vec<f32>> =
            names.iter().map(|(name, shape)| synthetic::weight(name, shape)).collect();
        let states = names.iter().zip(&values).map(|((_, shape), values)| optimizer.new_state(values, shape));
        let (states, shared) = (states.collect(), optimizer.new_shared());
        Self { optimizer, names: names.to_vec(), values, states, shared }
    }

    /// The gradient is the parameter itself plus a tenth of noise, as in the reference.
    fn step(&mut self, step: u64, lr_factor: f64) {
        let gradients: Vec<Vec<f32>> = self
            .names
            .iter()
            .zip(&self.values)
            .map(|((name, shape), values)| {
                let noise = synthetic::input(&format!("{name}.{step}"), shape);
                values.iter().zip(noise).map(|(value, noise)| value + 0.1 * noise).collect()
            })
            .collect();
        let parts = self.names.iter().zip(&mut self.values).zip(&gradients).zip(&mut self.states);
        let mut parameters: Vec<Parameter<'_>> = parts
            .map(|((((name, shape), values), gradient), state)| {
                Parameter::new(name, shape, values, gradient, state).unwrap()
            })
            .collect();
        let at = StepContext { step, lr_factor };
        step_all(&*self.optimizer, &mut parameters, &mut self.shared, at).unwrap();
    }

    /// Sum of all squares: what the gradients descend, but for their noise.
    fn loss(&self) -> f64 {
        self.values.iter().flatten().map(|&value| f64::from(value).powi(2)).sum()
    }
}

/// Options that move within a few steps.
fn lively(id: &str) -> Value {
    match id {
        "adamw" | "adamw_8bit" => json!({ "learning_rate": 1e-2, "weight_decay": 0.05 }),
        "lion" => json!({ "learning_rate": 1e-2, "weight_decay": 0.1 }),
        "adafactor" => json!({ "learning_rate": 1e-2, "scale_parameter": false, "beta1": 0.9 }),
        _ => json!({ "d0": 1e-3 }),
    }
}

struct Case {
    golden: &'static str,
    id: &'static str,
    options: Value,
    lr_factor: fn(u64) -> f64,
}

fn cases() -> Vec<Case> {
    let case = |golden, id, options, lr_factor| Case { golden, id, options, lr_factor };
    let manual = json!({
        "learning_rate": 1e-2, "scale_parameter": false, "beta1": 0.9, "weight_decay": 0.01, "clip_threshold": 0.8
    });
    let guarded = json!({
        "weight_decay": 0.01, "use_bias_correction": true, "safeguard_warmup": true, "d_coef": 2.0, "growth_rate": 1.02,
        "d0": 1e-3
    });
    let coupled =
        json!({ "learning_rate": 0.5, "weight_decay": 0.01, "decouple": false, "beta3": 0.9, "d0": 1e-4 });
    vec![
        case("adamw", "adamw", json!({ "learning_rate": 1e-2, "weight_decay": 0.05 }), warm),
        case("lion", "lion", json!({ "learning_rate": 1e-3, "weight_decay": 0.1 }), warm),
        case("adafactor", "adafactor", json!({}), constant),
        case("adafactor_manual", "adafactor", manual, warm),
        case("prodigy", "prodigy", json!({}), constant),
        case("prodigy_guarded", "prodigy", guarded, late),
        case("prodigy_coupled", "prodigy", coupled, warm),
    ]
}

#[test]
fn every_optimizer_walks_the_way_of_its_reference() {
    let golden = Golden::open("training/optimizers");
    // The 8-bit one has no trajectory of its own: how near it stays to AdamW is tested below.
    for row in OPTIMIZERS.iter().filter(|row| row.id != "adamw_8bit") {
        assert!(cases().iter().any(|case| case.id == row.id), "{} has no reference", row.id);
    }
    for case in cases() {
        let mut training = Training::new(case.id, case.options, &SHAPES);
        let mut distances = Vec::new();
        for step in 1..=N_STEPS {
            training.step(step, (case.lr_factor)(step));
            distances.extend(training.shared.numbers.get("d").copied());
            if ![2, N_STEPS].contains(&step) {
                continue;
            }
            for ((name, _), values) in SHAPES.iter().zip(&training.values) {
                let stride = if values.len() < 100 { 1 } else { 37 };
                let found: Vec<f32> = values.iter().step_by(stride).copied().collect();
                let key = format!("{}/{name}/{step}", case.golden);
                assert_close(&found, &golden.f32(&key), 1e-6);
            }
        }
        if case.id == "prodigy" {
            let expected = golden.f64(&format!("{}/d", case.golden));
            for (step, (found, expected)) in distances.iter().zip(expected).enumerate() {
                let error = (found / expected - 1.0).abs();
                assert!(error < 1e-5, "{}, step {step}: {found}, expected {expected}", case.golden);
            }
        }
    }
}

/// The worst element strays by less than 3 % of the way that 20 steps can go, the mean one by less than 0.6 %. Moments
/// themselves are off by up to 0.7 % of the largest in their block.
#[test]
fn with_8_bit_moments_adamw_stays_near_the_way_of_f32() {
    let run = |id| {
        let mut training = Training::new(id, json!({ "learning_rate": 1e-2, "weight_decay": 0.05 }), &SHAPES);
        (1..=N_STEPS).for_each(|step| training.step(step, 1.0));
        training
    };
    let (quantized, exact) = (run("adamw_8bit"), run("adamw"));
    assert_eq!(quantized.values[0], exact.values[0], "tensors of less than 4096 elements are not quantised");
    assert_ne!(quantized.values[1], exact.values[1]);
    let errors: Vec<f64> = quantized.values[1]
        .iter()
        .zip(&exact.values[1])
        .map(|(a, b)| f64::from(a - b).abs() / (1e-2 * N_STEPS as f64))
        .collect();
    let worst = errors.iter().fold(0.0_f64, |worst, &error| worst.max(error));
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    assert!(worst < 0.03 && mean < 0.006, "worst {worst}, mean {mean}");
}

/// With second moments that may round to 0, the small one would go eleven times as far as without quantisation.
#[test]
fn a_small_gradient_beside_a_large_one_makes_no_leap() {
    let run = |id| {
        let optimizer = find_optimizer(id).unwrap().make(json!({ "weight_decay": 0.0 })).unwrap();
        let gradient: Vec<f32> = (0..4096).map(|i| if i % 256 == 0 { 1.0 } else { 1e-5 }).collect();
        let mut values = vec![0.0; 4096];
        let mut state = optimizer.new_state(&values, &[4096]);
        for step in 1..=500 {
            let mut parameter = Parameter::new("w", &[4096], &mut values, &gradient, &mut state).unwrap();
            let at = StepContext { step, lr_factor: 1.0 };
            optimizer.step(&mut parameter, &Shared::default(), at).unwrap();
        }
        [values[0], values[1]].map(f32::abs)
    };
    let ([large, small], [exact, _]) = (run("adamw_8bit"), run("adamw"));
    assert!((large / exact - 1.0).abs() < 0.02, "{large}, without quantisation {exact}");
    assert!(small < exact, "{small}, without quantisation {exact}");
}

#[test]
fn every_optimizer_descends() {
    for row in OPTIMIZERS {
        let mut training = Training::new(row.id, lively(row.id), &SHAPES);
        let before = training.loss();
        (1..=60).for_each(|step| training.step(step, 1.0));
        let after = training.loss();
        assert!(after < 0.5 * before, "{}: {before} became {after}", row.id);
    }
}

/// State and shared numbers through the bytes of a safetensors file.
fn stored(states: &[State], shared: &Shared) -> (Vec<State>, Shared) {
    let mut rows: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (i, state) in states.iter().enumerate() {
        for (name, tensor) in &state.floats {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            rows.push((format!("{i}/{name}"), Dtype::F32, tensor.shape.clone(), bytes));
        }
        for (name, tensor) in &state.codes {
            rows.push((format!("{i}/{name}"), Dtype::U8, tensor.shape.clone(), tensor.values.clone()));
        }
    }
    for (name, number) in &shared.numbers {
        rows.push((format!("shared/{name}"), Dtype::F64, vec![1], number.to_le_bytes().to_vec()));
    }
    let views = rows
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let file = serialize(views, None).unwrap();

    let (mut states, mut shared) = (vec![State::default(); states.len()], Shared::default());
    for (name, view) in SafeTensors::deserialize(&file).unwrap().iter() {
        let (owner, name) = name.split_once('/').unwrap();
        let (name, shape) = (name.to_owned(), view.shape().to_vec());
        match view.dtype() {
            Dtype::F64 => {
                shared.numbers.insert(name, f64::from_le_bytes(view.data().try_into().unwrap()));
            }
            Dtype::U8 => {
                let tensor = StateTensor { shape, values: view.data().to_vec() };
                states[owner.parse::<usize>().unwrap()].codes.insert(name, tensor);
            }
            _ => {
                let values = view.data().chunks_exact(4);
                let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
                let tensor = StateTensor { shape, values };
                states[owner.parse::<usize>().unwrap()].floats.insert(name, tensor);
            }
        }
    }
    (states, shared)
}

#[test]
fn a_stored_run_continues_bit_for_bit() {
    for row in OPTIMIZERS {
        let mut whole = Training::new(row.id, lively(row.id), &SHAPES);
        (1..=10).for_each(|step| whole.step(step, warm(step)));
        let mut continued = Training::new(row.id, lively(row.id), &SHAPES);
        (1..=5).for_each(|step| continued.step(step, warm(step)));
        (continued.states, continued.shared) = stored(&continued.states, &continued.shared);
        (6..=10).for_each(|step| continued.step(step, warm(step)));
        assert_eq!(continued.values, whole.values, "{}", row.id);
        assert_eq!((continued.states, continued.shared), (whole.states, whole.shared), "{}", row.id);
    }
}

#[test]
fn the_number_of_threads_does_not_show() {
    // Longer than a piece of one task, and not a multiple of it.
    const LONG: [(&str, &[usize]); 2] = [("long.bias", &[40_001]), ("long.weight", &[130, 301])];
    for row in OPTIMIZERS {
        let run = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                let mut training = Training::new(row.id, lively(row.id), &LONG);
                (1..=3).for_each(|step| training.step(step, 1.0));
                (training.values, training.states, training.shared)
            })
        };
        assert!(run(1) == run(3), "{}", row.id);
    }
}

#[test]
fn state_takes_the_memory_that_was_said() {
    let shapes: [&[usize]; 7] = [&[], &[7], &[5000], &[72, 64], &[6, 5, 3, 3], &[4, 0], &[4, 5, 0]];
    for row in OPTIMIZERS {
        for options in [json!({}), lively(row.id)] {
            let optimizer = row.make(options).unwrap();
            for shape in shapes {
                let state = optimizer.new_state(&vec![0.5; shape.iter().product()], shape);
                let floats: usize = state.floats.values().map(|tensor| tensor.values.len()).sum();
                let codes: usize = state.codes.values().map(|tensor| tensor.values.len()).sum();
                assert_eq!(optimizer.state_bytes(shape), 4 * floats + codes, "{} {shape:?}", row.id);
            }
        }
    }
    // Of a large matrix, in bytes per parameter.
    let bytes = |id| {
        let optimizer = find_optimizer(id).unwrap().make(json!({})).unwrap();
        optimizer.state_bytes(&[1280, 1280]) as f64 / (1280.0 * 1280.0)
    };
    assert_eq!(["adamw", "adamw_8bit", "lion", "prodigy"].map(bytes), [8.0, 2.031_25, 4.0, 16.0]);
    assert_eq!(bytes("adafactor"), 4.0 * 2.0 / 1280.0);
}

#[test]
fn parameters_without_elements_are_no_trouble() {
    for row in OPTIMIZERS {
        let mut training = Training::new(
            row.id,
            json!({}),
            &[("none", &[0]), ("no.rows", &[0, 4]), ("no.columns", &[4, 0])],
        );
        (1..=2).for_each(|step| training.step(step, 1.0));
    }
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let cases = [
        ("adamw", json!({ "learning_rate": 0.0 }), "learning_rate of adamw is 0, expected a number above 0"),
        ("adamw", json!({ "beta1": 1.0 }), "beta1 of adamw is 1, expected at least 0 and below 1"),
        ("adamw_8bit", json!({ "epsilon": -1.0 }), "epsilon of adamw_8bit is -1, expected a number above 0"),
        (
            "lion",
            json!({ "weight_decay": -0.5 }),
            "weight_decay of lion is -0.5, expected a number of at least 0",
        ),
        (
            "adafactor",
            json!({ "learning_rate": -1.0 }),
            "learning_rate of adafactor is -1, expected a number above 0",
        ),
        (
            "adafactor",
            json!({ "decay_rate": 0.8 }),
            "decay_rate of adafactor is 0.8, expected a number below 0",
        ),
        (
            "prodigy",
            json!({ "growth_rate": 0.9 }),
            "growth_rate of prodigy is 0.9, expected a number of at least 1",
        ),
        ("prodigy", json!({ "beta1": 0.0 }), "beta1 of prodigy is 0, expected above 0 and below 1"),
        (
            "lion",
            json!({ "epsilon": 1e-8 }),
            "options of lion: unknown field `epsilon`, expected one of `learning_rate`, `beta1`, `beta2`, `weight_decay`",
        ),
    ];
    for (id, options, expected) in cases {
        let error = find_optimizer(id).unwrap().make(options).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = find_optimizer("sgd").unwrap_err();
    assert_eq!(error.to_string(), "unknown optimizer \"sgd\"");
}

#[test]
fn state_and_gradients_that_do_not_fit_are_refused() {
    let optimizer = find_optimizer("adamw").unwrap().make(json!({})).unwrap();
    let lion = find_optimizer("lion").unwrap().make(json!({})).unwrap();
    let at = StepContext { step: 1, lr_factor: 1.0 };
    let (mut values, gradient) = ([1.0; 6], [1.0; 6]);
    for (mut state, tensor, found) in [
        (State::default(), "m", 0),
        (lion.new_state(&values, &[2, 3]), "v", 0),
        (optimizer.new_state(&[1.0; 4], &[4]), "m", 4),
    ] {
        let mut parameter = Parameter::new("w", &[2, 3], &mut values, &gradient, &mut state).unwrap();
        let error = optimizer.step(&mut parameter, &Shared::default(), at).unwrap_err();
        assert_eq!(error.to_string(), format!("state \"{tensor}\" of \"w\" has {found} values, expected 6"));
    }
    let mut state = State::default();
    let error = Parameter::new("w", &[2, 3], &mut values, &gradient[..5], &mut state).unwrap_err();
    assert_eq!(error.to_string(), "parameter \"w\" of shape [2, 3] has 5 gradients");
    let prodigy = find_optimizer("prodigy").unwrap().make(json!({})).unwrap();
    let error = prodigy.settle(&mut Shared::default(), at).unwrap_err();
    assert_eq!(error.to_string(), "state \"d\" of \"prodigy\" has 0 values, expected 1");
}
