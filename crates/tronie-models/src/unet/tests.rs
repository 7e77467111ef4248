//! Against `reference/unet.py`.

use std::collections::BTreeMap;

use tronie_base::Faulty as _;
use tronie_tensor::burn::module::Param;
use tronie_tensor::burn::tensor::Gradients;
use tronie_tensor::{DType, ModuleVisitor, TensorData};
use tronie_testing::{Golden, assert_close, repository, synthetic};
use tronie_weights::{Dtype, TensorFile as _};

use super::*;
use crate::mini::{self, MiniFile};
use crate::parameter_shapes;
use crate::synthetic::filled;

const N_TOKENS: usize = 5;
const D_POOLED: usize = 20;

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn input<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    tensor(synthetic::input(name, &shape), shape)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(DType::F32).into_data().try_to_vec().unwrap()
}

fn golden_tensor<const D: usize>(golden: &Golden, name: &str) -> Tensor<D> {
    tensor(golden.f32(name), golden.shape(name).try_into().unwrap())
}

fn config(case: &str) -> UnetConfig {
    let path = repository().join(format!("testdata/unet/{case}.config.json"));
    UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn d_context(config: &UnetConfig) -> usize {
    match &config.cross_attention_dim {
        PerBlock::One(d) => *d,
        PerBlock::Each(widths) => widths[0],
    }
}

/// Residuals of a two-block network on 8x8 latents, 0.5 of an input each.
fn control_residuals() -> ControlResiduals {
    // conv_in; block 0: layer, half size; block 1: layer; middle
    let shapes = [[1, 8, 8, 16], [1, 8, 8, 16], [1, 4, 4, 16], [1, 4, 4, 32], [1, 4, 4, 32]];
    let residuals = shapes.iter().enumerate();
    let mut residuals: Vec<_> =
        residuals.map(|(index, &shape)| input(&format!("control.{index}"), shape) * 0.5).collect();
    ControlResiduals { mid: residuals.pop().unwrap(), down: residuals }
}

/// Largest error of a case's output, with weights stored as `dtype`.
fn check(case: &str, dtype: Dtype, tolerance: f64) {
    let golden = Golden::open(&format!("unet/{case}"));
    let config = config(case);
    let unet = filled(config.init(&Device::flex()).unwrap(), dtype, &Device::flex());
    let [b, _, h, w]: [usize; 4] = golden.shape("output").try_into().unwrap();
    let conditioning = Conditioning {
        added: config.addition_embed_type.map(|_| Added {
            pooled: input("pooled", [b, D_POOLED]),
            time_ids: golden_tensor(&golden, "time_ids"),
        }),
        control: (case == "control").then(control_residuals),
        ..Conditioning::new(input("context", [b, N_TOKENS, d_context(&config)]))
    };
    let latents = input("latents", [b, config.in_channels, h, w]);
    let output = unet.forward(latents, golden_tensor(&golden, "timestep"), &conditioning);
    assert_eq!(output.dims(), [b, config.out_channels, h, w]);
    assert_close(&values(output), &golden.f32("output"), tolerance);
}

macro_rules! equals_diffusers {
    ($($test:ident: $case:literal,)*) => {$(
        #[test]
        fn $test() {
            check($case, Dtype::F32, 1e-5);
        }
    )*};
}

equals_diffusers! {
    the_shape_of_sd15_equals_diffusers: "sd15",
    the_shape_of_sd2_equals_diffusers: "sd2",
    the_shape_of_sdxl_equals_diffusers: "sdxl",
    the_shape_of_the_refiner_equals_diffusers: "refiner",
    nine_channels_in_equal_diffusers: "inpaint",
    odd_sizes_equal_diffusers: "odd_size",
    a_batch_of_fractional_timesteps_equals_diffusers: "timesteps",
    per_block_lists_equal_diffusers: "lists",
    a_middle_without_attention_equals_diffusers: "plain_mid",
    no_middle_equals_diffusers: "no_mid",
    control_residuals_equal_diffusers: "control",
}

#[test]
fn weights_stored_in_half_precision_are_computed_with_in_f32() {
    check("half", Dtype::F16, 1e-5);
}

#[test]
fn what_no_text_touches_can_be_computed_once() {
    for case in ["sd15", "sd2", "sdxl", "lists", "plain_mid", "control"] {
        let config = config(case);
        let unet = filled(config.init(&Device::flex()).unwrap(), Dtype::F32, &Device::flex());
        let (n_texts, b) = (3, if case == "control" { 1 } else { 2 });
        let n = n_texts * b;
        let golden = Golden::open(&format!("unet/{case}"));
        let [_, _, h, w]: [usize; 4] = golden.shape("output").try_into().unwrap();
        let n_ids = config.addition_embed_type.map(|_| golden.shape("time_ids")[1]);
        let conditioning = Conditioning {
            added: n_ids.map(|n_ids| Added {
                pooled: input("pooled", [n, D_POOLED]),
                time_ids: input("ids", [n, n_ids]),
            }),
            control: (case == "control").then(control_residuals),
            ..Conditioning::new(input("context", [n, N_TOKENS, d_context(&config)]))
        };
        let (x, timestep) = (input("latents", [b, config.in_channels, h, w]), tensor(vec![741.0; b], [b]));
        let once = unet.forward(x.clone(), timestep, &conditioning);
        let all = unet.forward(Tensor::cat(vec![x; n_texts], 0), tensor(vec![741.0; n], [n]), &conditioning);
        assert_eq!(values(once), values(all), "{case}");
    }
}

#[test]
fn sinusoids_equal_diffusers_in_every_arrangement() {
    let golden = Golden::open("unet/sinusoids");
    for (flip, shift) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let sinusoid = Sinusoid { d: 32, flip_sin_to_cos: flip == 1, freq_shift: f64::from(shift) };
        let found = values(sinusoid.forward(golden_tensor(&golden, "values")));
        // The phase of a number near 1000 is known to 6e-5 in f32.
        assert_close(&found, &golden.f32(&format!("flip{flip}.shift{shift}")), 1e-4);
    }
}

#[test]
fn full_size_networks_have_the_published_number_of_parameters() {
    // Counted by diffusers 0.42.1 on the configurations' files.
    let cases = [
        ("sd15", UnetConfig::sd15(), 859_520_964),
        ("sd21", UnetConfig::sd21(), 865_910_724),
        ("sdxl_base", UnetConfig::sdxl_base(), 2_567_463_684),
        ("sdxl_refiner", UnetConfig::sdxl_refiner(), 2_259_526_660),
    ];
    for (name, config, expected) in cases {
        let unet = config.init(&Device::flex()).unwrap();
        assert_eq!(unet.num_params(), expected, "{name}");
        let n_values = parameter_shapes(&unet).into_values();
        assert_eq!(n_values.map(|shape| shape.iter().product::<usize>()).sum::<usize>(), expected);
    }
}

#[test]
fn gradients_equal_those_of_diffusers() {
    let golden = Golden::open("unet/gradients");
    let config = config("gradients");
    let device = Device::flex().autodiff();
    let unet = filled(config.init(&device).unwrap(), Dtype::F32, &device).train();
    let unet = unet.set_require_grad(true);
    let on = |name, shape: [usize; 4]| {
        Tensor::<4>::from_data(TensorData::new(synthetic::input(name, &shape), shape), &device)
    };
    let latents = on("latents", [1, 4, 8, 8]).require_grad();
    let context: Tensor<3> = on("context", [1, 1, N_TOKENS, 24]).reshape([1, N_TOKENS, 24]);
    let context = context.detach().require_grad();
    let timestep = Tensor::<1>::from_data(TensorData::new(golden.f32("timestep"), [1]), &device);
    let output = unet.forward(latents.clone(), timestep, &Conditioning::new(context.clone()));
    let gradients = (output * on("probe", [1, 4, 8, 8])).sum().backward();

    assert_close(&values(latents.grad(&gradients).unwrap()), &golden.f32("latents"), 1e-4);
    assert_close(&values(context.grad(&gradients).unwrap()), &golden.f32("context"), 1e-4);
    let mut found = GradientWalk { gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
    unet.visit(&mut found);
    for name in golden.names() {
        if !["timestep", "latents", "context"].contains(&name) {
            assert_close(&found.found[name], &golden.f32(name), 1e-4);
        }
    }
}

/// Gradients of all parameters by name.
struct GradientWalk<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for GradientWalk<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).unwrap();
        self.found.insert(self.path.join("."), values(gradient));
    }
}

#[test]
fn a_trained_network_equals_diffusers() {
    const TEST: &str = "a_trained_network_equals_diffusers";
    let Some(file) = MiniFile::open(TEST, "unet/diffusion_pytorch_model.safetensors", "") else {
        return;
    };
    let config = UnetConfig::from_json(&mini::config(TEST, "unet/config.json").unwrap()).unwrap();
    let device = Device::flex();
    let unet = config.init(&device).unwrap();
    let names: Vec<String> = parameter_shapes(&unet).into_keys().collect();
    assert_eq!(names, file.names(), "nothing in the file is left unread");
    let unet = crate::load(unet, &file, &device).unwrap();

    let golden = Golden::open("unet/mini_seed");
    let conditioning = Conditioning::new(input("context", [2, 77, d_context(&config)]));
    let latents = input("latents", [2, 4, 16, 16]);
    let output = unet.forward(latents, golden_tensor(&golden, "timestep"), &conditioning);
    assert_close(&values(output), &golden.f32("output"), 1e-5);
}

#[test]
fn a_configuration_survives_being_written_and_read() {
    let cases = [
        UnetConfig::sd15(),
        UnetConfig::sd21(),
        UnetConfig::sdxl_base(),
        UnetConfig::sdxl_refiner(),
        config("lists"),
        config("no_mid"),
    ];
    for config in cases {
        let text = config.to_json().unwrap();
        assert!(text.contains("\"_class_name\": \"UNet2DConditionModel\""), "{text}");
        assert_eq!(UnetConfig::from_json(&text).unwrap(), config);
    }
}

#[test]
fn keys_a_file_leaves_out_have_the_defaults_of_diffusers() {
    // All that the file of SD 1.5 says beyond the class's defaults.
    let text = r#"{"sample_size": 64, "cross_attention_dim": 768}"#;
    assert_eq!(UnetConfig::from_json(text).unwrap(), UnetConfig::sd15());
}

/// (file, message)
const BROKEN: &[(&str, &str)] = &[
    (
        r#"{"_class_name": "AutoencoderKL"}"#,
        r#"unet/config.json has _class_name = "AutoencoderKL", expected "UNet2DConditionModel""#,
    ),
    (
        r#"{"class_embed_type": "timestep"}"#,
        r#"unet/config.json has class_embed_type = "timestep", expected null"#,
    ),
    (
        r#"{"resnet_time_scale_shift": "scale_shift"}"#,
        r#"unet/config.json has resnet_time_scale_shift = "scale_shift", expected "default""#,
    ),
    (
        r#"{"down_block_types": ["DownBlock2D", "AttnDownBlock2D"]}"#,
        r#"unet/config.json has down_block_types = ["DownBlock2D","AttnDownBlock2D"], expected a list of "CrossAttnDownBlock2D", "DownBlock2D""#,
    ),
    (
        r#"{"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}"#,
        r#"unet/config.json has mid_block_type = "UNetMidBlock2DSimpleCrossAttn", expected "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", null"#,
    ),
    (r#"{"conv_in_kernel": 5}"#, r#"unet/config.json has conv_in_kernel = 5, expected 3"#),
    (
        r#"{"dual_cross_attention": true}"#,
        r#"unet/config.json has dual_cross_attention = true, expected false"#,
    ),
    (
        r#"{"attention_head_dim": [8, 8]}"#,
        r#"unet/config.json has 2 entries in attention_head_dim, expected 4"#,
    ),
    (
        r#"{"block_out_channels": [320, 640]}"#,
        r#"unet/config.json has 4 entries in down_block_types, expected 2"#,
    ),
    (
        r#"{"layers_per_block": [2, 0, 2, 2]}"#,
        r#"unet/config.json has layers_per_block = 0, expected at least 1"#,
    ),
    (
        r#"{"block_out_channels": [320, 640, 1280], "reverse_transformer_layers_per_block": [1, 1]}"#,
        r#"unet/config.json has 4 entries in down_block_types, expected 3"#,
    ),
    (
        r#"{"reverse_transformer_layers_per_block": [1, 1]}"#,
        r#"unet/config.json has 2 entries in reverse_transformer_layers_per_block, expected 4"#,
    ),
    (
        r#"{"norm_num_groups": 48}"#,
        r#"unet/config.json has norm_num_groups = 48, which does not divide 320 channels"#,
    ),
    (
        r#"{"attention_head_dim": 7}"#,
        r#"unet/config.json has attention_head_dim = 7, which does not divide 320 channels"#,
    ),
    (
        r#"{"addition_embed_type": "text_time", "addition_time_embed_dim": 256}"#,
        r#"unet/config.json has no projection_class_embeddings_input_dim, which addition_embed_type needs"#,
    ),
];

#[test]
fn what_cannot_be_built_is_an_error_that_names_key_and_values() {
    for (text, message) in BROKEN {
        let error = UnetConfig::from_json(text).unwrap_err();
        assert_eq!(error.to_string(), *message);
        assert_eq!(error.fault(), tronie_base::Fault::Input);
        assert!(error.hint().is_some());
    }
    for text in [r#"{"in_channels": "four"}"#, "[]", "null", "{"] {
        let error = UnetConfig::from_json(text).unwrap_err();
        assert!(error.to_string().starts_with("unet/config.json is not a valid configuration: "), "{error}");
    }
}
