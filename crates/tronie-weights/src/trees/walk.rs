//! Which folders hold which kind of model, and what is in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ModelFile, extra_paths};
use crate::detect::Kind;

/// A folder of models of one kind, or of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) kind: Option<Kind>,
    /// Whether folders inside it are looked into.
    deep: bool,
}

/// What A1111 and `ComfyUI` call the folder of a kind.
const NAMES: &[(&str, Kind)] = &[
    ("Stable-diffusion", Kind::Checkpoint),
    ("checkpoints", Kind::Checkpoint),
    ("diffusion_models", Kind::Checkpoint),
    ("diffusers", Kind::Checkpoint),
    ("unet", Kind::Checkpoint),
    ("VAE", Kind::Vae),
    ("vae", Kind::Vae),
    ("Lora", Kind::Lora),
    ("LyCORIS", Kind::Lora),
    ("loras", Kind::Lora),
    ("embeddings", Kind::Embedding),
    ("ControlNet", Kind::ControlNet),
    ("controlnet", Kind::ControlNet),
    ("ipadapter", Kind::IpAdapter),
    ("clip_vision", Kind::ImageEncoder),
    ("ESRGAN", Kind::Upscaler),
    ("RealESRGAN", Kind::Upscaler),
    ("upscale_models", Kind::Upscaler),
    ("text_encoders", Kind::TextEncoder),
    ("clip", Kind::TextEncoder),
];

/// The kind a folder of that name holds.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

const ENDINGS: [&str; 6] = ["safetensors", "sft", "ckpt", "pt", "pth", "bin"];

/// Whether a file ending is one of model files.
pub(super) fn is_model_ending(ending: &Path) -> bool {
    let ending = ending.to_string_lossy().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

/// The places below what a user named as folder of models.
pub(super) fn places(root: &Path) -> Vec<Place> {
    if is_diffusers(root) {
        return vec![Place { folder: root.to_owned(), kind: Some(Kind::Checkpoint), deep: true }];
    }
    let mut bases = vec![root.to_owned(), root.join("models")];
    let mut places = Vec::new();
    let is_models = root.file_name().is_some_and(|name| name == "models");
    if let Some(parent) = root.parent().filter(|_| is_models) {
        // A1111 keeps embeddings beside `models`, ComfyUI its extra paths.
        add(&mut places, parent.join("embeddings"), Some(Kind::Embedding));
        bases.push(parent.to_owned());
    }
    for base in bases.iter().take(2) {
        for (name, kind) in NAMES {
            add(&mut places, base.join(name), Some(*kind));
        }
    }
    for base in &bases {
        for (folder, kind) in extra_paths::read(&base.join("extra_model_paths.yaml")) {
            add(&mut places, folder, Some(kind));
        }
    }
    // Without a tree everything below counts; in a tree only what lies directly beside the known folders.
    let deep = places.is_empty();
    places.push(Place { folder: root.to_owned(), kind: None, deep });
    places
}

fn add(places: &mut Vec<Place>, folder: PathBuf, kind: Option<Kind>) {
    // On systems that ignore letter case "VAE" and "vae" are one folder.
    let same = |place: &Place| fs::canonicalize(&place.folder).ok() == fs::canonicalize(&folder).ok();
    if folder.is_dir() && !is_diffusers(&folder) && !places.iter().any(same) {
        places.push(Place { folder, kind, deep: true });
    }
}

fn is_diffusers(folder: &Path) -> bool {
    folder.join("model_index.json").is_file() || folder.join("unet/config.json").is_file()
}

/// All models of these places, each once.
pub(super) fn files(places: &[Place]) -> Vec<ModelFile> {
    let mut walk = Walk::default();
    for place in places {
        if is_diffusers(&place.folder) {
            let name = place.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            walk.take(&place.folder, name, place.kind);
        } else {
            walk.enter(place, &place.folder, "");
        }
    }
    walk.found.sort();
    walk.found
}

#[derive(Default)]
struct Walk {
    /// Real paths, so that links in a circle end and a model seen twice counts once.
    seen: BTreeSet<PathBuf>,
    found: Vec<ModelFile>,
}

impl Walk {
    fn enter(&mut self, place: &Place, folder: &Path, prefix: &str) {
        if !fs::canonicalize(folder).is_ok_and(|real| self.seen.insert(real)) {
            return;
        }
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let relative = format!("{prefix}{name}");
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if is_diffusers(&path) {
                    self.take(&path, relative, place.kind);
                } else if place.deep {
                    self.enter(place, &path, &format!("{relative}/"));
                }
            } else if path.extension().is_some_and(|ending| is_model_ending(Path::new(ending))) {
                self.take(&path, relative, place.kind);
            }
        }
    }

    fn take(&mut self, path: &Path, relative: String, kind: Option<Kind>) {
        if fs::canonicalize(path).is_ok_and(|real| self.seen.insert(real)) {
            self.found.push(ModelFile {
                relative,
                size_bytes: size_bytes(path, 0),
                path: path.to_owned(),
                kind,
            });
        }
    }
}

/// Size of a file, or of all files of a diffusers folder.
fn size_bytes(path: &Path, depth: usize) -> u64 {
    const DEEPEST: usize = 3;
    match fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) if depth < DEEPEST => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size_bytes(&entry.path(), depth + 1)).sum()
        }
        _ => 0,
    }
}
