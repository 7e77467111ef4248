use serde_json::Value;
use tronie_sampling::{BetaSchedule, Parametrization, Spacing};
use tronie_tensor::{Device, Module};

use super::*;
use crate::clip::HiddenLayer;
use crate::{ConfigError, PerBlock, mini};

#[test]
fn every_row_has_its_own_id_and_parts_that_fit_each_other() {
    let device = Device::flex();
    for (index, row) in CATALOG.iter().enumerate() {
        assert!(CATALOG.iter().skip(index + 1).all(|other| other.id != row.id), "{}", row.id);
        let spec = ModelSpec::from_family(row.id).unwrap();
        assert_eq!(spec.unet.cross_attention_dim, PerBlock::One(spec.text.d_context()), "{}", row.id);
        assert_eq!(spec.latents, LatentSpace::of(&spec.vae), "{}", row.id);
        let (c, c_in) = (spec.latents.n_channels, spec.unet.in_channels);
        let expected = match spec.input {
            UnetInput::Latents => c,
            UnetInput::LatentsMaskAndImage => 2 * c + 1,
        };
        assert_eq!(c_in, expected, "{}", row.id);
        let side = spec.unet.sample_size.unwrap() * spec.latents.factor;
        assert_eq!(spec.defaults.size_px, [side, side], "{}", row.id);
        let d_id = spec.unet.addition_time_embed_dim.unwrap_or_default();
        let d_added = spec.unet.projection_class_embeddings_input_dim.unwrap_or_default();
        assert_eq!(spec.text.d_pooled() + spec.added.count() * d_id, d_added, "{}", row.id);
        let takes_added = spec.unet.addition_embed_type.is_some();
        assert_eq!((spec.text.pooled_from.is_some(), spec.added.count() > 0), (takes_added, takes_added));
        for encoder in &spec.text.encoders {
            assert!(encoder.config.init(&device).num_params() > 100_000_000);
        }
        for file in row.files {
            assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()));
        }
    }
}

#[test]
fn an_unknown_family_is_told_with_the_known_ones() {
    assert_eq!(
        ModelSpec::from_family("sd3").unwrap_err().to_string(),
        "unknown model family \"sd3\", expected one of: sd15, sd15_inpaint, sd20_base, sd21_base, sd21, sdxl_base, sdxl_refiner"
    );
}

#[test]
fn the_context_is_what_each_family_was_trained_on() {
    let layer = |from_end, final_norm| HiddenLayer { from_end, final_norm };
    // (family, (pad id, hidden layer) of each tower, which of them is pooled)
    let cases = [
        ("sd15", vec![(49407, layer(1, true))], None),
        ("sd21", vec![(0, layer(1, true))], None), // of 23 blocks, the penultimate of the 24 there were
        ("sdxl_base", vec![(49407, layer(2, false)), (0, layer(2, false))], Some(1)),
        ("sdxl_refiner", vec![(0, layer(2, false))], Some(0)),
    ];
    for (id, towers, pooled_from) in cases {
        let text = ModelSpec::from_family(id).unwrap().text;
        let found: Vec<_> = text.encoders.iter().map(|tower| (tower.pad_token, tower.layer)).collect();
        assert_eq!(found, towers, "{id}");
        assert_eq!(text.pooled_from, pooled_from, "{id}");
        let requests = text.requests(1).unwrap();
        assert!(requests.iter().zip(&towers).all(|(request, tower)| request.layer == tower.1));
        let pooled: Vec<_> = requests.iter().map(|request| request.pooled).collect();
        assert_eq!(pooled.iter().position(|&pooled| pooled), pooled_from, "{id}");
    }
}

#[test]
fn clip_skip_takes_an_earlier_hidden_state() {
    // A1111 `final_layer_norm(hidden_states[-skip])`; diffusers, clip_skip = skip - 1: `hidden_states[-(clip_skip + 2)]`
    for (id, skip, from_end) in [("sd15", 2, 2), ("sd15", 12, 12), ("sdxl_base", 2, 3)] {
        let requests = ModelSpec::from_family(id).unwrap().text.requests(skip).unwrap();
        assert!(requests.iter().all(|request| request.layer.from_end == from_end), "{id}");
    }
    let text = ModelSpec::from_family("sdxl_base").unwrap().text;
    for found in [0, 12] {
        assert_eq!(text.requests(found).unwrap_err(), ClipSkipError { found, most: 11 });
    }
}

#[test]
fn sizes_and_scores_come_in_the_order_they_were_trained_in() {
    let sizes = ImageSizes { original_px: [600, 800], crop_px: [10, 20], target_px: [512, 768] };
    assert_eq!(AddedIds::Sizes.values(sizes, false), [600.0, 800.0, 10.0, 20.0, 512.0, 768.0]);
    assert_eq!(AddedIds::REFINER.values(sizes, false), [600.0, 800.0, 10.0, 20.0, 6.0]);
    assert_eq!(AddedIds::REFINER.values(sizes, true), [600.0, 800.0, 10.0, 20.0, 2.5]);
    assert!(AddedIds::None.values(ImageSizes::whole(512, 512), false).is_empty());
}

const SDXL_VAE: &str = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
    "sample_size": 1024, "scaling_factor": 0.13025}"#;
const CLIP_L: &str = r#"{"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "eos_token_id": 2,
    "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}"#;
const BIGG: &str = r#"{"architectures": ["CLIPTextModelWithProjection"], "model_type": "clip_text_model",
    "eos_token_id": 2, "hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120,
    "num_attention_heads": 20, "num_hidden_layers": 32, "projection_dim": 1280}"#;
const SDXL_SCHEDULER: &str = r#"{"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "prediction_type": "epsilon",
    "set_alpha_to_one": false, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": null}"#;
const PAD_END: &str = r#"{"pad_token": "<|endoftext|>"}"#;
const PAD_BANG: &str = r#"{"pad_token": {"content": "!", "lstrip": false}}"#;

fn part<'a>(config: &'a str, tokenizer_config: &'a str, special_tokens: &'a str) -> TextPart<'a> {
    TextPart { config, tokenizer_config: Some(tokenizer_config), special_tokens: Some(special_tokens) }
}

#[test]
fn the_folders_of_sdxl_give_the_rows_of_sdxl() {
    let base = UnetConfig::sdxl_base().to_json().unwrap();
    let refiner = UnetConfig::sdxl_refiner().to_json().unwrap();
    let base = DiffusersFolder {
        model_index: r#"{"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": true}"#,
        unet: &base,
        vae: SDXL_VAE,
        scheduler: SDXL_SCHEDULER,
        text_encoder: Some(part(CLIP_L, PAD_END, PAD_END)),
        // the map wins over the configuration, as long as that has no added_tokens_decoder
        text_encoder_2: Some(part(BIGG, PAD_END, PAD_BANG)),
    };
    let refiner = DiffusersFolder {
        model_index: r#"{"_class_name": "StableDiffusionXLImg2ImgPipeline", "force_zeros_for_empty_prompt": false}"#,
        unet: &refiner,
        text_encoder: None,
        text_encoder_2: Some(part(BIGG, r#"{"added_tokens_decoder": {}, "pad_token": "!"}"#, PAD_END)),
        ..base
    };
    for (id, folder) in [("sdxl_base", base), ("sdxl_refiner", refiner)] {
        let spec = ModelSpec::from_diffusers(&folder).unwrap();
        assert_eq!(spec.id, "custom");
        assert_eq!(ModelSpec { id, ..spec }, ModelSpec::from_family(id).unwrap());
    }
}

#[test]
fn every_family_is_read_back_from_the_files_it_writes() {
    for row in CATALOG {
        let spec = ModelSpec::from_family(row.id).unwrap();
        let files = spec.to_diffusers().unwrap();
        let text = |path: &str| files.get(path).map(Value::to_string);
        let [config, config_2] = ["", "_2"].map(|n| text(&format!("text_encoder{n}/config.json")));
        let [tokenizer, tokenizer_2] =
            ["", "_2"].map(|n| text(&format!("tokenizer{n}/tokenizer_config.json")));
        fn part<'a>(config: &'a Option<String>, tokenizer: &'a Option<String>) -> Option<TextPart<'a>> {
            let (config, tokenizer_config) = (config.as_deref()?, tokenizer.as_deref());
            Some(TextPart { config, tokenizer_config, special_tokens: None })
        }
        let back = ModelSpec::from_diffusers(&DiffusersFolder {
            model_index: &text("model_index.json").unwrap(),
            unet: &text("unet/config.json").unwrap(),
            vae: &text("vae/config.json").unwrap(),
            scheduler: &text("scheduler/scheduler_config.json").unwrap(),
            text_encoder: part(&config, &tokenizer),
            text_encoder_2: part(&config_2, &tokenizer_2),
        });
        assert_eq!(ModelSpec { id: row.id, ..back.unwrap() }, spec);
    }
}

#[test]
fn a_single_file_is_its_family_but_for_what_it_shows_itself() {
    let detection = |family, in_channels, prediction| Detection {
        layout: "ldm_sd1",
        family,
        in_channels: Some(in_channels),
        parts: Vec::new(),
        prediction,
        evidence: Vec::new(),
    };
    let spec = |family, in_channels, prediction| {
        ModelSpec::from_detection(&detection(family, in_channels, prediction))
    };
    for row in CATALOG.iter().filter(|row| row.input == UnetInput::Latents) {
        let prediction = match row.training.parametrization {
            Parametrization::Epsilon => Prediction::Epsilon,
            Parametrization::V => Prediction::Velocity,
        };
        assert_eq!(spec(row.id, 4, prediction).unwrap(), ModelSpec::from_family(row.id).unwrap());
    }
    let velocity = spec("sdxl_base", 4, Prediction::Velocity).unwrap();
    assert_eq!(velocity.training, Training::V);
    let inpainting = spec("sd15", 9, Prediction::Epsilon).unwrap();
    assert_eq!(
        ModelSpec { id: "sd15_inpaint", ..inpainting },
        ModelSpec::from_family("sd15_inpaint").unwrap()
    );
    let custom = spec("custom", 4, Prediction::Epsilon).unwrap_err();
    assert!(custom.to_string().starts_with("unknown model family \"custom\""), "{custom}");
}

#[test]
fn the_folder_of_the_small_model_is_read() {
    let test = "the_folder_of_the_small_model_is_read";
    let read = |file| mini::config(test, file);
    let files = (
        read("model_index.json"),
        read("unet/config.json"),
        read("vae/config.json"),
        read("scheduler/scheduler_config.json"),
        read("text_encoder/config.json"),
        read("tokenizer/tokenizer_config.json"),
    );
    let (Some(model_index), Some(unet), Some(vae), Some(scheduler), Some(text), Some(tokenizer)) = files
    else {
        return;
    };
    let spec = ModelSpec::from_diffusers(&DiffusersFolder {
        model_index: &model_index,
        unet: &unet,
        vae: &vae,
        scheduler: &scheduler,
        text_encoder: Some(TextPart {
            config: &text,
            tokenizer_config: Some(&tokenizer),
            special_tokens: None,
        }),
        text_encoder_2: None,
    })
    .unwrap();
    assert_eq!(spec.defaults.size_px, [64, 64]);
    assert_eq!(spec.text.d_context(), 192);
    assert_eq!(spec.text.encoders[0].pad_token, PAD_WITH_END);
    assert_eq!((spec.latents.factor, spec.latents.preview), (4, None));
    assert_eq!(spec.training, Training::EPSILON);
    assert!(!spec.zero_for_empty_negative && spec.added == AddedIds::None);
}

/// A folder with one small tower, whose files a case replaces.
fn small<'a>(unet: &'a str, scheduler: &'a str, tokenizer: &'a str) -> DiffusersFolder<'a> {
    DiffusersFolder {
        model_index: r#"{"_class_name": "StableDiffusionPipeline"}"#,
        unet,
        vae: r#"{"norm_num_groups": 32}"#,
        scheduler,
        text_encoder: Some(part(CLIP_L, tokenizer, "{}")),
        text_encoder_2: None,
    }
}

#[test]
fn scheduler_files_say_how_a_network_was_trained() {
    let unet = UnetConfig::sd15().to_json().unwrap();
    let grid = |spacing, steps_offset, final_alpha_is_one| TimestepGrid {
        spacing,
        steps_offset,
        final_alpha_is_one,
    };
    let cases = [
        // stable-diffusion-v1-5
        (
            r#"{"_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
                "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false}"#,
            Training::EPSILON,
        ),
        // stable-diffusion-2-1
        (
            r#"{"_class_name": "DDIMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "beta_start": 0.00085, "prediction_type": "v_prediction", "set_alpha_to_one": false,
                "steps_offset": 1}"#,
            Training::V,
        ),
        // a network trained to zero terminal signal-to-noise ratio
        (
            r#"{"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "beta_start": 0.00085, "prediction_type": "v_prediction", "rescale_betas_zero_snr": true,
                "timestep_spacing": "trailing"}"#,
            Training { zero_terminal_snr: true, grid: grid(Spacing::Trailing, 0, true), ..Training::V },
        ),
        // defaults of the classes
        (
            r#"{"_class_name": "PNDMScheduler"}"#,
            Training {
                betas: BetaSchedule::DDPM,
                grid: grid(Spacing::Leading, 0, false),
                ..Training::EPSILON
            },
        ),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler"}"#,
            Training {
                betas: BetaSchedule::DDPM,
                grid: grid(Spacing::Linspace, 0, true),
                ..Training::EPSILON
            },
        ),
    ];
    for (scheduler, training) in cases {
        let spec = ModelSpec::from_diffusers(&small(&unet, scheduler, PAD_END)).unwrap();
        assert_eq!(spec.training, training, "{scheduler}");
    }
    assert_eq!(Training::V.parametrization, Parametrization::V);
}

#[test]
fn folders_that_do_not_fit_are_refused_with_the_reason() {
    let unet = |change: fn(&mut UnetConfig)| {
        let mut config = UnetConfig::sd15();
        change(&mut config);
        config.to_json().unwrap()
    };
    let plain = unet(|_| {});
    let wide = unet(|config| config.cross_attention_dim = PerBlock::One(1024));
    let edit = unet(|config| config.in_channels = 8);
    let scheduler = r#"{"_class_name": "DDIMScheduler"}"#;
    let cases = [
        (
            small(&wide, scheduler, PAD_END),
            "unet/config.json has cross_attention_dim = 1024, expected the width of the text encoders together",
        ),
        (
            small(&edit, scheduler, PAD_END),
            "unet/config.json has in_channels = 8, expected the autoencoder's latent_channels, or twice that and one \
             (inpainting)",
        ),
        (
            small(&plain, r#"{"prediction_type": "sample"}"#, PAD_END),
            r#"scheduler/scheduler_config.json has prediction_type = "sample", expected epsilon or v_prediction"#,
        ),
        (
            small(&plain, r#"{"trained_betas": [0.1]}"#, PAD_END),
            "scheduler/scheduler_config.json has trained_betas = [0.1], expected null",
        ),
        (
            small(&plain, scheduler, r#"{"pad_token": "[PAD]"}"#),
            r#"a tokenizer's configuration has pad_token = "[PAD]", expected <|endoftext|> or !"#,
        ),
        (
            DiffusersFolder { text_encoder: None, ..small(&plain, scheduler, PAD_END) },
            "the model folder has no text_encoder, which StableDiffusionPipeline needs",
        ),
    ];
    for (folder, message) in cases {
        assert_eq!(ModelSpec::from_diffusers(&folder).unwrap_err().to_string(), message);
    }
    let folder = small("{}", "[", PAD_END);
    assert!(matches!(
        ModelSpec::from_diffusers(&folder),
        Err(ConfigError::Unet(_) | ConfigError::Syntax { .. })
    ));
}

#[test]
fn defaults_are_rows_of_the_samplers_tables() {
    for row in CATALOG {
        assert!(tronie_sampling::find_sampler(row.defaults.sampler).is_ok(), "{}", row.id);
        for schedule in [row.defaults.schedule, row.align_your_steps] {
            assert!(tronie_sampling::find_schedule(schedule).is_ok(), "{}", row.id);
        }
    }
}
