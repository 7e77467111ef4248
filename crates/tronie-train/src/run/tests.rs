//! Runs on the embedded model: stopped and continued, with every kind of state.

#![expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "test pictures are small")]

use std::fs;

use serde_json::Value;
use tronie_base::{Cancelled, Fault, Faulty as _, Silent};
use tronie_generate::{EMBEDDED_MODEL, GeneratedImage, StoreConfig};
use tronie_image::{ImageFormat, Pixels, TextEntry, encode};
use tronie_weights::Lora as LoraFile;

use super::*;
use crate::recipe::Method::{Dreambooth, Lora};
use crate::run_folder::{LOG, StepReport};

/// Asks a run to stop after its first new step, unless that was the last.
#[derive(Default)]
struct StopAfterStep {
    total: u64,
    /// What was said to be done already, then one for each step.
    advances: Vec<u64>,
}

impl Progress for StopAfterStep {
    fn begin(&mut self, stage: &str, total: u64) {
        self.total = if stage == "training" { total } else { 0 };
        self.advances.clear();
    }
    fn advance(&mut self, n: u64) {
        self.advances.push(n);
    }
    fn note(&mut self, _message: &str) {}
    fn check(&self) -> Result<(), Cancelled> {
        let is_due = self.advances.len() > 1 && self.advances.iter().sum::<u64>() < self.total;
        if is_due { Err(Cancelled) } else { Ok(()) }
    }
}

/// Four pictures of a ball on a wall, one of them not square, and a recipe for them.
fn recipe(folder: &Path, more: &str) -> Recipe {
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures).unwrap();
    for i in 0..4_u32 {
        let (width, height) = (64, if i == 3 { 80 } else { 64 });
        let pixel = |at: u32| {
            let (x, y) = ((at % width) as i32 - 32, (at / width) as i32 - 20 - 8 * i as i32);
            if x * x + y * y < 300 { [220, 60 * i as u8, 40] } else { [90, 120, 150] }
        };
        let rgb = (0..width * height).flat_map(pixel).collect();
        let bytes = encode(&Pixels::new(width, height, rgb).unwrap(), ImageFormat::Png, &[] as &[TextEntry]);
        fs::write(pictures.join(format!("{i}.png")), bytes.unwrap()).unwrap();
    }
    let text = format!(
        "model = \"{EMBEDDED_MODEL}\"\nsize_px = [64, 64]\n{more}\n[[images]]\nfolder = \"pictures\"\ncaption = \"a red ball, a wall\"\n"
    );
    let path = folder.join("recipe.toml");
    fs::write(&path, text).unwrap();
    Recipe::open(&path).unwrap()
}

fn run(
    recipe: &Recipe,
    method: Method,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Outcome, TrainError> {
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    train(Job { recipe, method, folder, store: &store, device: "cpu" }, progress)
}

/// Everything below a folder, by its path there.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
fn assert_continues_exactly(more: &str, method: Method) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), more);
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    run(&recipe, method, &whole, &mut Silent).unwrap();
    let mut n_stops = 0;
    while let Err(error) = run(&recipe, method, &stopped, &mut StopAfterStep::default()) {
        assert!(matches!(error, TrainError::Cancelled(_)), "{error}");
        n_stops += 1;
        assert!(n_stops < recipe.n_steps, "it goes on");
    }
    assert_eq!(n_stops, recipe.n_steps - 1);
    let (whole, stopped) = (contents(&whole), contents(&stopped));
    assert_eq!(whole.keys().collect::<Vec<_>>(), stopped.keys().collect::<Vec<_>>());
    for (path, bytes) in whole {
        assert!(bytes == stopped[&path], "{} differs", path.display());
    }
}

#[test]
fn passes_side_by_side_learn_the_same_bits_as_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(
        folder.path(),
        "n_steps = 2\naccumulate = 3\nflip = true\ntext = { train = true, dropout = 0.5 }",
    );
    let [one, two] = [1, 2].map(|n_threads| {
        let folder = folder.path().join(n_threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| run(&recipe, Dreambooth, &folder, &mut Silent)).unwrap();
        contents(&folder)
    });
    assert!(one == two);
}

#[test]
fn a_lora_run_stopped_at_every_step_ends_with_the_same_bytes() {
    assert_continues_exactly(
        "n_steps = 20\nbatch = 2\nflip = true\ncheckpoints = { every = 1, keep = 2 }\nema = { decay = 0.9 }\ntext = { train = true, dropout = 0.2, \
         shuffle = true }\nlora = { rank = 2, conv_rank = 1 }\nbuckets = { min_px = 48, max_px = 96, step_px = 16 }\nobjective = { noise_offset = \
         0.1, pyramid_discount = 0.4, min_snr_gamma = 5.0 }\nlr_schedule = { id = \"cosine\", n_warmup_steps = 3 }\nsamples = { every = 10, \
         prompts = [\"a red ball\"], n_steps = 2 }",
        Lora,
    );
}

#[test]
fn a_dreambooth_run_with_quantised_state_stopped_at_every_step_ends_with_the_same_bytes() {
    assert_continues_exactly(
        "n_steps = 3\naccumulate = 2\ncheckpoints = { every = 1, keep = 1 }\noptimizer = { id = \"adamw_8bit\", learning_rate = 1e-5 }",
        Dreambooth,
    );
}

#[test]
fn training_lowers_the_loss_and_leaves_files_that_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(
        folder.path(),
        "n_steps = 24\nbatch = 4\noptimizer = { id = \"adamw\", learning_rate = 4e-3 }",
    );
    let out = folder.path().join("run");
    let outcome = run(&recipe, Lora, &out, &mut Silent).unwrap();
    let log = fs::read_to_string(out.join(LOG)).unwrap();
    let losses: Vec<f64> =
        log.lines().map(|line| serde_json::from_str::<StepReport>(line).unwrap().loss).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert_eq!(losses.len(), 24);
    assert!(mean(&losses[16..]) < 0.8 * mean(&losses[..8]), "{losses:?}");
    let [kohya, peft] = [&outcome.results[0], &outcome.results[1]].map(|path| {
        let names: Vec<(tronie_weights::Part, Vec<String>)> = {
            let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
            let checkpoint = store.open(EMBEDDED_MODEL, &mut Silent).unwrap();
            checkpoint.parts.iter().map(|(part, row)| (*part, row.tensors.names())).collect()
        };
        let modules =
            tronie_weights::Modules::of_networks(names.iter().map(|(part, names)| (*part, names.as_slice())));
        LoraFile::open(path, Some(&modules)).unwrap()
    });
    assert_eq!(kohya.modules, peft.modules);
    assert!(kohya.modules.values().all(|module| module.rank() == Some(8)));
}

#[test]
fn only_what_a_mask_leaves_white_counts() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |name: &str, white: fn(u32) -> bool| {
        let mut recipe = recipe(folder.path(), "n_steps = 3\nbatch = 2\nflip = true");
        let masks = folder.path().join(name);
        fs::create_dir(&masks).unwrap();
        for i in 0..4_u32 {
            let (width, height) = (64, if i == 3 { 80 } else { 64 });
            let rgb =
                (0..width * height).flat_map(|at| [if white(at % width) { 255 } else { 0 }; 3]).collect();
            let pixels = Pixels::new(width, height, rgb).unwrap();
            let bytes = encode(&pixels, ImageFormat::Png, &[] as &[TextEntry]).unwrap();
            fs::write(masks.join(format!("{i}.png")), bytes).unwrap();
        }
        if name != "none" {
            recipe.images[0].masks = Some(masks);
        }
        let out = folder.path().join(format!("run-{name}"));
        run(&recipe, Lora, &out, &mut Silent).unwrap();
        let log = fs::read_to_string(out.join(LOG)).unwrap();
        log.lines().map(|line| serde_json::from_str::<StepReport>(line).unwrap().loss).collect::<Vec<_>>()
    };
    let whole = losses("none", |_| true);
    assert_eq!(whole, losses("white", |_| true));
    assert_eq!(losses("black", |_| false), [0.0; 3]);
    let [left, right] = [losses("left", |x| x < 32)[0], losses("right", |x| x >= 32)[0]];
    assert!((left + right - whole[0]).abs() < 1e-5 * whole[0], "{left} + {right} is {}", whole[0]);
    assert!(left > 0.0 && right > 0.0);
}

#[test]
fn a_run_folder_has_one_trainer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), "n_steps = 1");
    let out = folder.path().join("run");
    let lock = FolderLock::take(&out).unwrap();
    let error = run(&recipe, Lora, &out, &mut Silent).unwrap_err();
    assert_eq!(error.fault(), Fault::Busy);
    assert_eq!(contents(&out).len(), 1, "nothing but the lock");
    drop(lock);
    run(&recipe, Lora, &out, &mut Silent).unwrap();
}

#[test]
fn parts_of_a_network_have_ranks_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let ranks = "\"unet.mid_block\" = 5, \"unet\" = 0, \"unet.up_blocks.1.attentions.0\" = 3";
    let recipe = recipe(folder.path(), &format!("n_steps = 1\nlora = {{ rank = 2, ranks = {{ {ranks} }} }}"));
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let trainee = Trainee::open(&recipe, Lora, &store, "cpu", &mut Silent).unwrap();
    let parameters = trainee.parameters(&recipe).unwrap();
    let down = parameters.0.iter().filter(|(name, _)| name.ends_with("lora_down"));
    let mut found = BTreeMap::new();
    for (name, row) in down {
        let part = name.split('.').take(3).collect::<Vec<_>>().join(".");
        found.insert(part.replace(".attentions", ""), row.shape[0]);
    }
    let expected = [("unet.mid_block".to_owned(), 5), ("unet.up_blocks.1".to_owned(), 3)];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    let mut recipe = recipe;
    recipe.lora.ranks.insert("unet.middle".to_owned(), 4);
    let error = trainee.parameters(&recipe).unwrap_err().to_string();
    assert!(error.contains("\"unet.middle\", which no trained layer's name begins with"), "{error}");
}

#[test]
fn another_recipe_does_not_continue_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(folder.path(), "n_steps = 1");
    let out = folder.path().join("run");
    run(&recipe, Lora, &out, &mut Silent).unwrap();
    let before = contents(&out);
    recipe.seed = 3;
    let error = run(&recipe, Lora, &out, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("seed was 0, now it is 3"), "{error}");
    recipe.seed = 0;
    let error = run(&recipe, Dreambooth, &out, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("method was \"lora\", now it is \"dreambooth\""), "{error}");
    assert_eq!(before, contents(&out));
    let outcome = run(&recipe, Lora, &out, &mut Silent).unwrap();
    assert_eq!((outcome.n_steps, outcome.continued_from), (1, 1), "a finished run takes no further step");
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let more = "n_steps = 40\nmax_grad_norm = 1e30\ncheckpoints = { every = 1, keep = 1 }\noptimizer = { id = \"adamw\", learning_rate = 1e12 }";
    let recipe = recipe(folder.path(), more);
    let out = folder.path().join("run");
    let error = run(&recipe, Lora, &out, &mut Silent).unwrap_err();
    let TrainError::NotFinite { step, .. } = error else { panic!("{error}") };
    let stored = Progressed::newest(&out, None).unwrap().unwrap();
    assert_eq!(stored.step, step - 1);
    assert!(stored.parameters.0.values().flat_map(|row| &row.values).all(|value| value.is_finite()));
}

/// Makes a picture with a model folder.
fn picture_of(folder: &Path) -> Vec<u8> {
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let model = folder.to_string_lossy().into_owned();
    let pipeline = Pipeline::load(&store, &model, "cpu", &mut Silent).unwrap();
    let request = GenerateRequest {
        n_steps: Some(2),
        width_px: Some(64),
        height_px: Some(64),
        model,
        ..GenerateRequest::new("a red ball")
    };
    let resolved = pipeline.resolve(&request).unwrap();
    let mut rgb = Vec::new();
    let sink = |image: GeneratedImage, _: &mut Silent| -> Result<(), TrainError> {
        rgb = image.pixels.into_rgb();
        Ok(())
    };
    pipeline.run(&resolved, &mut Silent, sink).unwrap();
    rgb
}

#[test]
fn an_autoencoder_from_nothing_learns_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let more = "n_steps = 30\nbatch = 4\nflip = true\nscratch = { stage = \"autoencoder\" }\noptimizer = { id = \"adamw\", learning_rate = 3e-3 }";
    let recipe = recipe(folder.path(), more);
    let out = folder.path().join("run");
    let outcome = run(&recipe, Method::Scratch, &out, &mut Silent).unwrap();
    let log = fs::read_to_string(out.join(LOG)).unwrap();
    let losses: Vec<f64> =
        log.lines().map(|line| serde_json::from_str::<StepReport>(line).unwrap().loss).collect();
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    let config = fs::read_to_string(outcome.results[0].join("vae/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let scale = config["scaling_factor"].as_f64().unwrap();
    assert!(scale.is_finite() && scale > 0.0 && scale != 0.18215, "{scale}");
    assert_eq!(picture_of(&outcome.results[0]).len(), 64 * 64 * 3);
}

#[test]
fn a_network_of_another_size_is_trained_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let checkpoint = store.open(EMBEDDED_MODEL, &mut Silent).unwrap();
    let mut config = checkpoint.parts[&tronie_weights::Part::Unet].config.clone().unwrap();
    config["block_out_channels"] = serde_json::json!([32, 32, 64]);
    fs::write(folder.path().join("unet.json"), config.to_string()).unwrap();
    let more = "n_steps = 2\nscratch = { configs = { unet = \"unet.json\" } }";
    let recipe = recipe(folder.path(), more);
    let out = folder.path().join("run");
    let outcome = run(&recipe, Method::Scratch, &out, &mut Silent).unwrap();
    assert_eq!(picture_of(&outcome.results[0]).len(), 64 * 64 * 3);

    config["block_out_channels"] = serde_json::json!([32, 64, 64]);
    fs::write(folder.path().join("unet.json"), config.to_string()).unwrap();
    let error = run(&recipe, Method::Scratch, &out, &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::Networks { .. }), "{error}");
}

/// The numbers of a checkpoint by the folders of its networks.
fn numbers_of(model: &str) -> BTreeMap<&'static str, BTreeMap<String, Vec<u8>>> {
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let checkpoint = store.open(model, &mut Silent).unwrap();
    let of = |component: &tronie_weights::Component| {
        let names = component.tensors.names().into_iter();
        names.map(|name| (name.clone(), component.tensors.read(&name).unwrap().unwrap().bytes)).collect()
    };
    checkpoint.parts.iter().map(|(part, component)| (part.folder(), of(component))).collect()
}

#[test]
fn the_other_networks_stay_where_a_stage_goes_on_from_weights() {
    let folder = tempfile::tempdir().unwrap();
    let before = numbers_of(EMBEDDED_MODEL);
    let of_decoder = |name: &str| name.starts_with("decoder") || name.starts_with("post_quant_conv");
    for (stage, changes) in [("decoder", "vae"), ("diffusion", "unet")] {
        let more = format!(
            "n_steps = 2\nsave_dtype = \"f16\"\nscratch = {{ stage = \"{stage}\", renew = false }}\n\
             optimizer = {{ id = \"adamw\", learning_rate = 1e-2 }}"
        );
        let out = folder.path().join(stage);
        let outcome = run(&recipe(folder.path(), &more), Method::Scratch, &out, &mut Silent).unwrap();
        let after = numbers_of(outcome.results[0].to_str().unwrap());
        for (part, tensors) in &before {
            for (name, numbers) in tensors {
                let is_trained = *part == changes && (*part == "unet" || of_decoder(name));
                assert!(is_trained || after[part][name] == *numbers, "{stage}: {part}.{name}");
            }
        }
        assert_ne!(after[changes], before[changes], "{stage}");
    }
}
