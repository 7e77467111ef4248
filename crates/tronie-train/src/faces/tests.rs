//! The networks of faces on a few drawn pictures: what is trained is what the file answers, and runs resume exactly.

use std::fs;

use tronie_base::Silent;
use tronie_faces::onnx::{Network, Signature};
use tronie_image::{ImageFormat, Pixels, TextEntry, encode};
use tronie_testing::{assert_close, synthetic};

use super::graph::{Answer, Trunk};
use super::*;
use crate::parameters::Values;

fn trunk() -> Trunk {
    Trunk { widths: vec![4, 6, 8], blocks: vec![0, 1, 1], head: 5 }
}

/// Weights that are all at work: no biases or second convolutions of zero.
fn busy(graph: &Graph) -> Parameters {
    let row = |(name, row): (String, Values)| {
        let values = synthetic::input(&name, &row.shape).iter().map(|value| value * 0.3).collect();
        (name, Values { values, ..row })
    };
    Parameters(graph.parameters(0).0.into_iter().map(row).collect())
}

#[test]
fn an_exported_network_answers_what_the_trained_one_does() {
    for answer in [Answer::Vector(7), Answer::Map { channels: 3, stride_px: 4 }] {
        let graph = Graph::new(&trunk(), 16, answer);
        let parameters = busy(&graph);
        let [b, side] = [3, 16];
        let pictures = synthetic::input("pictures", &[b, side, side, 3]);
        let device = Device::flex();
        let tensor = Tensor::from_data(TensorData::new(pictures.clone(), [b, side, side, 3]), &device);
        let trained = graph.forward(&parameters.leaves(&device), tensor);
        let channels_first = trained.permute([0, 3, 1, 2]); // b c h w
        let expected: Vec<f32> = channels_first.into_data().try_to_vec().unwrap();

        let file = onnx::write(&graph, &parameters, "answer", "a test");
        let signature =
            Signature { input: [None, Some(3), Some(side), Some(side)], outputs: &["answer"], n_outputs: 1 };
        let network = Network::from_bytes(file, Path::new("test.onnx"), &signature).unwrap();
        let planes = |picture: &[f32]| -> Vec<f32> {
            (0..3).flat_map(|c| picture.iter().skip(c).step_by(3).copied()).collect()
        };
        let inputs: Vec<Vec<f32>> = pictures.chunks_exact(side * side * 3).map(planes).collect();
        let outputs = network.session().run(&inputs, [3, side, side]).unwrap();
        assert_close(&outputs[0].values, &expected, 1e-4);
    }
}

/// Six portraits of balls with two eyes, and their labels.
fn recipe(folder: &Path, task: &str) -> FacesRecipe {
    let mut lines = String::new();
    for i in 0..6_u8 {
        let pixel = |at: u32| {
            let (x, y) = (at % 64, at / 64);
            let is_near = |cx: u32, cy: u32, r: u32| x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < r * r;
            match () {
                () if is_near(24, 28, 4) || is_near(40, 28, 4) => [10, 10, 10],
                () if is_near(32, 32, 20) => [220, 160 + 10 * i, 140],
                () => [30 * i, 90, 120],
            }
        };
        let rgb = (0..64 * 64).flat_map(pixel).collect();
        let png = encode(&Pixels::new(64, 64, rgb).unwrap(), ImageFormat::Png, &[] as &[TextEntry]).unwrap();
        fs::write(folder.join(format!("{i}.png")), png).unwrap();
        fs::write(folder.join(format!("mask{i}.png")), fs::read(folder.join(format!("{i}.png"))).unwrap())
            .unwrap();
        let face = serde_json::json!({
            "box": [12, 12, 52, 52], "score": 0.99,
            "points": [[24, 28], [40, 28], [32, 36], [26, 44], [38, 44]],
            "landmarks_68": (0..68).map(|k| [20 + k % 20, 20 + k % 17]).collect::<Vec<_>>(),
            "embedding": { "network": "t", "values": (0..256).map(|k| if k == usize::from(i) { 1.0 } else { 0.0 }).collect::<Vec<f32>>() },
            "age_gender": { "age_years": 30.0, "male": 0.95 },
            "expression": { "neutral": 0.9, "happy": 0.1, "sad": 0.0, "angry": 0.0, "fearful": 0.0, "disgusted": 0.0, "surprised": 0.0 },
        });
        let line = serde_json::json!({
            "file": format!("{i}.png"), "width_px": 64, "height_px": 64, "faces": [face],
            "labels": { "person": i.to_string(), "held_out": i == 5, "mask": format!("mask{i}.png"), "hair": "red", "glasses": false },
        });
        lines.push_str(&format!("{line}\n"));
    }
    fs::write(folder.join("labels.jsonl"), lines).unwrap();
    let text = format!(
        "task = \"{task}\"\nlabels = \"labels.jsonl\"\nfolder = \".\"\nn_steps = 6\nbatch = 2\naccumulate = 2\nema = {{ decay = 0.9 }}\n\
         optimizer = {{ id = \"adamw\", learning_rate = 1e-3 }}\ncheckpoints = {{ every = 1, keep = 9 }}\n\
         network = {{ widths = [4, 6, 8, 8], blocks = [0, 1, 0, 1], head = 6 }}\n"
    );
    let path = folder.join("recipe.toml");
    fs::write(&path, text).unwrap();
    FacesRecipe::open(&path).unwrap()
}

#[test]
fn every_network_runs_and_continues_to_the_bit_after_any_step() {
    for task in task::TASKS {
        let folder = tempfile::tempdir().unwrap();
        let recipe = recipe(folder.path(), task.id);
        let whole = folder.path().join("whole");
        let outcome = train_faces(&recipe, &whole, &mut Silent).unwrap();
        assert_eq!((outcome.n_steps, outcome.continued_from), (6, 0), "{}", task.id);
        let file = fs::read(&outcome.results[0]).unwrap();
        for step in [1, 4] {
            let part = folder.path().join(format!("from {step}"));
            fs::create_dir_all(part.join("checkpoints")).unwrap();
            let name = format!("checkpoints/step-{step:08}.safetensors");
            fs::copy(whole.join(&name), part.join(&name)).unwrap();
            let outcome = train_faces(&recipe, &part, &mut Silent).unwrap();
            assert_eq!(outcome.continued_from, step);
            assert!(fs::read(&outcome.results[0]).unwrap() == file, "{} from step {step}", task.id);
        }
    }
}

#[test]
fn a_run_can_begin_with_what_another_has_learned() {
    let folder = tempfile::tempdir().unwrap();
    let first = recipe(folder.path(), "landmarks");
    let run = folder.path().join("first");
    let learned = train_faces(&first, &run, &mut Silent).unwrap();
    // Steps of no length change nothing.
    let mut second = FacesRecipe { start_from: Some(run), ema: None, n_steps: 1, ..first };
    second.optimizer.options.insert("learning_rate".into(), 1e-30.into());
    let same = train_faces(&second, &folder.path().join("second"), &mut Silent).unwrap();
    let weights = |path: &Path| {
        let file = fs::read(path).unwrap();
        let note = file.windows(5).position(|bytes| bytes == b"steps").unwrap();
        file[note..].to_vec()
    };
    assert!(weights(&same.results[0]) == weights(&learned.results[0]));
    second.network.head += 1;
    let error = train_faces(&second, &folder.path().join("third"), &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::Networks { .. }), "{error}");
}

#[test]
fn what_is_held_out_is_not_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), "landmarks");
    let place = (recipe.labels.as_path(), recipe.folder.as_path());
    let n = |half| gallery::read(place, half, false, &mut Silent).unwrap().len();
    assert_eq!((n(Half::Training), n(Half::HeldOut)), (5, 1));
}

#[test]
fn a_recipe_that_makes_no_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = recipe(folder.path(), "landmarks");
    let mut deep = good.clone();
    deep.network.widths = vec![8; 5];
    deep.network.blocks = vec![0; 5];
    let error = deep.check().unwrap_err().to_string();
    assert_eq!(
        error,
        "network is 5 widths and 5 blocks, expected as many of one as of the other, 1 to 4 for this network"
    );
    let other = FacesRecipe { task: "ears".into(), ..good };
    assert_eq!(other.check().unwrap_err().to_string(), "unknown network of faces \"ears\"");
}
