use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tronie_image::{ImageFormat, Pixels};
use tronie_models::clip::{
    Clip, ClipActivation, ClipConfig, ClipOutput, ClipRequest, EndOfText, HiddenLayer,
};
use tronie_prompt::VectorSlot;
use tronie_tensor::Module as _;
use tronie_testing::{Golden, assert_close, repository, synthetic};

use super::*;
use crate::weave::tests::{BATCH, FAMILIES, Filler, distance, ten_steps};
use crate::weave::weave;

/// Beginning 50, end 51; the two vectors take the places of the zeros.
const TOKENS: [[i64; 8]; BATCH] = [[50, 3, 0, 0, 7, 51, 51, 51], [50, 9, 5, 17, 33, 0, 0, 51]];

/// A text tower of `reference/finetune.py`.
struct Tower {
    folder: &'static str,
    d: usize,
    n_heads: usize,
    from_end: usize,
    d_projection: Option<usize>,
}

impl Tower {
    fn clip(&self) -> Clip {
        let config = ClipConfig {
            vocab_size: 60,
            n_positions: 8,
            d: self.d,
            d_mlp: 2 * self.d,
            n_layers: 2,
            n_heads: self.n_heads,
            activation: ClipActivation::QuickGelu,
            layer_norm_epsilon: 1e-5,
            end_of_text: EndOfText::FirstOf(51),
            d_projection: self.d_projection,
        };
        config.init(&Device::flex()).map(&mut Filler::default())
    }

    fn encode(&self, clip: Clip, leaves: &Leaves, embeddings: &EmbeddingSet, index: usize) -> ClipOutput {
        let device = Device::flex().autodiff();
        let slots: Vec<(usize, VectorSlot)> = [(0, 2, 0), (0, 3, 1), (1, 5, 0), (1, 6, 1)]
            .map(|(batch, position, row)| (batch, VectorSlot { position, name: "word".to_owned(), row }))
            .into();
        let slots = slots.iter().map(|(batch, slot)| (*batch, slot));
        let inserted = embeddings.inserted(slots, index, &device).unwrap();
        let layer = HiddenLayer { from_end: self.from_end, final_norm: self.from_end == 1 };
        let tokens = TensorData::new(TOKENS.concat(), [BATCH, 8]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &device);
        weave(clip, self.folder, leaves, 1.0).forward(tokens, &inserted, ClipRequest { layer, pooled: true })
    }
}

#[test]
fn training_two_vectors_equals_pytorch() {
    let first =
        |d, n_heads, from_end| Tower { folder: "text_encoder", d, n_heads, from_end, d_projection: None };
    let second = Tower { folder: "text_encoder_2", d: 16, n_heads: 4, from_end: 2, d_projection: Some(20) };
    for (name, towers) in [("sd15", vec![first(24, 4, 1)]), ("sdxl", vec![first(8, 2, 2), second])] {
        let family = FAMILIES.iter().find(|family| family.name == name).unwrap();
        let (unet, ..) = family.unet();
        let clips: Vec<Clip> = towers.iter().map(Tower::clip).collect();
        let mut parameters = Parameters::default();
        for (i, tower) in towers.iter().enumerate() {
            let shape = vec![2, tower.d];
            let values =
                synthetic::input(&format!("vectors.{i}"), &shape).into_iter().map(|x| 0.5 * x).collect();
            parameters.0.insert(format!("{}.{VECTORS}", tower.folder), Values { shape, values });
        }
        let (losses, gradients, last) = ten_steps(parameters, |leaves, step| {
            let vectors = towers
                .iter()
                .map(|tower| leaves.get(&format!("{}.{VECTORS}", tower.folder)).unwrap().matrix());
            let embeddings = EmbeddingSet::of_vectors("word", vectors.collect(), &Tokenizer::clip());
            let rows = towers.iter().zip(&clips).enumerate();
            let texts: Vec<ClipOutput> =
                rows.map(|(i, (tower, clip))| tower.encode(clip.clone(), leaves, &embeddings, i)).collect();
            let context = Tensor::cat(texts.iter().map(|text| text.hidden.clone()).collect(), 2);
            let pooled = texts.last().unwrap().pooled.clone().unwrap();
            family.loss(&weave(unet.clone(), "unet", leaves, 1.0), &family.with_sizes(context, pooled), step)
        });
        let golden = Golden::open(&format!("training/inversion_{name}"));
        assert_close(&losses, &golden.f32("losses"), 1e-4);
        assert_eq!(golden.names().len(), 1 + 2 * towers.len());
        for (key, gradient) in gradients {
            let error = distance(&gradient, &golden.f32(&format!("gradient.{key}")));
            assert!(error < 1e-4, "{name}: gradient of {key} differs by {error:e}");
            let error = distance(&last.0[&key].values, &golden.f32(&format!("final.{key}")));
            assert!(error < 1e-4, "{name}: {key} differs by {error:e}");
        }
    }
}

fn recipe(inversion: &str) -> Recipe {
    let text = format!(
        "model = \"tronie-mini\"\nn_steps = 1\n[[images]]\nfolder = \"faces\"\n[inversion]\n{inversion}"
    );
    toml::from_str(&text).unwrap()
}

fn word(inversion: &str) -> Result<Word, TrainError> {
    let recipe = recipe(inversion);
    recipe.check()?;
    Word::new(&recipe, &Tokenizer::clip())
}

#[test]
fn the_recipe_that_comes_along_asks_for_a_word_that_can_be_learned() {
    let recipe = Recipe::open(&repository().join("recipes/textual-inversion.toml")).unwrap();
    let word = Word::new(&recipe, &Tokenizer::clip()).unwrap();
    assert_eq!((word.inversion.kind, word.init), (Some(Concept::Object), vec![2308; 4]));
}

#[test]
fn vectors_start_as_the_tokens_of_a_text_again_from_the_first() {
    let (a, woman) = (320, 2308);
    let init = |inversion: &str| word(&format!("token = \"zoe-face\"\n{inversion}")).unwrap().init;
    assert_eq!(init("init = \"a woman\"\nn_vectors = 5"), [a, woman, a, woman, a]);
    assert_eq!(init("init = \"a woman\"\nn_vectors = 2"), [a, woman]);
    assert_eq!(init("n_vectors = 75"), [265; 75]);
    assert_eq!(init(""), [265]);
}

#[test]
fn a_word_that_cannot_be_learned_is_named_with_what_would_do() {
    let rows = [
        ("token = \"\"", "inversion.token is \"\", expected one word that can be a file's name"),
        ("token = \" \"", "inversion.token is \" \", expected one word"),
        ("token = \"zoe face\"", "inversion.token is \"zoe face\", expected one word"),
        ("token = \"<zoe>\"", "inversion.token is \"<zoe>\", expected one word"),
        (
            "token = \"woman\"",
            "inversion.token is \"woman\", expected a word that means nothing to the model yet",
        ),
        (
            "token = \"zoe-face\"\nn_vectors = 0",
            "inversion.n_vectors of the recipe is 0, expected a number from 1 to 75",
        ),
        ("token = \"zoe-face\"\nn_vectors = 76", "inversion.n_vectors of the recipe is 76"),
        (
            "token = \"zoe-face\"\ninit = \"\"",
            "inversion.init is \"\", expected 1 to 1 tokens, of which it has 0",
        ),
        (
            "token = \"zoe-face\"\ninit = \"a woman\"",
            "inversion.init is \"a woman\", expected 1 to 1 tokens, of which it has 2",
        ),
    ];
    for (inversion, expected) in rows {
        let message = word(inversion).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{inversion}: {message}");
    }
    let without = Recipe { inversion: None, ..recipe("token = \"zoe-face\"") };
    let message = Word::new(&without, &Tokenizer::clip()).unwrap_err().to_string();
    assert_eq!(message, "there is nothing to train: the recipe has no table [inversion] with the new word");
    let mut trained = recipe("token = \"zoe-face\"");
    trained.text.train = true;
    let message = Word::new(&trained, &Tokenizer::clip()).unwrap_err().to_string();
    assert!(message.starts_with("text.train is true, expected false"), "{message}");
}

fn picture(path: &Path, caption: Option<&str>) {
    let pixels = Pixels::new(8, 8, vec![90; 8 * 8 * 3]).unwrap();
    fs::write(path, tronie_image::encode(&pixels, ImageFormat::Png, &[]).unwrap()).unwrap();
    if let Some(caption) = caption {
        fs::write(path.with_extension("txt"), caption).unwrap();
    }
}

fn set(folder: &Path) -> ImageSet {
    let text = format!("folder = {:?}", folder.display().to_string());
    toml::from_str(&text).unwrap()
}

#[test]
fn pictures_keep_captions_with_the_word_and_get_sentences_for_all_others() {
    let folder = tempfile::tempdir().unwrap();
    picture(&folder.path().join("a.png"), Some("Zoe-Face smiling"));
    picture(&folder.path().join("b.png"), Some("a woman smiling"));
    picture(&folder.path().join("c.png"), None);
    let scan = |inversion: &str, set: ImageSet| {
        let word = word(&format!("token = \"zoe-face\"\n{inversion}")).unwrap();
        word.scan(&[set], &Tokenizer::clip())
    };
    let captions = |scan: Scan| scan.examples.into_iter().map(|row| row.caption).collect::<Vec<_>>();
    let found = scan("kind = \"object\"", set(folder.path())).unwrap();
    assert_eq!(captions(found), ["Zoe-Face smiling", "", ""]);
    let found = scan("kind = \"style\"", ImageSet { own_captions: false, ..set(folder.path()) }).unwrap();
    assert_eq!(captions(found), ["", "", ""]);

    let everywhere = ImageSet { caption: Some("zoe-face".to_owned()), ..set(folder.path()) };
    let found = scan("", ImageSet { own_captions: false, ..everywhere.clone() }).unwrap();
    assert_eq!(captions(found), ["zoe-face"; 3]);
    let message = scan("", everywhere).unwrap_err().to_string();
    assert!(message.contains("b.png has a caption without \"zoe-face\": a woman smiling"), "{message}");
    let message = scan("", set(folder.path())).unwrap_err().to_string();
    assert!(message.contains("c.png has no caption"), "{message}");
    let message = scan("kind = \"style\"", ImageSet { role: Role::Class, ..set(folder.path()) });
    assert!(message.unwrap_err().to_string().contains("has the role \"class\""));
}

#[test]
fn a_sentence_is_drawn_for_every_picture_and_step_and_has_the_word_once() {
    for (kind, templates) in [("object", &templates::OBJECT), ("style", &templates::STYLE)] {
        let word = word(&format!("token = \"zoe-face\"\nkind = \"{kind}\"")).unwrap();
        let drawn: BTreeSet<String> = (0..400).map(|i| word.caption("", Draw::new(1, i))).collect();
        let expected: BTreeSet<String> = templates.iter().map(|row| row.replace("{}", "zoe-face")).collect();
        assert_eq!(drawn, expected);
        assert_eq!(expected.len(), 20);
        assert!(expected.iter().all(|caption| caption.matches("zoe-face").count() == 1));
        assert_eq!(word.caption("zoe-face smiling", Draw::new(1, 0)), "zoe-face smiling");
    }
}
