//! An autoencoder in place of the checkpoint's own, against `reference/other_vae.py`.

use tronie_weights::{SafetensorsFile, TensorFile as _};

use super::control::write_picture;
use super::*;
use crate::Source;

/// The weights of `folder`'s autoencoder under their names behind "other.", as a single file.
fn write_other(folder: &Path, to: &Path) {
    let own = SafetensorsFile::open(&folder.join("vae/diffusion_pytorch_model.safetensors")).unwrap();
    let tensors = own.names().into_iter().map(|name| {
        let meta = own.meta(&name).unwrap();
        let values = synthetic::weight(&format!("other.{name}"), &meta.shape);
        (name, RawTensor { meta, bytes: values.into_iter().flat_map(f32::to_le_bytes).collect() })
    });
    let tensors: Vec<_> = tensors.collect();
    write_safetensors(to, &BTreeMap::new(), tensors).unwrap();
}

#[test]
fn another_autoencoder_reads_and_writes_the_pictures_and_is_named_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_folder("sd15", &model);
    let other = folder.path().join("tree/models/VAE/other.safetensors");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    write_other(&model, &other);
    let pipeline = load(&model, &[&folder.path().join("tree")]);
    let picture = write_picture(4, [64, 64], folder.path());
    let source = Some(Source { strength: 0.6, ..Source::new(picture) });
    let own = GenerateRequest { source, ..request(&model, "ddim", 7.5) };
    let wanted = GenerateRequest { vae: Some("other".to_owned()), ..own.clone() };
    let image = make(&pipeline, &wanted);
    assert_golden("sd15_vae", &image.pixels);
    assert_ne!(make(&pipeline, &own).pixels, image.pixels);
    let sha256 = tronie_base::sha256_hex(&std::fs::read(&other).unwrap());
    assert_eq!(image.vae_sha256.as_ref(), Some(&sha256));
    let entries = crate::record::entries(&image).unwrap();
    assert!(
        entries[0].value.contains(&format!("VAE hash: {}, VAE: other", &sha256[..10])),
        "{}",
        entries[0].value
    );
    assert!(entries[1].value.contains(&format!("\"vae_sha256\":\"{sha256}\"")), "{}", entries[1].value);
}

#[test]
fn an_autoencoder_that_cannot_serve_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_folder("sd15", &model);
    let pipeline = load(&model, &[]);
    let refused = |vae: &str| {
        let wanted = GenerateRequest { vae: Some(vae.to_owned()), ..request(&model, "ddim", 7.5) };
        pipeline.resolve(&wanted).unwrap_err().to_string()
    };
    assert!(refused("mse").contains("no model \"mse\""), "{}", refused("mse"));
    let lora = lora_file().to_string_lossy().into_owned();
    assert!(refused(&lora).contains("LoRA"), "{}", refused(&lora));
}
