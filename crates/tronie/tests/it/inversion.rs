use std::fs;

use tronie_weights::{Dtype, Embedding, RawTensor, TensorMeta, write_safetensors};

use crate::support::{Place, contents};

const FAST: [&str; 8] = ["--steps", "2", "--size", "64x64", "--cfg", "4", "--seed", "3"];

fn picture(place: &Place, prompt: &str, more: &[&str]) -> tronie_image::Pixels {
    let args: Vec<&str> = ["generate", prompt].iter().chain(&FAST).chain(more).copied().collect();
    tronie_image::open(&place.path(place.ok(&args).trim())).unwrap()
}

/// Trains "zoe-face" on three pictures; the run is in the folder `out`.
fn train(place: &Place, recipe: &str, out: &str) {
    if !place.path("pictures").exists() {
        place.ok(&["generate", "a face", "-o", "pictures", "-n", "3", "--steps", "1", "--size", "64x64"]);
    }
    let more = "[inversion]\ntoken = \"zoe-face\"\nn_vectors = 2\nkind = \"object\"";
    let images = "[[images]]\nfolder = \"pictures\"";
    place.write(
        "recipe.toml",
        &format!("model = \"tronie-mini\"\n{recipe}\n{images}\n{more}\ninit = \"smiling woman\"\n"),
    );
    place.ok(&["train", "textual-inversion", "recipe.toml", "--out", out]);
}

/// A run of four steps that moves the vectors far.
const FOUR_STEPS: &str = "n_steps = 4\nbatch = 2\ncheckpoints = { every = 2, keep = 9 }\nsamples = { every = 4, prompts = \
    [\"a photo of zoe-face\"], n_steps = 2 }\noptimizer = { id = \"adamw\", learning_rate = 0.1 }";

#[test]
fn a_run_continued_from_its_middle_ends_with_the_same_bytes() {
    let place = Place::new();
    train(&place, FOUR_STEPS, "whole");
    fs::create_dir_all(place.path("stopped/checkpoints")).unwrap();
    for file in ["recipe.toml", "log.jsonl", "checkpoints/step-00000002.safetensors"] {
        fs::copy(place.path("whole").join(file), place.path("stopped").join(file)).unwrap();
    }
    train(&place, FOUR_STEPS, "stopped");
    let whole = contents(&place.path("whole"));
    let names: Vec<&str> = whole.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        ".lock",
        "checkpoints/step-00000002.safetensors",
        "checkpoints/step-00000004.safetensors",
        "learned_embeds.safetensors",
        "log.jsonl",
        "recipe.toml",
        "samples/step-00000004-00.png",
        "zoe-face.safetensors",
    ];
    assert_eq!(names, expected);
    for (whole, stopped) in whole.into_iter().zip(contents(&place.path("stopped"))) {
        assert!(whole == stopped, "{} differs", whole.0);
    }
}

#[test]
fn a_trained_word_changes_pictures_and_they_say_so() {
    let place = Place::new();
    train(&place, FOUR_STEPS, "run");
    let prompt = "a photo of a zoe-face";
    fs::create_dir_all(place.path("tree/embeddings")).unwrap();
    let file = place.path("tree/embeddings/zoe-face.safetensors");
    fs::copy(place.path("run/zoe-face.safetensors"), &file).unwrap();
    let with = picture(&place, prompt, &["--models-dir", "tree"]);
    assert_ne!(with, picture(&place, prompt, &[]), "the word means something");
    assert_ne!(with, picture(&place, "a photo of a smiling woman", &[]), "and no longer what it began with");
    assert_eq!(
        with,
        picture(&place, "a photo of a Zoe-Face", &["--models-dir", "run"]),
        "in a plain folder too"
    );

    let comfy = ["--models-dir", "tree", "--profile", "comfy"];
    let named = picture(&place, "a photo of a embedding:zoe-face", &comfy);
    assert_ne!(named, picture(&place, prompt, &comfy), "there only the prefix makes a word an embedding");
    let outcome = place.run(&["generate", "embedding:zoe-fac", "--profile", "comfy", "--models-dir", "tree"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("there is no embedding \"zoe-fac\""), "{}", outcome.stderr);

    let hash = Embedding::sha256(&file).unwrap();
    let expected = format!("TI hashes: \"zoe-face: {}\", Version: ", &hash[..12]);
    for args in [[prompt, "-N", "blurry"], ["a face", "-N", "zoe-face, (zoe-face:1.2)"]] {
        let args: Vec<&str> = ["generate"].iter().chain(&args).chain(&FAST).copied().collect();
        let path = place.ok(&[args.as_slice(), &["--models-dir", "tree"]].concat());
        let info = place.ok(&["info", path.trim()]);
        assert!(info.contains(&expected), "{expected}: {info}");
    }
}

#[test]
fn an_untrained_word_makes_exactly_the_picture_of_its_beginning() {
    let place = Place::new();
    // The first step of a warm-up has a learning rate of 0.
    train(&place, "n_steps = 1\nlr_schedule = { id = \"constant\", n_warmup_steps = 1 }", "run");
    let expected = picture(&place, "a photo of a smiling woman", &[]);
    assert_eq!(picture(&place, "a photo of a zoe-face", &["--models-dir", "run"]), expected);
    let comfy = ["--models-dir", "run", "--profile", "comfy"];
    let expected = picture(&place, "a photo of a (smiling woman:1.3)", &comfy[2..]);
    assert_eq!(picture(&place, "a photo of a (embedding:zoe-face.safetensors:1.3)", &comfy), expected);
}

#[test]
fn an_embedding_of_another_width_is_named_with_both_widths() {
    let place = Place::new();
    let tensor =
        RawTensor { meta: TensorMeta { dtype: Dtype::F16, shape: vec![1, 768] }, bytes: vec![0; 2 * 768] };
    let path = place.path("embeddings/other-face.safetensors");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_safetensors(&path, &[].into(), [("emb_params".to_owned(), tensor)]).unwrap();
    let outcome = place.run(&["generate", "a photo of other-face", "--models-dir", "."]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    let expected = "other-face.safetensors has vectors of width 768, the model takes ";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    picture(&place, "a photo of another face", &["--models-dir", "."]);
}

#[test]
fn a_word_without_a_caption_to_stand_in_is_bad_input() {
    let place = Place::new();
    place.ok(&["generate", "a face", "-o", "pictures", "--steps", "1", "--size", "64x64"]);
    let recipe =
        "model = \"tronie-mini\"\nn_steps = 1\n[[images]]\nfolder = \"pictures\"\ncaption = \"a woman\"\n";
    for (inversion, expected) in [
        ("", "the recipe has no table [inversion]"),
        ("[inversion]\ntoken = \"zoe-face\"", "has a caption without \"zoe-face\": a woman"),
        (
            "[inversion]\ntoken = \"zoe-face\"\ninit = \"a woman\"",
            "inversion.init is \"a woman\", expected 1 to 1 tokens",
        ),
        ("[inversion]\ntoken = \"zoe-face\"\nn_vectors = 76", "inversion.n_vectors of the recipe is 76"),
    ] {
        place.write("recipe.toml", &format!("{recipe}{inversion}\n"));
        let outcome = place.run(&[
            "train",
            "textual-inversion",
            "recipe.toml",
            "--out",
            &format!("run-{}", expected.len()),
        ]);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{expected}: {}", outcome.stderr);
    }
}
