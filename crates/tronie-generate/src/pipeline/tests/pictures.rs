//! Pipelines that start from a picture, against diffusers'.

use tronie_image::{ImageFormat, encode};

use super::*;
use crate::{Inpaint, Source};

/// The folder of a model, with the picture and the mask of `reference/image_to_image.py` beside it.
pub(super) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new(model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_folder(model, &folder.path().join("model"));
        let golden = Golden::open("pipeline/source");
        let grey = bytes(&golden, "mask").into_iter().flat_map(|value| [value; 3]).collect();
        for (name, rgb) in [("picture.png", bytes(&golden, "picture")), ("mask.png", grey)] {
            let pixels = Pixels::new(64, 64, rgb).unwrap();
            let file = encode(&pixels, ImageFormat::Png, &[]).unwrap();
            std::fs::write(folder.path().join(name), file).unwrap();
        }
        Self { folder }
    }

    pub(super) fn model(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn changing(&self, strength: f64) -> GenerateRequest {
        let source = Source { strength, ..Source::new(self.path("picture.png")) };
        GenerateRequest { source: Some(source), ..request(&self.model(), "ddim", 7.5) }
    }

    /// As diffusers paints: no blur, nothing put back.
    pub(super) fn painted(&self, strength: f64) -> GenerateRequest {
        let mask = Some(self.path("mask.png").into());
        let inpaint = Inpaint { mask, blur_px: 0.0, paste_back: false, ..Inpaint::default() };
        GenerateRequest { inpaint: Some(inpaint), ..self.changing(strength) }
    }
}

#[test]
fn image_to_image_gives_the_picture_of_diffusers() {
    for (model, sampler, scale) in [("sd15", "ddim", 7.5), ("sd21_v", "ddim", 7.5), ("sdxl", "euler", 5.0)] {
        let place = Place::new(model);
        let source = place.changing(0.6).source;
        let wanted = GenerateRequest { source, ..request(&place.model(), sampler, scale) };
        assert_golden(&format!("img2img_{model}"), &make(&load(&place.model(), &[]), &wanted).pixels);
    }
}

#[test]
fn inpainting_gives_the_picture_of_diffusers_told_or_not() {
    for (model, n_channels) in [("sd15", 4), ("sd15_inpaint", 9)] {
        let place = Place::new(model);
        let pipeline = load(&place.model(), &[]);
        for (name, strength) in [("part", 0.8), ("full", 1.0)] {
            let image = make(&pipeline, &place.painted(strength));
            assert_golden(&format!("inpaint{n_channels}_{name}"), &image.pixels);
        }
    }
}

#[test]
fn what_is_put_back_is_the_picture_bit_for_bit() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let (picture, mask) = ["picture.png", "mask.png"].map(|name| place.path(name)).into();
    let picture = tronie_image::open(&picture).unwrap();
    let mask = tronie_image::Mask::of_light(&tronie_image::open(&mask).unwrap()).blurred(4.0);
    for profile in ["a1111", "comfy", "diffusers"] {
        let mut request = GenerateRequest { profile: profile.to_owned(), ..place.painted(0.7) };
        let inpaint = request.inpaint.as_mut().unwrap();
        (inpaint.blur_px, inpaint.paste_back) = (4.0, true);
        let image = make(&pipeline, &request);
        let pairs = picture.rgb().chunks(3).zip(image.pixels.rgb().chunks(3)).zip(mask.values());
        let outside = pairs.filter(|row| *row.1 == 0);
        assert!(
            outside.clone().count() > 1000 && outside.clone().all(|((before, after), _)| before == after)
        );
        assert!(psnr_db(&picture, &image.pixels).unwrap() < 30.0, "{profile}: the inside is new");
    }
}

#[test]
fn full_strength_walks_all_steps_and_still_knows_the_picture() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    for profile in ["a1111", "comfy", "diffusers"] {
        let sampler = Some("euler".to_owned());
        let request = GenerateRequest { profile: profile.to_owned(), sampler, ..place.changing(1.0) };
        let resolved = pipeline.resolve(&request).unwrap();
        assert_eq!(resolved.plan.sigmas.n_steps(), 10, "{profile}");
        let text = GenerateRequest { source: None, ..request.clone() };
        assert_ne!(make(&pipeline, &request).pixels, make(&pipeline, &text).pixels, "{profile}");
    }
    // With a mask, diffusers begins at noise alone; the text-to-image plan is walked.
    let painted = pipeline.resolve(&place.painted(1.0)).unwrap();
    let text = pipeline.resolve(&request(&place.model(), "ddim", 7.5)).unwrap();
    assert_eq!(painted.plan.initial_scale, text.plan.initial_scale);
}

#[test]
fn an_image_of_a_batch_starts_from_the_same_picture_as_alone() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let base = GenerateRequest { profile: "a1111".to_owned(), ..place.changing(0.5) };
    let second = make(&pipeline, &GenerateRequest { n_images: 2, ..base.clone() });
    let alone = make(&pipeline, &GenerateRequest { seed: base.seed + 1, ..base });
    assert_eq!(second.pixels, alone.pixels);
    assert_eq!(second.request, alone.request, "the record says how to make this one");
    let source = second.request.source.unwrap();
    assert_eq!(source.picture.sha256.unwrap().len(), 64);
    let entries = crate::record::entries(&alone).unwrap();
    assert!(entries[0].value.contains("Denoising strength: 0.5"), "{}", entries[0].value);
}

#[test]
fn latents_can_be_stretched_in_place_of_pixels() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let mut request = GenerateRequest { width_px: Some(96), ..place.changing(0.5) };
    let by_pixels = make(&pipeline, &request).pixels;
    request.source.as_mut().unwrap().resize = crate::Resize::Latent;
    let by_latents = make(&pipeline, &request).pixels;
    assert_eq!((by_latents.width_px(), by_latents.height_px()), (96, 64));
    assert_ne!(by_latents, by_pixels);
}

#[test]
fn what_a_picture_needs_is_said() {
    let place = Place::new("sd15_inpaint");
    let pipeline = load(&place.model(), &[]);
    let refused = |request: &GenerateRequest| pipeline.resolve(request).unwrap_err().to_string();
    let text = request(&place.model(), "ddim", 7.5);
    assert!(refused(&text).ends_with("it is an inpainting model, which needs an image and a mask"));
    assert!(refused(&place.changing(0.5)).ends_with("which needs an image and a mask"));
    let no_image = GenerateRequest { source: None, ..place.painted(0.5) };
    assert_eq!(
        refused(&no_image),
        "mask is given without an image, expected an image of the same size to paint in"
    );
    let weak = refused(&place.painted(0.05));
    assert_eq!(weak, "strength 0.05 of 10 steps leaves no step");
    let none = refused(&place.painted(f64::NAN));
    assert_eq!(none, "strength is NaN, expected 0 to 1");
}

#[test]
fn a_batch_drawn_as_one_paints_one_picture_and_any_image_can_be_made_again() {
    for (model, profile) in [("sd15", "comfy"), ("sd15", "diffusers"), ("sd15_inpaint", "diffusers")] {
        let place = Place::new(model);
        let pipeline = load(&place.model(), &[]);
        let profile = profile.to_owned();
        let batch = GenerateRequest { n_images: 2, n_steps: Some(4), profile, ..place.painted(0.8) };
        let second = make(&pipeline, &batch);
        assert_eq!(second.request.only_image, Some(1), "the last one is handed over last");
        assert_eq!(make(&pipeline, &second.request).pixels, second.pixels);
        let first = GenerateRequest { only_image: Some(0), ..batch };
        assert_ne!(make(&pipeline, &first).pixels, second.pixels);
    }
}
