use std::collections::BTreeMap;
use std::fs;

use tronie_image::psnr_db;
use tronie_testing::synthetic;
use tronie_weights::{
    Dtype, Lora, LoraModule, LoraTarget, Modules, Part, RawTensor, SafetensorsFile, TensorFile as _,
    TensorMeta,
};

use crate::support::Place;

const FAST: [&str; 10] =
    ["--steps", "3", "--size", "64x64", "--cfg", "4", "--seed", "7", "--models-dir", "tree"];
/// The end of the modules that the test's LoRA changes, and their rank.
const CHANGED: (&str, usize) = (".attn1.to_q", 2);

fn tensor(name: &str, shape: &[usize]) -> RawTensor {
    let bytes = synthetic::weight(name, shape).into_iter().flat_map(f32::to_le_bytes).collect();
    RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape: shape.to_vec() }, bytes }
}

/// A place with the embedded model as folder `plain`, and a LoRA for it that is called `film`.
fn place_with_film() -> Place {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "plain"]);
    let unet = SafetensorsFile::open(&place.path("plain/unet/diffusion_pytorch_model.safetensors")).unwrap();
    let names = unet.names();
    let changed = names.iter().filter_map(|name| {
        let path = name.strip_suffix(".weight").filter(|path| path.ends_with(CHANGED.0))?;
        let [c_out, c_in] = unet.meta(name)?.shape[..] else { return None };
        let rank = CHANGED.1;
        let (down, up) =
            (tensor(&format!("{path}.down"), &[rank, c_in]), tensor(&format!("{path}.up"), &[c_out, rank]));
        let target = LoraTarget { part: Part::Unet, path: path.to_owned() };
        Some((target, LoraModule::low_rank(down, up, 16.0)))
    });
    let lora = Lora { modules: changed.collect(), family: None, metadata: BTreeMap::new() };
    assert!(lora.modules.len() > 2, "the embedded model has self-attention");
    fs::create_dir_all(place.path("tree/models/Lora")).unwrap();
    let modules = Modules::of_networks([(Part::Unet, names.as_slice())]);
    lora.save_kohya(&place.path("tree/models/Lora/film.safetensors"), &modules).unwrap();
    place
}

fn pixels(place: &Place, prompt: &str, more: &[&str]) -> (String, tronie_image::Pixels) {
    let args: Vec<&str> = ["generate", prompt].iter().chain(&FAST).chain(more).copied().collect();
    let path = place.ok(&args).trim().to_owned();
    let pixels = tronie_image::open(&place.path(&path)).unwrap();
    (path, pixels)
}

#[test]
fn like_makes_an_image_with_a_lora_again_and_info_names_it() {
    let place = place_with_film();
    let (path, image) = pixels(&place, "a smiling woman <lora:film:0.8>", &[]);
    let (_, plain) = pixels(&place, "a smiling woman ", &[]);
    assert_ne!(image, plain);
    let again = place.ok(&["generate", "--like", &path, "--models-dir", "tree"]);
    assert_eq!(tronie_image::open(&place.path(again.trim())).unwrap(), image);
    let info = place.ok(&["info", &path]);
    let hash = tronie_weights::hash_of_lora(&place.path("tree/models/Lora/film.safetensors")).unwrap();
    assert!(info.contains("a smiling woman <lora:film:0.8>\nSteps: 3"), "{info}");
    assert!(info.contains(&format!("Lora hashes: \"film: {}\"", &hash[..12])), "{info}");
}

#[test]
fn a_merged_model_makes_the_images_of_the_tag_and_gives_the_lora_back() {
    let place = place_with_film();
    let (_, by_tag) = pixels(&place, "a face <lora:film:0.8>", &[]);
    for merged in ["merged.safetensors", "merged"] {
        place.ok(&["models", "merge-lora", "tronie-mini", "film:0.8", merged, "--models-dir", "tree"]);
        assert_eq!(pixels(&place, "a face ", &["--model", merged]).1, by_tag, "{merged}");
    }
    place.ok(&["models", "extract-lora", "tronie-mini", "merged", "again.safetensors", "--rank", "2"]);
    let (_, again) = pixels(&place, "a face <lora:again.safetensors>", &[]);
    let ratio = psnr_db(&again, &by_tag).unwrap();
    assert!(
        ratio > 40.0,
        "{ratio:.1} dB; the merged weights are rounded to f16, and the rounding has a full rank"
    );
    let text = place.ok(&["models", "inspect", "again.safetensors", "--model", "tronie-mini"]);
    assert!(text.contains("LoRA for") && text.contains("rank             2\n"), "{text}");
}

#[test]
fn inspect_tells_what_an_adapter_is_and_what_it_changes() {
    let place = place_with_film();
    let film = "tree/models/Lora/film.safetensors";
    // Its modules are named like some of SDXL's, but are far narrower.
    let text = place.ok(&["models", "inspect", film]);
    assert!(text.contains("LoRA for custom"), "{text}");
    let text = place.ok(&["models", "inspect", film, "--model", "tronie-mini"]);
    for says in [
        "LoRA for the model named",
        "unet",
        "modules",
        "rank             2",
        "alpha            16",
        "ss_network_dim",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let published = tronie_testing::repository().join("testdata/adapters/diffusers.safetensors");
    let text = place.ok(&["models", "inspect", &published.to_string_lossy()]);
    for says in [
        "rank             2 3",
        "alpha            0.5 1 4",
        "metadata         -",
        "text_encoder         4 modules",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let word = tensor("word", &[3, 768]);
    let file = place.path("word.safetensors");
    tronie_weights::write_safetensors(&file, &BTreeMap::new(), [("emb_params".to_owned(), word)]).unwrap();
    let text = place.ok(&["models", "inspect", "word.safetensors"]);
    for says in ["textual inversion", "word", "3 vectors for sd15", "text_encoder", "768 wide"] {
        assert!(text.contains(says), "{says}: {text}");
    }
}
