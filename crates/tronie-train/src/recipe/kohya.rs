//! Data set files of kohya's sd-scripts, read as they are.
//!
//! The format: <https://github.com/kohya-ss/sd-scripts/blob/main/docs/config_README-en.md>. `[general]` holds for all
//! `[[datasets]]`, those for their `[[datasets.subsets]]`; the nearest word wins. What it says about a folder becomes an
//! [`ImageSet`]; what holds for the whole run here (size, batch, buckets, flips, captions) must be the same everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Recipe;
use crate::TrainError;
use crate::data::{Buckets, ImageSet, Role};

/// Settings that change nothing here: captions are found whatever their extension, and pictures are never cut at random.
const WITHOUT_EFFECT: [&str; 4] =
    ["caption_extension", "caption_extention", "bucket_no_upscale", "random_crop"];

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    general: Settings,
    datasets: Vec<Dataset>,
}

#[derive(Debug, Deserialize)]
struct Dataset {
    subsets: Vec<Settings>,
    #[serde(flatten)]
    settings: Settings,
}

type Settings = BTreeMap<String, Value>;

/// One number for a square, or width and height.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Resolution {
    Square(u32),
    Sides([u32; 2]),
}

/// Everything a subset is told, with the words around it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subset {
    image_dir: PathBuf,
    class_tokens: Option<String>,
    #[serde(default = "once")]
    num_repeats: u32,
    #[serde(default)]
    is_reg: bool,
    resolution: Option<Resolution>,
    batch_size: Option<usize>,
    #[serde(default)]
    enable_bucket: bool,
    min_bucket_reso: Option<u32>,
    max_bucket_reso: Option<u32>,
    bucket_reso_steps: Option<u32>,
    flip_aug: Option<bool>,
    shuffle_caption: Option<bool>,
    keep_tokens: Option<usize>,
    caption_dropout_rate: Option<f64>,
}

fn once() -> u32 {
    1
}

/// Adds the folders of a file to a recipe and takes over what it says about the run.
pub(super) fn read(recipe: &mut Recipe, path: &Path) -> Result<(), TrainError> {
    let problem = |problem: String| TrainError::Recipe { path: path.to_owned(), problem };
    let text = fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut run: Option<Run> = None;
    for dataset in file.datasets {
        for subset in dataset.subsets {
            let layers = [&file.general, &dataset.settings, &subset];
            let words =
                layers.into_iter().flatten().filter(|(key, _)| !WITHOUT_EFFECT.contains(&key.as_str()));
            let words: serde_json::Map<String, Value> =
                words.map(|(key, value)| (key.clone(), value.clone())).collect();
            let subset: Subset =
                serde_json::from_value(Value::Object(words)).map_err(|error| problem(error.to_string()))?;
            let found = Run::of(&subset);
            let first = run.get_or_insert_with(|| found.clone());
            if *first != found {
                let what = format!("{first:?} and {found:?}");
                return Err(problem(format!("all subsets must be trained alike, found {what}")));
            }
            recipe.images.push(ImageSet {
                folder: folder.join(subset.image_dir),
                caption: subset.class_tokens,
                own_captions: true,
                masks: None,
                role: if subset.is_reg { Role::Class } else { Role::Subject },
                repeats: subset.num_repeats,
            });
        }
    }
    run.map(|run| run.apply(recipe)).ok_or_else(|| problem("it has no subset".to_owned()))
}

/// What holds for a whole run; `None` leaves the recipe's word.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    size_px: Option<[u32; 2]>,
    batch: Option<usize>,
    buckets: Option<Buckets>,
    flip: Option<bool>,
    shuffle: Option<bool>,
    keep_parts: Option<usize>,
    dropout: Option<f64>,
}

impl Run {
    fn of(subset: &Subset) -> Self {
        let usual = Buckets::default();
        let buckets = Buckets {
            min_px: subset.min_bucket_reso.unwrap_or(usual.min_px),
            max_px: subset.max_bucket_reso.unwrap_or(usual.max_px),
            step_px: subset.bucket_reso_steps.unwrap_or(usual.step_px),
        };
        Self {
            size_px: subset.resolution.as_ref().map(|resolution| match resolution {
                Resolution::Square(side) => [*side; 2],
                Resolution::Sides(sides) => *sides,
            }),
            batch: subset.batch_size,
            buckets: subset.enable_bucket.then_some(buckets),
            flip: subset.flip_aug,
            shuffle: subset.shuffle_caption,
            keep_parts: subset.keep_tokens,
            dropout: subset.caption_dropout_rate,
        }
    }

    fn apply(self, recipe: &mut Recipe) {
        let text = &mut recipe.text;
        recipe.size_px = self.size_px.or(recipe.size_px);
        recipe.batch = self.batch.unwrap_or(recipe.batch);
        recipe.buckets = self.buckets.or(recipe.buckets);
        recipe.flip = self.flip.unwrap_or(recipe.flip);
        text.shuffle = self.shuffle.unwrap_or(text.shuffle);
        text.keep_parts = self.keep_parts.unwrap_or(text.keep_parts);
        text.dropout = self.dropout.unwrap_or(text.dropout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dataset: &str) -> Result<Recipe, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.toml"), dataset).unwrap();
        let recipe = folder.path().join("recipe.toml");
        fs::write(&recipe, "model = \"x\"\nn_steps = 1\nkohya_dataset = \"data.toml\"\n").unwrap();
        Recipe::open(&recipe)
    }

    #[test]
    fn the_nearest_word_wins_and_folders_keep_their_own() {
        let recipe = open(
            "[general]\nshuffle_caption = true\nkeep_tokens = 1\ncaption_extension = '.txt'\nflip_aug = false\n\
             [[datasets]]\nresolution = [512, 768]\nbatch_size = 4\nenable_bucket = true\nflip_aug = true\n\
             [[datasets.subsets]]\nimage_dir = 'a'\nclass_tokens = 'sks person'\nnum_repeats = 10\n\
             [[datasets.subsets]]\nimage_dir = 'b'\nis_reg = true\nclass_tokens = 'person'\n",
        )
        .unwrap();
        assert_eq!((recipe.size_px, recipe.batch, recipe.flip), (Some([512, 768]), 4, true));
        assert_eq!(recipe.buckets, Some(Buckets::default()));
        assert_eq!((recipe.text.shuffle, recipe.text.keep_parts), (true, 1));
        let sets: Vec<_> =
            recipe.images.iter().map(|set| (set.role, set.repeats, set.caption.as_deref())).collect();
        assert_eq!(sets, [(Role::Subject, 10, Some("sks person")), (Role::Class, 1, Some("person"))]);
        assert!(recipe.images[0].folder.ends_with("a") && recipe.images[0].folder.is_absolute());
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let subset = "[[datasets.subsets]]\nimage_dir = 'a'\n";
        let rows = [
            (format!("[[datasets]]\n{subset}color_aug = true\n"), "color_aug"),
            (format!("[[datasets]]\nresolution = 'big'\n{subset}"), "Resolution"),
            (
                format!("[[datasets]]\nbatch_size = 1\n{subset}[[datasets]]\nbatch_size = 2\n{subset}"),
                "trained alike",
            ),
            ("[[datasets]]\nsubsets = []\n".to_owned(), "no subset"),
        ];
        for (text, expected) in rows {
            let message = open(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
