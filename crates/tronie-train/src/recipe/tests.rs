use tronie_testing::repository;

use super::*;

const SMALLEST: &str =
    "model = \"tronie-mini\"\nn_steps = 10\n[[images]]\nfolder = \"faces\"\ncaption = \"a face\"\n";

fn open(text: &str) -> Result<Recipe, TrainError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    let mut recipe = Recipe::open(&path)?;
    let inside = recipe.images[0].folder.strip_prefix(folder.path()).unwrap().to_owned();
    recipe.images[0].folder = inside;
    Ok(recipe)
}

#[test]
fn a_recipe_survives_being_written() {
    let mut recipe = open(SMALLEST).unwrap();
    assert_eq!(recipe.images[0].folder, Path::new("faces"));
    recipe.ema = Some(EmaOptions::default());
    recipe.optimizer.options.insert("learning_rate".into(), 0.001.into());
    let again: Recipe = toml::from_str(&toml::to_string(&recipe).unwrap()).unwrap();
    assert_eq!(again, recipe);
}

#[test]
fn mistakes_are_named() {
    let rows = [
        ("stesp = 3\n", "stesp"),
        ("batch = 0\n", "batch of the recipe is 0"),
        ("max_grad_norm = nan\n", "max_grad_norm of the recipe is NaN"),
        ("lora.rank = 0\n", "lora.rank of the recipe is 0, expected a number of at least 1"),
        ("size_px = [60, 64]\n", "size_px of the recipe is 60, expected a multiple of 8"),
        ("optimizer.id = \"adamv\"\n", "unknown optimizer \"adamv\""),
        ("optimizer = { id = \"adamw\", learning_rate = -1.0 }\n", "learning_rate of adamw is -1"),
        ("optimizer = { id = \"adamw\", speed = 1 }\n", "speed"),
        ("lr_schedule.id = \"cosin\"\n", "unknown learning-rate schedule \"cosin\""),
    ];
    for (line, expected) in rows {
        let message = open(&format!("{line}{SMALLEST}")).unwrap_err().to_string();
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn every_recipe_of_the_repository_is_one() {
    let mut n = 0;
    for folder in ["recipes", "recipes/tronie-mini"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let recipe = Recipe::open(&path).unwrap();
                assert!(recipe.scratch.configs.values().all(|config| config.is_file()), "{}", path.display());
                n += 1;
            }
        }
    }
    assert!(n >= 5, "{n} recipes");
}
