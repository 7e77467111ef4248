//! Pictures that steer, against `reference/control_pipeline.py`.

use tronie_image::Fit;

use super::*;
use crate::{ControlMode, ControlUnit, Preprocessor};

/// The control network of that name with the weights both sides compute, as a diffusers folder without configuration.
pub(super) fn write_network(name: &str, to: &Path) -> String {
    let json = std::fs::read(repository().join(format!("testdata/pipeline/{name}.json"))).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_slice(&json).unwrap();
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let bytes = synthetic::weight(&name, &shape).into_iter().flat_map(f32::to_le_bytes).collect();
        (name, RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes })
    });
    let folder = to.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("diffusion_pytorch_model.safetensors");
    write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    folder.to_string_lossy().into_owned()
}

/// The picture of `reference/control_pipeline.py`, at any size.
pub(super) fn write_picture(factor: u32, [w, h]: [u32; 2], to: &Path) -> PathBuf {
    let color = |x: u32, y: u32| {
        [factor * x % 256, factor * y % 256, x * y / 16 % 256].map(|value| u8::try_from(value).unwrap())
    };
    let rgb = (0..h).flat_map(|y| (0..w).flat_map(move |x| color(x, y))).collect();
    let pixels = Pixels::new(w, h, rgb).unwrap();
    let path = to.join(format!("picture{factor}-{w}x{h}.png"));
    std::fs::write(&path, tronie_image::encode(&pixels, tronie_image::ImageFormat::Png, &[]).unwrap())
        .unwrap();
    path
}

/// A checkpoint, a control network for it, and pictures.
struct Setting {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
    network: String,
    base: GenerateRequest,
}

impl Setting {
    fn new(family: &str, network: &str, (sampler, scale): (&str, f64)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        write_folder(family, &model);
        let network = write_network(network, folder.path());
        let base = request(&model, sampler, scale);
        Self { pipeline: load(&model, &[]), base, network, folder }
    }

    fn sd15() -> Self {
        Self::new("sd15", "controlnet_sd15", ("plms", 7.5))
    }

    fn unit(&self, factor: u32) -> ControlUnit {
        let picture = write_picture(factor, [64, 64], self.folder.path());
        ControlUnit { weight: 0.75, ..ControlUnit::new(picture, &self.network) }
    }

    fn with(&self, control: Vec<ControlUnit>) -> GenerateRequest {
        GenerateRequest { control, ..self.base.clone() }
    }

    fn pixels(&self, control: Vec<ControlUnit>) -> Pixels {
        make(&self.pipeline, &self.with(control)).pixels
    }

    fn refused(&self, unit: ControlUnit) -> GenerateError {
        self.pipeline.resolve(&self.with(vec![unit])).unwrap_err()
    }
}

#[test]
fn steered_pictures_equal_those_of_diffusers() {
    let sd15 = Setting::sd15();
    assert_golden("sd15_control", &sd15.pixels(vec![sd15.unit(4)]));
    let xl = Setting::new("sdxl", "controlnet_sdxl", ("euler", 5.0));
    assert_golden("sdxl_control", &xl.pixels(vec![xl.unit(4)]));
    let adapter = Setting::new("sd15", "adapter_sd15", ("plms", 7.5));
    assert_golden("sd15_adapter", &adapter.pixels(vec![adapter.unit(4)]));
}

#[test]
fn several_units_with_parts_of_the_steps_equal_diffusers() {
    let v = Setting::new("sd21_v", "controlnet_sd21_v", ("ddim", 7.5));
    let first = ControlUnit { end: 0.7, ..v.unit(4) };
    let second = ControlUnit { weight: 0.5, start: 0.2, ..v.unit(7) };
    assert_golden("sd21_v_two_controls", &v.pixels(vec![first, second]));
}

#[test]
fn a_unit_without_weight_or_steps_gives_the_plain_picture_bit_for_bit() {
    for network in ["controlnet_sd15", "adapter_sd15"] {
        let sd15 = Setting::new("sd15", network, ("plms", 7.5));
        let plain = sd15.pixels(Vec::new());
        assert_eq!(sd15.pixels(vec![ControlUnit { weight: 0.0, ..sd15.unit(4) }]), plain, "{network}");
        assert_eq!(sd15.pixels(vec![ControlUnit { end: 0.0, ..sd15.unit(4) }]), plain, "{network}");
        assert_ne!(sd15.pixels(vec![sd15.unit(4)]), plain, "{network}");
    }
}

#[test]
fn the_modes_steer_less_or_elsewhere() {
    let sd15 = Setting::sd15();
    let [balanced, prompt, control] = [ControlMode::Balanced, ControlMode::Prompt, ControlMode::Control]
        .map(|mode| sd15.pixels(vec![ControlUnit { mode, ..sd15.unit(4) }]));
    assert_ne!(balanced, prompt);
    assert_ne!(prompt, control);
    let plain = sd15.pixels(Vec::new());
    let far = |pixels: &Pixels| -psnr_db(pixels, &plain).unwrap();
    assert!(far(&prompt) < far(&balanced), "soft weights change the picture less");
}

#[test]
fn a_unit_steers_from_a_picture_and_in_a_second_pass_too() {
    let sd15 = Setting::sd15();
    let picture = write_picture(5, [64, 64], sd15.folder.path());
    let from_picture = |control| GenerateRequest {
        source: Some(crate::Source { strength: 0.6, ..crate::Source::new(picture.clone()) }),
        ..sd15.with(control)
    };
    let larger = |control| GenerateRequest {
        hires: Some(crate::Hires { strength: 0.5, ..crate::Hires::new(1.5) }),
        ..sd15.with(control)
    };
    for request in [&from_picture as &dyn Fn(Vec<ControlUnit>) -> GenerateRequest, &larger] {
        let plain = make(&sd15.pipeline, &request(Vec::new()));
        let steered = make(&sd15.pipeline, &request(vec![sd15.unit(4)]));
        assert_ne!(steered.pixels, plain.pixels);
        let again = make(&sd15.pipeline, &steered.request);
        assert_eq!(again.pixels, steered.pixels, "the record makes it again");
    }
}

#[test]
fn an_image_carries_its_units_and_is_made_again_from_them() {
    let sd15 = Setting::sd15();
    let unit = ControlUnit { preprocessor: Preprocessor::Canny { low: 50, high: 90 }, ..sd15.unit(7) };
    let image = make(&sd15.pipeline, &sd15.with(vec![unit.clone()]));
    let sha256 = image.request.control[0].image.sha256.clone().unwrap();
    assert_eq!(sha256.len(), 64);
    let json = serde_json::to_string(&image.request).unwrap();
    let again: GenerateRequest = serde_json::from_str(&json).unwrap();
    assert_eq!(make(&sd15.pipeline, &again).pixels, image.pixels);
    let entries = crate::record::entries(&image).unwrap();
    let says = "Module: canny, Model: controlnet_sd15, Weight: 0.75, Resize Mode: Just Resize, Guidance Start: 0, \
                Guidance End: 1, Control Mode: Balanced";
    assert!(entries[0].value.contains(&format!("ControlNet 0: \"{says}\"")), "{}", entries[0].value);
    assert_ne!(image.pixels, sd15.pixels(vec![ControlUnit { preprocessor: Preprocessor::None, ..unit }]));
}

#[test]
fn a_picture_that_cannot_steer_is_refused_by_name() {
    let sd15 = Setting::sd15();
    let folder = sd15.folder.path();
    let absent = ControlUnit { image: folder.join("absent.png").into(), ..sd15.unit(4) };
    assert!(sd15.refused(absent).to_string().contains("absent.png"));
    let wide = ControlUnit { image: write_picture(4, [80, 64], folder).into(), ..sd15.unit(4) };
    let error = sd15.refused(wide.clone());
    assert!(
        error.to_string().ends_with("picture4-80x64.png is 80x64 pixels, the image shall be 64x64"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("fit=crop"));
    for fit in [Fit::Crop, Fit::Stretch] {
        assert!(
            sd15.pipeline.resolve(&sd15.with(vec![ControlUnit { fit: Some(fit), ..wide.clone() }])).is_ok()
        );
    }
    let mut changed = sd15.unit(4);
    changed.image.sha256 = Some("00".into());
    assert!(sd15.refused(changed).to_string().contains("expected 00"));
    let heavy = ControlUnit { weight: 2.5, ..sd15.unit(4) };
    assert_eq!(sd15.refused(heavy).to_string(), "control weight is 2.5, expected 0 to 2");
    let pose = ControlUnit { preprocessor: Preprocessor::Pose, ..sd15.unit(4) };
    assert!(sd15.refused(pose).to_string().contains("picture4-64x64.png"));
}

#[test]
fn a_network_that_does_not_fit_is_refused_by_name() {
    let sd15 = Setting::sd15();
    let other = |model: String| ControlUnit { model, ..sd15.unit(4) };
    let error = sd15.refused(other("canny".into()));
    assert!(error.to_string().contains("there is no model \"canny\""), "{error}");
    let xl = write_network("controlnet_sdxl", sd15.folder.path());
    let error = sd15.refused(other(xl)).to_string();
    assert!(error.contains("controlnet_sdxl: tensor"), "{error}");
    let xl = Setting::new("sdxl", "adapter_sd15", ("euler", 5.0));
    let error = xl.refused(xl.unit(4)).to_string();
    assert!(error.contains("adapter_sd15\" is not for this model (custom): it has maps"), "{error}");
    let model = sd15.folder.path().join("model/unet");
    let error = sd15.refused(other(model.to_string_lossy().into_owned())).to_string();
    assert!(error.contains("is something else, not a ControlNet or T2I-Adapter"), "{error}");
}
