//! Second passes, refiners, tiles and turns: each is something that can also be done by hand.

use super::pictures::Place;
use super::*;
use crate::{Hires, Refiner, Source, Upscale, Upscaler};

/// The request with a picture of pixels in place of its own.
fn starting_from(place: &Place, pixels: &Pixels, name: &str, base: &GenerateRequest) -> GenerateRequest {
    let file = tronie_image::encode(pixels, tronie_image::ImageFormat::Png, &[]).unwrap();
    std::fs::write(place.path(name), file).unwrap();
    GenerateRequest { source: Some(Source::new(place.path(name))), ..base.clone() }
}

fn text(place: &Place) -> GenerateRequest {
    GenerateRequest { profile: "a1111".to_owned(), n_steps: Some(6), ..request(&place.model(), "euler", 7.5) }
}

#[test]
fn a_refiner_takes_over_where_that_of_diffusers_does() {
    let (place, refiner) = (Place::new("sdxl"), Place::new("sdxl_refiner"));
    let pipeline = load(&place.model(), &[]);
    let model = refiner.model().to_string_lossy().into_owned();
    let base = request(&place.model(), "euler", 5.0);
    let wanted = GenerateRequest { refiner: Some(Refiner { model, at: 0.7 }), ..base.clone() };
    let image = make(&pipeline, &wanted);
    assert_golden("refiner_sdxl", &image.pixels);
    assert_golden("sdxl", &make(&pipeline, &base).pixels); // without it the base is what it was
    let entries = crate::record::entries(&image).unwrap();
    let hash = &image.refiner_sha256.as_ref().unwrap()[..10];
    let expected = format!("Refiner: model [{hash}], Refiner switch at: 0.7");
    assert!(entries[0].value.contains(&expected), "{}", entries[0].value);
    assert!(entries[1].value.contains("\"refiner_sha256\":\""), "{}", entries[1].value);
}

#[test]
fn of_two_passes_the_second_is_refined() {
    let (place, refiner) = (Place::new("sdxl"), Place::new("sdxl_refiner"));
    let pipeline = load(&place.model(), &[]);
    let model = refiner.model().to_string_lossy().into_owned();
    let wanted = GenerateRequest {
        refiner: Some(Refiner::new(model)),
        hires: Some(Hires::new(1.5)),
        ..request(&place.model(), "euler", 5.0)
    };
    let resolved = pipeline.resolve(&wanted).unwrap();
    assert!(resolved.refining.is_none() && resolved.second.as_ref().unwrap().resolved.refining.is_some());
    assert_eq!(resolved.request.refiner, wanted.refiner, "the record has what was asked for");
    assert!(resolved.refiner_sha256().is_some());
}

#[test]
fn a_refiner_of_other_latents_is_refused() {
    let (place, other) = (Place::new("sdxl"), Place::new("sd15"));
    let model = other.model().to_string_lossy().into_owned();
    let wanted =
        GenerateRequest { refiner: Some(Refiner::new(model)), ..request(&place.model(), "euler", 5.0) };
    let error = load(&place.model(), &[]).resolve(&wanted).unwrap_err();
    let says =
        "as a refiner it has 4 latent channels of 8 pixels at scale 0.18215, expected 4 of 8 at 0.13025";
    assert!(error.to_string().ends_with(says), "{error}");
    assert!(error.hint().unwrap().contains("same family"));
}

#[test]
fn a_second_pass_on_pixels_is_image_to_image_of_the_first_enlarged() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    for profile in ["a1111", "diffusers"] {
        let base = GenerateRequest { profile: profile.to_owned(), ..text(&place) };
        let hires = Hires { upscaler: Upscaler::Lanczos, strength: 0.5, ..Hires::new(1.5) };
        let both = make(&pipeline, &GenerateRequest { hires: Some(hires), ..base.clone() });
        assert_eq!((both.pixels.width_px(), both.pixels.height_px()), (96, 96));
        let first = make(&pipeline, &base).pixels;
        let mut again = starting_from(&place, &first, "first.png", &base);
        (again.width_px, again.height_px) = (Some(96), Some(96));
        let source = again.source.as_mut().unwrap();
        (source.strength, source.exact_steps) = (0.5, true);
        assert_eq!(make(&pipeline, &again).pixels, both.pixels, "{profile}");
    }
}

#[test]
fn every_upscaler_of_latents_makes_its_own_picture() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let ways = [
        Upscaler::Latent,
        Upscaler::LatentBicubic,
        Upscaler::LatentBicubicAntialiased,
        Upscaler::LatentNearest,
    ];
    let mut seen: Vec<Pixels> = Vec::new();
    for upscaler in ways {
        let hires = Hires { upscaler, strength: 0.4, n_steps: Some(3), ..Hires::new(1.5) };
        let image = make(&pipeline, &GenerateRequest { hires: Some(hires), ..text(&place) });
        assert!(!seen.contains(&image.pixels), "{:?}", image.request.hires);
        seen.push(image.pixels);
    }
}

#[test]
fn a_second_pass_has_its_own_settings_and_they_are_written_down() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let hires = Hires {
        n_steps: Some(4),
        sampler: Some("DPM++ 2M".to_owned()),
        prompt: Some("a man with a hat".to_owned()),
        guidance_scale: Some(3.0),
        ..Hires::new(1.5)
    };
    let image = make(&pipeline, &GenerateRequest { hires: Some(hires), ..text(&place) });
    let second = pipeline.resolve(&image.request).unwrap().second.unwrap();
    assert_eq!(second.resolved.plan.sampler.id, "dpmpp_2m");
    assert_eq!((second.resolved.plan.schedule.id, second.resolved.plan.sigmas.n_steps()), ("karras", 4));
    let entries = crate::record::entries(&image).unwrap();
    let says = "Size: 96x96, ";
    assert!(entries[0].value.contains(says), "{}", entries[0].value);
    let says = "Denoising strength: 0.7, Hires upscale: 1.5, Hires steps: 4, Hires upscaler: Latent, \
                Hires sampler: DPM++ 2M, Hires schedule type: Karras, Hires CFG Scale: 3, \
                Hires prompt: a man with a hat";
    assert!(entries[0].value.contains(says), "{}", entries[0].value);
    assert_eq!(make(&pipeline, &image.request).pixels, image.pixels, "the record makes it again");
}

#[test]
fn the_second_pass_reads_fractions_above_one_of_a_prompt() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let make = |prompt: &str| {
        let hires = Hires { strength: 0.5, ..Hires::new(1.5) };
        let base = GenerateRequest { prompt: prompt.to_owned(), hires: Some(hires), ..text(&place) };
        make(&pipeline, &base).pixels
    };
    assert_eq!(make("a [cat:dog:2.0]"), make("a cat"));
    assert_ne!(make("a [cat:dog:1.5]"), make("a cat"));
}

#[test]
fn two_turns_are_image_to_image_twice_with_the_next_seed() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let once = GenerateRequest { n_steps: Some(6), profile: "a1111".to_owned(), ..place.changing(0.5) };
    let first = make(&pipeline, &once).pixels;
    let mut second = starting_from(&place, &first, "turn.png", &once);
    second.source.as_mut().unwrap().strength = 0.5;
    let by_hand = make(&pipeline, &GenerateRequest { seed: once.seed + 1, ..second }).pixels;
    let turned = make(&pipeline, &GenerateRequest { n_turns: Some(2), ..once });
    assert_eq!(turned.pixels, by_hand);
}

#[test]
fn turns_with_a_mask_keep_what_is_outside() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    for only_masked in [None, Some(4)] {
        let mut request =
            GenerateRequest { n_turns: Some(3), profile: "a1111".to_owned(), ..place.painted(0.6) };
        let inpaint = request.inpaint.as_mut().unwrap();
        (inpaint.paste_back, inpaint.only_masked) = (true, only_masked);
        let image = make(&pipeline, &request).pixels;
        let picture = tronie_image::open(&place.path("picture.png")).unwrap();
        let mask = tronie_image::Mask::of_light(&tronie_image::open(&place.path("mask.png")).unwrap());
        let pairs = picture.rgb().chunks(3).zip(image.rgb().chunks(3)).zip(mask.values());
        assert!(pairs.filter(|row| *row.1 == 0).all(|((before, after), _)| before == after));
    }
}

#[test]
fn one_tile_is_image_to_image_of_the_picture_enlarged() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let once = GenerateRequest { n_steps: Some(6), profile: "a1111".to_owned(), ..place.changing(0.4) };
    let upscale = Upscale { tile_px: Some(96), strength: 0.4, ..Upscale::new(1.5) };
    let enlarged = make(&pipeline, &GenerateRequest { upscale: Some(upscale), ..once.clone() });
    let by_hand = GenerateRequest { width_px: Some(96), height_px: Some(96), ..once };
    assert_eq!(enlarged.pixels, make(&pipeline, &by_hand).pixels);
}

#[test]
fn tiles_make_a_picture_of_any_size_again_and_again() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let upscale = Upscale { tile_px: Some(64), overlap_px: Some(16), ..Upscale::new(1.7) };
    let image = make(&pipeline, &GenerateRequest { upscale: Some(upscale), ..text(&place) });
    assert_eq!((image.pixels.width_px(), image.pixels.height_px()), (109, 109));
    assert_eq!(make(&pipeline, &image.request).pixels, image.pixels);
}

#[test]
fn a_picture_is_not_enlarged_beyond_what_can_be_read_again() {
    let place = Place::new("sd15");
    let wide = Pixels::new(4000, 8, vec![90; 4000 * 8 * 3]).unwrap();
    let upscale = Some(Upscale::new(5.0));
    let request = GenerateRequest { upscale, ..starting_from(&place, &wide, "wide.png", &text(&place)) };
    let pipeline = load(&place.model(), &[]);
    let resolved = pipeline.resolve(&request).unwrap();
    let made = pipeline.run(&resolved, &mut Silent, |_, _| Ok::<(), GenerateError>(()));
    assert!(made.unwrap_err().to_string().starts_with("20000x40 pixels, expected sides of at most 16384"));
}

#[test]
fn stages_that_do_not_go_together_are_said() {
    let place = Place::new("sd15");
    let pipeline = load(&place.model(), &[]);
    let base = || place.changing(0.5);
    let refused = |request: &GenerateRequest| pipeline.resolve(request).unwrap_err().to_string();
    let hires = GenerateRequest { hires: Some(Hires::new(2.0)), ..base() };
    assert!(refused(&hires).starts_with("hires is given with an image"));
    let turns = GenerateRequest { n_turns: Some(2), source: None, ..base() };
    assert!(refused(&turns).starts_with("loopback is given without an image"));
    let large = GenerateRequest { hires: Some(Hires::new(9.0)), ..text(&place) };
    assert_eq!(refused(&large), "hires is 9, expected a factor from 1 to 8");
    let tile = Upscale { tile_px: Some(60), ..Upscale::new(2.0) };
    let tile = GenerateRequest { upscale: Some(tile), ..text(&place) };
    assert_eq!(refused(&tile), "tile is 60, expected a multiple of 8 from 8 to 16384");
    let child = Hires { prompt: Some("nude child".to_owned()), ..Hires::new(2.0) };
    let child = GenerateRequest { hires: Some(child), ..text(&place) };
    assert!(matches!(child.check(), Err(GenerateError::Refused(_))), "every prompt is looked at");
    let second = Hires { prompt: Some("nude".to_owned()), ..Hires::new(2.0) };
    let both = GenerateRequest { prompt: "a child".to_owned(), hires: Some(second), ..text(&place) };
    assert!(matches!(both.check(), Err(GenerateError::Refused(_))), "also what they say together");
}
