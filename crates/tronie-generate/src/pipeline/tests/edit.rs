//! Prompt-to-prompt, against `reference/edit.py`.

use super::*;
use crate::{AlignBy, Blend, Edit, EditMethod, Inversion};

/// A checkpoint and a request of it.
struct Setting {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
    base: GenerateRequest,
}

impl Setting {
    fn new(family: &str, sampler: &str, scale: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_folder(family, folder.path());
        let base = request(folder.path(), sampler, scale);
        Self { pipeline: load(folder.path(), &[]), base, folder }
    }

    fn with(&self, edit: Edit) -> GenerateRequest {
        GenerateRequest { edit: Some(edit), ..self.base.clone() }
    }

    /// All pictures of a request.
    fn images(&self, request: &GenerateRequest) -> Vec<GeneratedImage> {
        let mut images = Vec::new();
        let sink = |image: GeneratedImage, _: &mut Silent| -> Result<(), GenerateError> {
            images.push(image);
            Ok(())
        };
        self.pipeline.run(&self.pipeline.resolve(request).unwrap(), &mut Silent, sink).unwrap();
        images
    }

    fn edited(&self, edit: Edit) -> Vec<Pixels> {
        self.images(&self.with(edit)).into_iter().map(|image| image.pixels).collect()
    }

    fn plain(&self, prompt: &str) -> Pixels {
        make(&self.pipeline, &GenerateRequest { prompt: prompt.to_owned(), ..self.base.clone() }).pixels
    }

    fn refused(&self, edit: Edit) -> GenerateError {
        self.pipeline.resolve(&self.with(edit)).unwrap_err()
    }
}

/// At least 60 dB for each picture of a golden.
#[track_caller]
fn assert_pictures(name: &str, found: &[Pixels]) {
    let golden = Golden::open(&format!("pipeline/{name}"));
    let pictures = golden.f64("pixels").chunks_exact(64 * 64 * 3);
    assert_eq!(pictures.len(), found.len(), "{name}");
    for (index, (expected, found)) in pictures.zip(found).enumerate() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole numbers below 256"
        )]
        let expected = expected.iter().map(|&value| value as u8).collect();
        let ratio = psnr_db(found, &Pixels::new(64, 64, expected).unwrap()).unwrap();
        assert!(ratio >= 60.0, "{name} {index}: {ratio:.1} dB, at least 60 dB is accepted");
    }
}

const OLD: &str = "portrait photo of a smiling woman with glasses";
const NEW: &str = "portrait photo of a laughing man with glasses";

#[test]
fn edited_pictures_equal_those_of_the_reference_in_every_family() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    assert_pictures("sd15_edit_words", &sd15.edited(Edit::new(NEW)));
    let v = Setting::new("sd21_v", "ddim", 7.5);
    let common = Edit {
        align: AlignBy::Common,
        cross: [0.2, 0.9],
        own: [0.1, 0.6],
        weights: vec![("hat".to_owned(), 3.0), ("smiling".to_owned(), -1.0)],
        ..Edit::new("portrait photo of a smiling old woman with a hat")
    };
    assert_pictures("sd21_v_edit_common", &v.edited(common));
    let xl = Setting::new("sdxl", "euler", 5.0);
    let words = Edit {
        align: AlignBy::Words,
        self_side: Some(4),
        ..Edit::new("portrait painting of a smiling woman with chrysanthemums")
    };
    assert_pictures("sdxl_edit_words", &xl.edited(words));
}

#[test]
fn a_confined_change_equals_the_reference() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let blend = Blend::to(vec!["glasses".to_owned(), "earrings".to_owned()]);
    let edit = Edit { blend: Some(blend), ..Edit::new("portrait photo of a smiling woman with earrings") };
    assert_pictures("sd15_edit_blend", &sd15.edited(edit));
}

#[test]
fn the_shared_method_equals_the_reference() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let edit = Edit {
        align: AlignBy::Blocks,
        method: EditMethod::Shared,
        cross: [0.0, 1.0],
        own: [0.0, 1.0],
        ..Edit::new("portrait photo of a smiling woman without glasses")
    };
    assert_pictures("sd15_edit_shared", &sd15.edited(edit));
}

#[test]
fn the_first_picture_is_the_plain_one_bit_for_bit_and_so_is_the_second_of_the_same_prompt() {
    // deterministic, stochastic, stochastic along a Brownian path, several looks in a step
    for sampler in ["ddim", "euler_ancestral", "dpmpp_2m_sde", "heun"] {
        let sd15 = Setting::new("sd15", sampler, 7.5);
        let plain = sd15.plain(OLD);
        assert_eq!(sd15.edited(Edit::new(OLD)), [plain.clone(), plain.clone()], "{sampler}");
        let [old, new] = sd15.edited(Edit { maps: true, ..Edit::new(NEW) }).try_into().unwrap();
        assert_eq!(old, plain, "{sampler}: whatever is looked at");
        assert_ne!(new, plain);
    }
}

#[test]
fn no_steps_of_replacement_give_the_plain_picture_of_the_new_prompt() {
    for (family, sampler) in [("sd15", "euler_ancestral"), ("sd21_v", "ddim"), ("sdxl", "dpmpp_2m")] {
        let setting = Setting::new(family, sampler, 5.0);
        let nothing = Edit { cross: [0.0, 0.0], own: [0.0, 0.0], ..Edit::new(NEW) };
        assert_eq!(setting.edited(nothing), [setting.plain(OLD), setting.plain(NEW)], "{family}");
    }
}

#[test]
fn the_comfy_profile_edits_one_image_from_its_own_noise() {
    let sd15 = Setting::new("sd15", "dpmpp_2m_sde", 7.5);
    let comfy = |edit| GenerateRequest { profile: "comfy".to_owned(), ..sd15.with(edit) };
    let plain = make(&sd15.pipeline, &GenerateRequest { edit: None, ..comfy(Edit::new(OLD)) }).pixels;
    let both = sd15.images(&comfy(Edit::new(OLD)));
    assert_eq!([&both[0].pixels, &both[1].pixels], [&plain, &plain]);
    let two = GenerateRequest { n_images: 2, ..comfy(Edit::new(NEW)) };
    let error = sd15.pipeline.resolve(&two).unwrap_err();
    assert!(error.to_string().contains("2 were asked for"), "{error}");
}

#[test]
fn replacement_keeps_more_of_the_first_picture() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let far = |share: f64| {
        let edit = Edit { cross: [0.0, share], own: [0.0, share], ..Edit::new(NEW) };
        let pictures = sd15.edited(edit);
        psnr_db(&pictures[0], &pictures[1]).unwrap()
    };
    let [none, half, all] = [0.0, 0.5, 1.0].map(far);
    assert!(none < half && none < all, "{none:.1} {half:.1} {all:.1} dB");
}

#[test]
fn words_with_an_interval_of_their_own_are_replaced_in_it() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let by_word = Edit {
        cross: [0.0, 0.0],
        cross_of_words: vec![("man".to_owned(), [0.0, 0.8])],
        own: [0.0, 0.0],
        ..Edit::new(NEW)
    };
    let pictures = sd15.edited(by_word);
    assert_ne!(pictures[1], sd15.plain(NEW));
    assert_ne!(pictures[1], sd15.edited(Edit { own: [0.0, 0.0], ..Edit::new(NEW) })[1]);
}

#[test]
fn an_edit_is_made_again_from_its_record_and_maps_name_the_words() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let images = sd15.images(&sd15.with(Edit { maps: true, ..Edit::new(NEW) }));
    assert!(images[0].request.edit.is_none());
    let json = serde_json::to_string(&images[1].request).unwrap();
    let again = sd15.images(&serde_json::from_str(&json).unwrap());
    assert_eq!(again[1].pixels, images[1].pixels);
    let words: Vec<&str> = images[1].word_maps.iter().map(|map| map.word.as_str()).collect();
    assert_eq!(words, NEW.split(' ').collect::<Vec<_>>());
    assert!(images[0].word_maps.iter().all(|map| map.pixels.rgb().iter().max() == Some(&255)));
    let text = &crate::record::entries(&images[1]).unwrap()[0].value;
    assert!(text.starts_with(NEW), "{text}");
    assert!(text.contains(&format!("Edit of: {OLD}")), "{text}");
}

/// An edit of the picture of `reference/control_pipeline.py`, in which nothing is replaced.
fn of_picture(to: &str, folder: &Path) -> Edit {
    let of = Inversion { n_inner: 4, ..Inversion::of(control::write_picture(4, [64, 64], folder)) };
    Edit { of: Some(of), cross: [0.0, 0.0], own: [0.0, 0.0], ..Edit::new(to) }
}

#[test]
fn an_inverted_picture_is_made_again_as_by_the_reference() {
    // Training follows the signs of gradients, so two programs part ways where a gradient is nearly 0.
    for (family, name) in [("sd15", "sd15_null_text"), ("sd21_v", "sd21_v_null_text")] {
        let setting = Setting::new(family, "ddim", 4.0);
        let pictures = setting.edited(of_picture(NEW, setting.folder.path()));
        let golden = Golden::open(&format!("pipeline/{name}"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole numbers below 256"
        )]
        let expected = golden.f64("pixels").iter().map(|&value| value as u8).collect();
        let ratio = psnr_db(&pictures[0], &Pixels::new(64, 64, expected).unwrap()).unwrap();
        assert!(ratio >= 50.0, "{name}: {ratio:.1} dB, at least 50 dB is accepted");
        assert_ne!(pictures[0], pictures[1]);
    }
}

#[test]
fn an_sdxl_picture_is_inverted() {
    let xl = Setting::new("sdxl", "euler", 4.0);
    let [old, new] = xl.edited(of_picture(NEW, xl.folder.path())).try_into().unwrap();
    assert_ne!(old, xl.plain(OLD), "it comes from the picture, not from the seed");
    assert_ne!(old, new);
}

#[test]
fn a_picture_that_cannot_be_inverted_is_refused() {
    let sd15 = Setting::new("sd15", "dpmpp_2m", 4.0);
    let edit = of_picture(NEW, sd15.folder.path());
    let error = sd15.refused(edit.clone());
    assert_eq!(
        error.to_string(),
        "sampler dpmpp_2m with eta 0 cannot be inverted, expected euler or ddim with eta 0"
    );
    let sd15 = Setting::new("sd15", "ddim", 4.0);
    let with = |of: Inversion| Edit { of: Some(of), ..edit.clone() };
    let of = edit.of.clone().unwrap();
    let mut changed = of.clone();
    changed.image.sha256 = Some("00".into());
    assert!(sd15.refused(with(changed)).to_string().contains("expected 00"));
    let absent = Inversion { image: PathBuf::from("absent.png").into(), ..of.clone() };
    assert!(sd15.refused(with(absent)).to_string().starts_with("absent.png"));
    let often = Inversion { n_inner: 2000, ..of };
    assert_eq!(sd15.refused(with(often)).to_string(), "inner steps is 2000, expected 0 to 1000");
}

#[test]
fn an_edit_that_makes_no_sense_is_refused() {
    let sd15 = Setting::new("sd15", "ddim", 7.5);
    let weights = |word: &str| Edit { weights: vec![(word.to_owned(), 2.0)], ..Edit::new(NEW) };
    let cases = [
        (
            weights("woman"),
            "the new prompt \"portrait photo of a laughing man with glasses\" has no \"woman\"",
        ),
        (
            Edit { align: AlignBy::Words, ..Edit::new("portrait") },
            "the prompts have 10 and 3 words, which word by word must be equal",
        ),
        (Edit::new("a man AND a woman"), "\"a man AND a woman\" is several prompts"),
        (Edit::new("a [man:woman:0.5]"), "\"a [man:woman:0.5]\" is several prompts"),
        (Edit::new("a man <lora:film:1>"), "the new prompt has <lora:film>"),
        (Edit { cross: [0.5, 0.2], ..Edit::new(NEW) }, "replace is 0.5 0.2, expected 0 <= start <= end <= 1"),
        (
            Edit { blend: Some(Blend::to(vec!["hat".to_owned()])), ..Edit::new(NEW) },
            "the prompts \"portrait photo of a smiling woman with glasses\" and \"portrait photo of a laughing man",
        ),
        (
            Edit {
                blend: Some(Blend::to(vec!["man".to_owned()])),
                method: EditMethod::Shared,
                ..Edit::new(NEW)
            },
            "method shared makes no old picture",
        ),
    ];
    for (edit, says) in cases {
        let error = sd15.refused(edit);
        assert!(error.to_string().starts_with(says), "{error}");
        assert_eq!(error.fault(), tronie_base::Fault::Input);
    }
}
