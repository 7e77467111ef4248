use std::time::Duration;

use crate::support::{Place, contents};

const RECIPE: &str = "model = \"tronie-mini\"\nn_steps = 8\ncheckpoints = { every = 1, keep = 1 }\nsamples = { every = 4, prompts = [\"a face\"], \
    n_steps = 2 }\n[[images]]\nfolder = \"pictures\"\ncaption = \"a face\"\n";

#[test]
fn a_run_killed_at_many_moments_ends_with_the_same_bytes() {
    let place = Place::new();
    place.ok(&["generate", "a face", "-o", "pictures", "-n", "3", "--steps", "1", "--size", "64x64"]);
    place.write("recipe.toml", RECIPE);
    place.ok(&["train", "lora", "recipe.toml", "-o", "whole"]);
    for moment in 0..12_u64 {
        let mut child = place.command(&["train", "lora", "recipe.toml", "-o", "killed"]).spawn().unwrap();
        // Spread over loading, steps, checkpoints and samples; each restart gets a little further.
        std::thread::sleep(Duration::from_millis(200 + (moment * 7919) % 1500));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    place.ok(&["train", "lora", "recipe.toml", "-o", "killed"]);
    let (whole, killed) = (contents(&place.path("whole")), contents(&place.path("killed")));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&killed), names(&whole));
    assert!(killed == whole, "some file differs");
}

#[test]
fn a_recipe_that_cannot_be_trained_says_why_and_leaves_no_run() {
    let place = Place::new();
    place.write("recipe.toml", RECIPE);
    let outcome = place.run(&["train", "lora", "recipe.toml", "-o", "run"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("pictures cannot be read"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("hint: name an existing folder of pictures"), "{}", outcome.stderr);
    assert!(!place.path("run").exists());
}
