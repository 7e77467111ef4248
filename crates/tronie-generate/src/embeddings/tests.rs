use std::fs;

use tronie_base::Silent;
use tronie_tensor::device;
use tronie_weights::{EmbeddingForm, Part, TensorMeta, write_safetensors};

use super::*;
use crate::{EMBEDDED_MODEL, Store, StoreConfig};

/// Vectors of this width, the numbers 0, 1, 2, ... in them.
fn vectors(n: usize, d: usize) -> RawTensor {
    let bytes = (0..n * d).flat_map(|i| (i as f32).to_le_bytes()).collect();
    RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape: vec![n, d] }, bytes }
}

fn save(path: &Path, parts: &[(Part, RawTensor)]) {
    let embedding = Embedding { name: "inside".into(), vectors: parts.iter().cloned().collect(), step: None };
    embedding.save(path, EmbeddingForm::Word, &BTreeMap::new()).unwrap();
}

fn networks() -> Networks {
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let checkpoint = store.open(EMBEDDED_MODEL, &mut Silent).unwrap();
    Networks::load(&checkpoint, EMBEDDED_MODEL, &device::open("cpu").unwrap(), &mut Silent).unwrap()
}

fn slot(name: &str, row: usize) -> VectorSlot {
    VectorSlot { position: 1 + row, name: name.to_owned(), row }
}

#[test]
fn a_file_is_called_by_its_name_and_several_words_in_one_by_their_own() {
    let networks = networks();
    let d = networks.spec.text.encoders[0].config.d;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    save(&path("film.safetensors"), &[(Part::TextEncoder, vectors(3, d))]);
    let two = [("soft-light".to_owned(), vectors(1, d)), ("hard-light".to_owned(), vectors(2, d))];
    write_safetensors(&path("lights.safetensors"), &BTreeMap::new(), two).unwrap();
    let set = EmbeddingSet::of_files(["film.safetensors", "lights.safetensors"].map(path), &networks);
    let find = |text: &str| {
        set.find(&networks.tokenizer.encode(text)).map(|found| (found.name.to_owned(), found.n_vectors))
    };
    assert_eq!(find("Film portrait"), Some(("film".to_owned(), 3)));
    assert_eq!(find("hard-light"), Some(("hard-light".to_owned(), 2)));
    assert_eq!((find("lights"), find("inside")), (None, None));

    let device = device::open("cpu").unwrap();
    let slots = [slot("hard-light", 1), slot("film", 2)];
    let inserted = set.inserted(slots.iter().map(|slot| (4, slot)), 0, &device).unwrap();
    let places: Vec<_> = inserted.iter().map(|vector| (vector.batch, vector.position)).collect();
    assert_eq!(places, [(4, 2), (4, 3)]);
    let first = |i: usize| inserted[i].vector.clone().into_data().try_to_vec::<f32>().unwrap()[0];
    assert_eq!((first(0), first(1)), (d as f32, 2.0 * d as f32));
}

#[test]
fn a_file_that_does_not_fit_is_an_error_once_a_prompt_names_it() {
    let networks = networks();
    let d = networks.spec.text.encoders[0].config.d;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    save(&path("wide.safetensors"), &[(Part::TextEncoder, vectors(1, d + 8))]);
    save(
        &path("pair.safetensors"),
        &[(Part::TextEncoder, vectors(1, d)), (Part::TextEncoder2, vectors(1, 1280))],
    );
    fs::write(path("broken.pt"), "no pickle").unwrap();
    let names = ["wide.safetensors", "pair.safetensors", "broken.pt"];
    let set = EmbeddingSet::of_files(names.map(path), &networks);
    let device = device::open("cpu").unwrap();
    let expected = [
        ("wide", format!("wide.safetensors has vectors of width {}, the model takes {d}", d + 8)),
        ("pair", format!("pair.safetensors has vectors of width {d} and 1280, the model takes {d}")),
        ("broken", "broken.pt: ".to_owned()),
    ];
    for (word, expected) in expected {
        assert_eq!(set.find(&networks.tokenizer.encode(word)).unwrap().name, word);
        let error = set.inserted([(0, &slot(word, 0))], 0, &device).unwrap_err().to_string();
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_refiner_takes_the_vectors_for_its_encoder_and_leaves_words_that_have_none() {
    let mut networks = networks();
    let encoder = &mut networks.spec.text.encoders[0];
    encoder.folder = Part::TextEncoder2.folder(); // alone, as in SDXL's refiner
    let d = encoder.config.d;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let both = [(Part::TextEncoder, vectors(2, d + 8)), (Part::TextEncoder2, vectors(2, d))];
    save(&path("both.safetensors"), &both);
    save(&path("first.safetensors"), &[(Part::TextEncoder, vectors(1, d + 8))]);
    let set = EmbeddingSet::fitting(["both.safetensors", "first.safetensors"].map(path), &networks);
    let device = device::open("cpu").unwrap();
    let inserted = set.inserted([(0, &slot("both", 1))], 0, &device).unwrap();
    assert_eq!(inserted[0].vector.clone().into_data().try_to_vec::<f32>().unwrap()[0], d as f32);
    assert!(set.find(&networks.tokenizer.encode("first")).is_none());
}

#[test]
fn of_two_files_of_one_name_the_one_that_fits_counts() {
    let networks = networks();
    let d = networks.spec.text.encoders[0].config.d;
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a/film.safetensors", "b/film.safetensors", "c/film.safetensors"]
        .map(|name| folder.path().join(name));
    for (path, width) in paths.iter().zip([768, d, d]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        save(path, &[(Part::TextEncoder, vectors(1, width))]);
    }
    let set = EmbeddingSet::of_files(paths.clone(), &networks);
    let expected: String = Embedding::sha256(&paths[1]).unwrap().chars().take(12).collect();
    assert_eq!(set.hashes(["film", "absent"]).unwrap(), [("film".to_owned(), expected)]);
}
