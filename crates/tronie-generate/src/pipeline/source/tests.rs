use tronie_image::{ImageFormat, encode};

use super::*;

fn rect(left: u32, top: u32, width: u32, height: u32) -> Rect {
    Rect { left, top, width, height }
}

#[test]
fn surroundings_have_the_image_s_proportions_as_far_as_the_picture_goes() {
    let cases = [
        // (inside the mask, padding, picture, image, what is walked)
        (rect(40, 40, 20, 20), 0, (100, 100), (512, 512), rect(40, 40, 20, 20)),
        (rect(40, 40, 20, 20), 8, (100, 100), (512, 512), rect(32, 32, 36, 36)),
        (rect(40, 40, 20, 10), 0, (100, 100), (512, 512), rect(40, 35, 20, 20)),
        (rect(40, 40, 20, 10), 0, (100, 100), (256, 512), rect(40, 25, 20, 40)),
        (rect(0, 0, 20, 10), 0, (100, 100), (512, 512), rect(0, 0, 20, 20)),
        (rect(80, 95, 20, 5), 0, (100, 100), (512, 512), rect(80, 80, 20, 20)),
        (rect(10, 0, 80, 30), 32, (100, 40), (512, 512), rect(0, 0, 100, 40)),
    ];
    for (bounds, padding, picture, size, expected) in cases {
        assert_eq!(surroundings(bounds, padding, picture, size), expected, "{bounds} {padding}");
    }
}

/// A folder with a picture of this size, and a mask with a white square in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(width: u32, height: u32) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let colour = |x: u32, y: u32| {
            [x * 7 % 256, y * 11 % 256, (x + y) % 256].map(|value| u8::try_from(value).unwrap())
        };
        place.write("picture.png", width, height, colour);
        let is_inside = |x, y| (8..20).contains(&x) && (6..16).contains(&y);
        place.write("mask.png", width, height, |x, y| [if is_inside(x, y) { 255 } else { 0 }; 3]);
        place.write("black.png", width, height, |_, _| [0; 3]);
        place
    }

    fn write(&self, name: &str, width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = places.flat_map(|(x, y)| colour(x, y)).collect();
        let pixels = Pixels::new(width, height, rgb).unwrap();
        std::fs::write(self.folder.path().join(name), encode(&pixels, ImageFormat::Png, &[]).unwrap())
            .unwrap();
    }

    fn request(&self, mask: &str) -> GenerateRequest {
        let path = |name: &str| self.folder.path().join(name);
        let inpaint = Inpaint { mask: Some(path(mask).into()), blur_px: 2.0, ..Inpaint::default() };
        GenerateRequest {
            source: Some(Source::new(path("picture.png"))),
            inpaint: Some(inpaint),
            ..GenerateRequest::new("a face")
        }
    }
}

#[test]
fn outside_the_blurred_mask_every_byte_is_the_picture_s() {
    let place = Place::new(40, 32);
    for only_masked in [None, Some(3)] {
        for content in [MaskedContent::Original, MaskedContent::Fill, MaskedContent::LatentNoise] {
            let mut request = place.request("mask.png");
            let inpaint = request.inpaint.as_mut().unwrap();
            (inpaint.only_masked, inpaint.content) = (only_masked, content);
            let opened = Opened::of(&request).unwrap().unwrap();
            let (picture, mask) = (opened.picture.clone(), opened.mask.clone().unwrap());
            let prepared = opened.prepared(40, 32).unwrap();
            let painted = Pixels::new(40, 32, vec![99; 40 * 32 * 3]).unwrap();
            let finished = prepared.finished(painted).unwrap();
            let (mut n_kept, mut n_changed) = (0, 0);
            let pairs = picture.rgb().chunks(3).zip(finished.rgb().chunks(3)).zip(mask.values());
            for ((before, after), &inside) in pairs {
                n_kept += usize::from(inside == 0 && before == after);
                n_changed += usize::from(before != after);
                assert!(inside > 0 || before == after, "{only_masked:?} {content:?}");
                assert!(inside < 128 || after == [99; 3], "{only_masked:?} {content:?}");
            }
            assert!(n_kept > 500 && n_changed > 100, "{n_kept} kept, {n_changed} changed");
        }
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let place = Place::new(40, 32);
    place.write("small.png", 20, 32, |_, _| [255; 3]);
    let failing = |request: &GenerateRequest| Opened::of(request).err().unwrap().to_string();
    let error = failing(&place.request("small.png"));
    assert!(error.ends_with("small.png has 20x32 pixels, expected 40x32 as the image has"), "{error}");
    let error = failing(&place.request("black.png"));
    assert!(error.ends_with("black.png has nothing to paint: all of it is dark"), "{error}");
    let mut inverted = place.request("black.png");
    inverted.inpaint.as_mut().unwrap().invert = true;
    assert!(Opened::of(&inverted).is_ok(), "all of it is painted");
    assert!(failing(&place.request("absent.png")).contains("absent.png: cannot read"));
    let mut other = place.request("mask.png");
    other.source.as_mut().unwrap().picture.sha256 = Some("0123".to_owned());
    let error = failing(&other);
    assert!(error.contains("picture.png has the SHA-256 ") && error.ends_with("expected 0123"), "{error}");
}

#[test]
fn an_image_is_as_large_as_its_picture_in_whole_latents() {
    let place = Place::new(45, 31);
    let size = |request: &GenerateRequest| Opened::of(request).unwrap().unwrap().size_px();
    let mut request = place.request("mask.png");
    assert_eq!(size(&request).unwrap(), Some((40, 24)));
    request.inpaint.as_mut().unwrap().only_masked = Some(32);
    assert_eq!(size(&request).unwrap(), None, "a part is walked at the checkpoint's size");
    request.inpaint = None;
    request.source.as_mut().unwrap().extend = Margins { left: 3, bottom: 1, ..Margins::default() };
    assert_eq!(size(&request).unwrap(), Some((48, 32)));
    request.source.as_mut().unwrap().extend.left = 4;
    let error = size(&request).unwrap_err().to_string();
    assert!(error.starts_with("extend is what makes 49x32 pixels, expected"), "{error}");
}
