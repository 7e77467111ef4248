use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::layout::testing::numbered;
use crate::{Dtype, write_safetensors};

fn tree(files: &[&str]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for file in files {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    home
}

fn library(folder: &Path) -> Library {
    Library::new(&[folder.to_owned()])
}

fn found(library: &Library, root: &Path) -> Vec<(String, Option<Kind>)> {
    let rows = library.files().into_iter().map(|file| {
        let path = file.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        (path, file.kind)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

const A1111: [&str; 10] = [
    "webui.py",
    "models/Stable-diffusion/v1-5.safetensors",
    "models/Stable-diffusion/sub/Portrait.ckpt",
    "models/Stable-diffusion/v1-5.yaml",
    "models/VAE/mse.vae.pt",
    "models/Lora/face.safetensors",
    "models/ESRGAN/4x.pth",
    "embeddings/bad-hands.pt",
    "outputs/not-a-model.bin",
    "venv/lib/torch.bin",
];

#[test]
fn an_a1111_tree_is_read_in_place_from_its_root_or_its_models() {
    let home = tree(&A1111);
    let expected = [
        ("embeddings/bad-hands.pt", Kind::Embedding),
        ("models/ESRGAN/4x.pth", Kind::Upscaler),
        ("models/Lora/face.safetensors", Kind::Lora),
        ("models/Stable-diffusion/sub/Portrait.ckpt", Kind::Checkpoint),
        ("models/Stable-diffusion/v1-5.safetensors", Kind::Checkpoint),
        ("models/VAE/mse.vae.pt", Kind::Vae),
    ];
    let expected = expected.map(|(path, kind)| (path.to_owned(), Some(kind)));
    assert_eq!(found(&library(home.path()), home.path()), expected);
    assert_eq!(found(&library(&home.path().join("models")), home.path()), expected);
    let both = Library::new(&[home.path().to_owned(), home.path().join("models")]);
    assert_eq!(found(&both, home.path()), expected, "a model seen twice counts once");
}

#[test]
fn a_comfyui_tree_brings_its_extra_paths() {
    let home = tree(&[
        "comfy/models/checkpoints/xl.safetensors",
        "comfy/models/loras/style.safetensors",
        "other/models/Stable-diffusion/old.ckpt",
        "other/models/VAE/v.pt",
    ]);
    let yaml = "a111:\n  base_path: ../other\n  checkpoints: models/Stable-diffusion\n  vae: models/VAE\n";
    fs::write(home.path().join("comfy/extra_model_paths.yaml"), yaml).unwrap();
    let names = |library: &Library| -> Vec<(String, Option<Kind>)> {
        library.files().into_iter().map(|file| (file.relative, file.kind)).collect()
    };
    let expected = [
        ("old.ckpt", Kind::Checkpoint),
        ("style.safetensors", Kind::Lora),
        ("v.pt", Kind::Vae),
        ("xl.safetensors", Kind::Checkpoint),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), Some(kind)));
    assert_eq!(names(&library(&home.path().join("comfy"))), expected);
    assert_eq!(names(&library(&home.path().join("comfy/models"))), expected);
}

#[test]
fn a_plain_folder_is_searched_and_diffusers_folders_are_one_model_each() {
    let home = tree(&[
        "a.safetensors",
        "deep/er/b.ckpt",
        "sd-folder/model_index.json",
        "sd-folder/unet/config.json",
        "sd-folder/unet/diffusion_pytorch_model.safetensors",
        ".hidden/c.safetensors",
        "notes.txt",
    ]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(home.path(), home.path().join("deep/circle")).unwrap();
    let names = ["a.safetensors", "deep/er/b.ckpt", "sd-folder"];
    assert_eq!(found(&library(home.path()), home.path()), names.map(|name| (name.to_owned(), None)));
    let folder = library(home.path()).files().pop().unwrap();
    let n_bytes: usize = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
        .iter()
        .map(|name| format!("sd-folder/{name}").len())
        .sum();
    assert_eq!(folder.size_bytes, n_bytes as u64);
    // the diffusers folder itself may be named
    let itself = library(&home.path().join("sd-folder"));
    assert_eq!(itself.resolve("sd-folder", Kind::Checkpoint).unwrap(), home.path().join("sd-folder"));
}

#[test]
fn names_are_found_the_way_people_type_them() {
    let home = tree(&A1111);
    let library = library(home.path());
    let base = home.path().join("models/Stable-diffusion");
    let cases = [
        ("v1-5.safetensors", "v1-5.safetensors"),
        ("v1-5", "v1-5.safetensors"),
        ("v1-5.safetensors [6ce0161689]", "v1-5.safetensors"),
        ("Portrait", "sub/Portrait.ckpt"),
        ("sub/Portrait.ckpt", "sub/Portrait.ckpt"),
        ("sub\\Portrait", "sub/Portrait.ckpt"),
        ("portrait", "sub/Portrait.ckpt"),
        ("V1-5.SAFETENSORS", "v1-5.safetensors"),
    ];
    for (name, expected) in cases {
        assert_eq!(library.resolve(name, Kind::Checkpoint).unwrap(), base.join(expected), "{name}");
    }
    let lora = library.resolve("face", Kind::Lora).unwrap();
    assert_eq!(lora, home.path().join("models/Lora/face.safetensors"));
    assert!(library.resolve("face", Kind::Checkpoint).is_err(), "a LoRA is not offered as a checkpoint");
}

#[test]
fn a_name_for_two_models_is_an_error_that_lists_them() {
    let home = tree(&[
        "models/Lora/a/face.safetensors",
        "models/Lora/b/face.safetensors",
        "models/Lora/x.pt",
        "models/Lora/x.safetensors",
    ]);
    let library = library(home.path());
    let error = library.resolve("face", Kind::Lora).unwrap_err();
    let lora = home.path().join("models/Lora");
    let LibraryError::Ambiguous { candidates, .. } = &error else { panic!("{error}") };
    assert_eq!(*candidates, [lora.join("a/face.safetensors"), lora.join("b/face.safetensors")]);
    assert_eq!(library.resolve("b/face", Kind::Lora).unwrap(), lora.join("b/face.safetensors"));
    assert!(matches!(library.resolve("x", Kind::Lora), Err(LibraryError::Ambiguous { .. })));
    assert_eq!(library.resolve("x.pt", Kind::Lora).unwrap(), lora.join("x.pt"));
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    let home = tree(&[
        "models/Stable-diffusion/dreamshaper_8.safetensors",
        "models/Stable-diffusion/epicrealism.safetensors",
    ]);
    let error = library(home.path()).resolve("dreamshapr_8", Kind::Checkpoint).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean \"dreamshaper_8\"?");
    let error = library(home.path()).resolve("flux", Kind::Checkpoint).unwrap_err();
    assert_eq!(error.hint().unwrap(), "tronie models list shows all names");
    let error = Library::new(&[]).resolve("flux", Kind::Checkpoint).unwrap_err();
    assert_eq!(error.hint().unwrap(), "name the folder that holds your models with --models-dir");
    assert_eq!(error.fault(), Fault::Input);
}

#[test]
fn a_list_tells_what_each_file_is() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: &[(&str, &[usize])]| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let tensors =
            tensors.iter().map(|(name, shape)| ((*name).to_owned(), numbered(Dtype::F16, shape, 0)));
        write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    };
    write(
        "checkpoint.safetensors",
        &[
            ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]),
            ("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[320, 768]),
        ],
    );
    write("lora.safetensors", &[("lora_unet_x.lora_up.weight", &[1])]);
    write("vae.safetensors", &[("encoder.down.0.block.0.norm1.weight", &[128])]);
    fs::write(home.path().join("broken.safetensors"), "no tensors").unwrap();
    let list = library(home.path()).list();
    let rows: Vec<_> =
        list.iter().map(|row| (row.file.stem(), row.kind, row.family, row.problem.is_some())).collect();
    assert_eq!(
        rows,
        [
            ("broken", Kind::Other, None, true),
            ("checkpoint", Kind::Checkpoint, Some("sd15"), false),
            ("lora", Kind::Lora, None, false),
            ("vae", Kind::Vae, None, false),
        ]
    );
}

#[test]
fn edit_distance_counts_single_changes() {
    assert_eq!(edit_distance("kitten", "sitting"), 3);
    assert_eq!(edit_distance("", "abc"), 3);
    assert_eq!(edit_distance("same", "same"), 0);
}

#[test]
fn files_of_a_kind_are_told_by_their_folder_or_else_by_their_content() {
    let home = tree(&["tree/embeddings/broken.pt", "tree/checkpoints/portrait.ckpt", "plain/notes.pt"]);
    for (path, rows) in [
        ("tree/embeddings/soft.safetensors", ["emb_params"].as_slice()),
        ("tree/loras/film.safetensors", &["lora_unet_conv_in.lora_down.weight"]),
        ("plain/film.safetensors", &["emb_params"]),
        (
            "plain/other.safetensors",
            &["lora_unet_conv_in.lora_down.weight", "lora_unet_conv_in.lora_up.weight"],
        ),
    ] {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let tensors = rows.iter().map(|name| ((*name).to_owned(), numbered(Dtype::F16, &[2, 768], 0)));
        write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    }
    let library = Library::new(&[home.path().join("tree"), home.path().join("plain")]);
    let found = library.of_kind(Kind::Embedding);
    let found: Vec<&str> = found.iter().map(|file| file.relative.as_str()).collect();
    assert_eq!(found, ["broken.pt", "film.safetensors", "soft.safetensors"]);
}
