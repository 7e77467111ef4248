//! ControlNet Union and Control-LoRA, against `reference/control_union.py`.

use super::control::write_picture;
use super::*;
use crate::{ControlPicture, ControlUnit, Preprocessor};

/// A file of the tensors of `testdata/pipeline/{name}.json`; changes are half of what both sides compute.
fn write_network(name: &str, to: &Path) -> String {
    let json = std::fs::read(repository().join(format!("testdata/pipeline/{name}.json"))).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_slice(&json).unwrap();
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let factor = if name.ends_with(".up") || name.ends_with(".down") { 0.5 } else { 1.0 };
        let n = shape.iter().product();
        let values = synthetic::weight(&name, &shape).into_iter().take(n).map(|value| factor * value);
        let (shape, values) = match name.as_str() {
            "lora_controlnet" => (vec![0], Vec::new()), // a marker
            _ => (shape, values.collect::<Vec<f32>>()),
        };
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (name, RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes })
    });
    let path = to.join(format!("{name}.safetensors"));
    let tensors: Vec<_> = tensors.collect();
    write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    path.to_string_lossy().into_owned()
}

struct Setting {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
    network: String,
    base: GenerateRequest,
}

impl Setting {
    fn new(network: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        write_folder("sdxl", &model);
        let network = write_network(network, folder.path());
        Self { pipeline: load(&model, &[]), base: request(&model, "euler", 5.0), network, folder }
    }

    fn unit(&self, factor: u32, weight: f64, kind: Option<ControlPicture>) -> ControlUnit {
        let picture = write_picture(factor, [64, 64], self.folder.path());
        ControlUnit { weight, kind, ..ControlUnit::new(picture, &self.network) }
    }

    fn with(&self, control: Vec<ControlUnit>) -> GenerateRequest {
        GenerateRequest { control, ..self.base.clone() }
    }
}

#[test]
fn a_union_gives_the_pictures_of_diffusers_for_each_kind() {
    let union = Setting::new("union_sdxl");
    let line = union.unit(4, 0.75, Some(ControlPicture::Line));
    assert_golden("sdxl_union", &make(&union.pipeline, &union.with(vec![line])).pixels);
    let pose = union.unit(4, 0.75, Some(ControlPicture::Pose));
    let inpaint = union.unit(7, 0.5, Some(ControlPicture::Inpaint));
    assert_golden("sdxl_two_unions", &make(&union.pipeline, &union.with(vec![pose, inpaint])).pixels);
}

#[test]
fn a_union_is_told_the_kind_by_the_preprocessor_or_asks_for_it() {
    let union = Setting::new("union_sdxl");
    let canny = Preprocessor::Canny { low: 50, high: 90 };
    let made = ControlUnit { preprocessor: canny, ..union.unit(7, 0.75, None) };
    let told = ControlUnit { kind: Some(ControlPicture::Line), ..made.clone() };
    let pixels = |unit| make(&union.pipeline, &union.with(vec![unit])).pixels;
    assert_eq!(pixels(made), pixels(told));
    let error = union.pipeline.resolve(&union.with(vec![union.unit(4, 1.0, None)])).unwrap_err();
    assert!(error.to_string().contains("is not told which it gets"), "{error}");
    assert!(error.hint().unwrap().contains("kind=pose"));
}

#[test]
fn a_control_lora_makes_of_the_unet_the_controlnet_that_its_formula_says() {
    let changes = Setting::new("control_lora_sdxl");
    let image = make(&changes.pipeline, &changes.with(vec![changes.unit(4, 0.75, None)]));
    assert_golden("sdxl_control_lora", &image.pixels);
    let plain = make(&changes.pipeline, &changes.base);
    assert_golden("sdxl", &plain.pixels); // the UNet itself is what it was
}

#[test]
fn a_control_lora_for_another_unet_is_refused_by_name() {
    let changes = Setting::new("control_lora_sdxl");
    let model = changes.folder.path().join("other");
    write_folder("sd15", &model);
    let other = load(&model, &[]);
    let wanted =
        GenerateRequest { control: vec![changes.unit(4, 0.75, None)], ..request(&model, "plms", 7.5) };
    let error = other.resolve(&wanted).unwrap_err();
    assert!(error.to_string().contains("is not for this model"), "{error}");
}
