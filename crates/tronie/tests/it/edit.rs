use crate::support::Place;

const FAST: [&str; 8] = ["--steps", "4", "--size", "64x64", "--cfg", "4", "--seed", "7"];

#[test]
fn an_edit_prints_both_pictures_and_the_first_is_the_plain_one() {
    let place = Place::new();
    let old = "a photo of a young woman";
    let generated = place.ok(&[&["generate", old][..], &FAST].concat());
    let edit =
        ["edit", old, "--to", "a photo of an old woman", "--replace", "0.8", "--self", "0.4", "--maps"];
    let printed = place.ok(&[&edit[..], &FAST].concat());
    let paths: Vec<&str> = printed.lines().collect();
    let pixels = |path: &str| tronie_image::open(&place.path(path)).unwrap();
    assert_eq!(paths[0], "out/000001-7.png");
    assert_eq!(pixels(paths[0]), pixels(generated.trim()));
    assert_eq!(paths[1], "out/000001-7.01-a.png");
    assert_eq!(paths[7], "out/000002-7.png");
    assert_eq!(paths[12], "out/000002-7.05-old.png");
    assert_ne!(pixels(paths[7]), pixels(paths[0]));
    let again = place.ok(&["generate", "--like", paths[7]]);
    assert_eq!(pixels(again.lines().nth(1).unwrap()), pixels(paths[7]));
}

#[test]
fn a_real_picture_is_made_again_nearer_the_more_its_negative_prompt_is_trained() {
    let place = Place::new();
    let caption = "a photo of a young woman";
    let picture = place.ok(&[&["generate", caption][..], &FAST].concat());
    let of = [
        "edit",
        caption,
        "--to",
        "a photo of an old woman",
        "--of",
        picture.trim(),
        "--steps",
        "8",
        "--size",
        "64x64",
        "--cfg",
        "15", // far from the path that was inverted
    ];
    let near = |inner: &str| {
        let printed = place.ok(&[&of[..], &["--inner-steps", inner]].concat());
        let pixels = |path: &str| tronie_image::open(&place.path(path)).unwrap();
        tronie_image::psnr_db(&pixels(printed.lines().next().unwrap()), &pixels(picture.trim())).unwrap()
    };
    let [untrained, trained] = ["0", "10"].map(near);
    assert!(trained > untrained + 3.0, "{untrained:.1} dB, then {trained:.1} dB");
}
