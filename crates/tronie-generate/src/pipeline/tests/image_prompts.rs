//! Pictures that are looked at beside the prompt, against `reference/ip_adapter.py`.

use super::control::write_picture;
use super::*;
use crate::{ControlUnit, ImagePrompt};

fn files() -> Value {
    let json = std::fs::read(repository().join("testdata/pipeline/ip_adapters.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// A file of tensors of these shapes, with the weights both sides compute.
fn write_tensors(shapes: &Value, path: &Path) {
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(shapes.clone()).unwrap();
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let bytes = synthetic::weight(&name, &shape).into_iter().flat_map(f32::to_le_bytes).collect();
        (name, RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes })
    });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_safetensors(path, &BTreeMap::new(), tensors).unwrap();
}

/// A checkpoint, adapters for it with their encoder beside them, and pictures.
struct Setting {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
    base: GenerateRequest,
    family: &'static str,
}

impl Setting {
    fn new(family: &'static str, (sampler, scale): (&str, f64)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        write_folder(family, &model);
        let files = files();
        for (name, shapes) in files.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("sd")) {
            write_tensors(shapes, &folder.path().join(format!("{name}.safetensors")));
        }
        let encoder = folder.path().join("image_encoder");
        write_tensors(&files["encoder"], &encoder.join("model.safetensors"));
        std::fs::write(encoder.join("config.json"), files["config"].to_string()).unwrap();
        let base = request(&model, sampler, scale);
        Self { pipeline: load(&model, &[]), base, folder, family }
    }

    fn sd15() -> Self {
        Self::new("sd15", ("plms", 7.5))
    }

    fn prompt(&self, kind: &str, factor: u32, weight: f64) -> ImagePrompt {
        let picture = write_picture(factor, [64, 64], self.folder.path());
        let adapter = self.folder.path().join(format!("{}_{kind}.safetensors", self.family));
        ImagePrompt { weight, ..ImagePrompt::new(picture, &adapter.to_string_lossy()) }
    }

    fn with(&self, image_prompts: Vec<ImagePrompt>) -> GenerateRequest {
        GenerateRequest { image_prompts, ..self.base.clone() }
    }

    fn pixels(&self, image_prompts: Vec<ImagePrompt>) -> Pixels {
        make(&self.pipeline, &self.with(image_prompts)).pixels
    }

    fn refused(&self, prompt: ImagePrompt) -> GenerateError {
        self.pipeline.resolve(&self.with(vec![prompt])).unwrap_err()
    }
}

#[test]
fn adapters_of_every_kind_give_the_pictures_of_diffusers() {
    let sd15 = Setting::sd15();
    assert_golden("sd15_ip_plain", &sd15.pixels(vec![sd15.prompt("plain", 4, 0.6)]));
    assert_golden("sd15_ip_full", &sd15.pixels(vec![sd15.prompt("full", 4, 0.8)]));
    let two = vec![sd15.prompt("plus", 4, 0.7), sd15.prompt("plain", 7, 0.4)];
    assert_golden("sd15_ip_two", &sd15.pixels(two));
    let xl = Setting::new("sdxl", ("euler", 5.0));
    assert_golden("sdxl_ip_plus", &xl.pixels(vec![xl.prompt("plus", 4, 0.8)]));
}

#[test]
fn without_weight_or_steps_the_picture_is_the_plain_one_bit_for_bit() {
    let sd15 = Setting::sd15();
    let plain = sd15.pixels(Vec::new());
    assert_eq!(sd15.pixels(vec![sd15.prompt("plus", 4, 0.0)]), plain);
    let never = ImagePrompt { end: 0.0, ..sd15.prompt("plus", 4, 1.0) };
    assert_eq!(sd15.pixels(vec![never]), plain);
    let late = ImagePrompt { start: 0.5, ..sd15.prompt("plus", 4, 1.0) };
    let late = sd15.pixels(vec![late]);
    assert_ne!(late, plain);
    assert_ne!(late, sd15.pixels(vec![sd15.prompt("plus", 4, 1.0)]));
}

#[test]
fn an_adapter_works_from_a_picture_beside_a_controlnet_and_in_a_second_pass() {
    let sd15 = Setting::sd15();
    let folder = sd15.folder.path();
    let source = crate::Source { strength: 0.6, ..crate::Source::new(write_picture(5, [64, 64], folder)) };
    let network = super::control::write_network("controlnet_sd15", folder);
    let unit = ControlUnit::new(write_picture(7, [64, 64], folder), &network);
    let hires = crate::Hires { strength: 0.5, ..crate::Hires::new(1.5) };
    let requests = [
        GenerateRequest { source: Some(source), ..sd15.base.clone() },
        GenerateRequest { control: vec![unit], ..sd15.base.clone() },
        GenerateRequest { hires: Some(hires), ..sd15.base.clone() },
    ];
    for plain in requests {
        let seen = GenerateRequest { image_prompts: vec![sd15.prompt("plain", 4, 0.6)], ..plain.clone() };
        let image = make(&sd15.pipeline, &seen);
        assert_ne!(image.pixels, make(&sd15.pipeline, &plain).pixels);
        let json = serde_json::to_string(&image.request).unwrap();
        let again: GenerateRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(make(&sd15.pipeline, &again).pixels, image.pixels, "the record makes it again");
    }
}

#[test]
fn an_image_names_the_adapter_and_the_hash_of_the_picture() {
    let sd15 = Setting::sd15();
    let image = make(&sd15.pipeline, &sd15.with(vec![sd15.prompt("plain", 4, 0.6)]));
    assert_eq!(image.request.image_prompts[0].image.sha256.as_ref().map(String::len), Some(64));
    let entries = crate::record::entries(&image).unwrap();
    let says = "IP-Adapter 0: \"Model: sd15_plain, Weight: 0.6, Guidance Start: 0, Guidance End: 1\"";
    assert!(entries[0].value.contains(says), "{}", entries[0].value);
    let mut changed = image.request.image_prompts[0].clone();
    changed.image.sha256 = Some("00".into());
    assert!(sd15.refused(changed).to_string().contains("expected 00"));
}

#[test]
fn what_cannot_be_looked_at_is_refused_by_name() {
    let sd15 = Setting::sd15();
    let plain = || sd15.prompt("plain", 4, 1.0);
    let cases = [
        (ImagePrompt { image: PathBuf::from("absent.png").into(), ..plain() }, "absent.png"),
        (ImagePrompt { weight: 3.0, ..plain() }, "ip-adapter weight is 3, expected 0 to 2"),
        (ImagePrompt { model: "face".into(), ..plain() }, "IP-Adapter: there is no model \"face\""),
        (ImagePrompt { encoder: Some("vit".into()), ..plain() }, "there is no model \"vit\""),
        (ImagePrompt { encoder: Some(plain().model), ..plain() }, "is not a CLIP image encoder"),
    ];
    for (prompt, says) in cases {
        let error = sd15.refused(prompt);
        assert!(error.to_string().contains(says), "{error}\nexpected {says}");
    }
    let xl = sd15.folder.path().join("sdxl_plus.safetensors");
    let error = sd15.refused(ImagePrompt { model: xl.to_string_lossy().into_owned(), ..plain() });
    assert!(error.to_string().contains("is not for this model (custom): it has "), "{error}");
    std::fs::remove_dir_all(sd15.folder.path().join("image_encoder")).unwrap();
    let error = sd15.refused(plain());
    assert!(error.to_string().contains("has no image encoder beside it"), "{error}");
    assert!(error.hint().unwrap().contains("encoder=NAME"));
}
