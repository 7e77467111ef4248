use super::*;

/// Two colours side by side, the left one `n_left` columns wide.
fn halves(n_left: u32, width: u32, height: u32) -> Pixels {
    let row = (0..width).flat_map(|x| if x < n_left { [250, 0, 0] } else { [0, 0, 250] });
    Pixels::new(width, height, row.collect::<Vec<u8>>().repeat(height as usize)).unwrap()
}

fn at(pixels: &Pixels, x: u32, y: u32) -> [u8; 3] {
    let start = (y * pixels.width_px() + x) as usize * 3;
    pixels.rgb()[start..start + 3].try_into().unwrap()
}

#[test]
fn every_fit_has_the_size_asked_for() {
    for (w, h) in [(1, 1), (1, 9), (9, 1), (7, 5), (64, 64)] {
        for (to_w, to_h) in [(8, 8), (16, 8), (8, 24), (1, 1)] {
            for way in [Fit::Stretch, Fit::Crop, Fit::Fill] {
                let found = fit(&halves(w / 2, w, h), to_w, to_h, way).unwrap();
                assert_eq!(found.size_px(), (to_w, to_h), "{w}x{h} {way:?}");
            }
        }
    }
}

#[test]
fn crop_cuts_both_sides_and_fill_goes_on_with_the_edges() {
    let wide = halves(4, 12, 4); // columns 4..8 are the middle
    let cut = fit(&wide, 4, 4, Fit::Crop).unwrap();
    assert_eq!(cut, crop(&wide, Rect { left: 4, top: 0, width: 4, height: 4 }).unwrap());
    let filled = fit(&wide, 12, 12, Fit::Fill).unwrap();
    for y in [0, 3, 4, 7, 8, 11] {
        assert_eq!((at(&filled, 0, y), at(&filled, 11, y)), ([250, 0, 0], [0, 0, 250]), "row {y}");
    }
}

#[test]
fn an_extended_picture_has_the_old_one_inside() {
    let picture = halves(2, 5, 3);
    let margins = Margins { left: 3, top: 1, right: 2, bottom: 4 };
    let extended = extend(&picture, margins).unwrap();
    assert_eq!(extended.size_px(), (10, 8));
    assert_eq!(crop(&extended, Rect { left: 3, top: 1, width: 5, height: 3 }).unwrap(), picture);
    assert_eq!((at(&extended, 0, 0), at(&extended, 9, 7)), ([250, 0, 0], [0, 0, 250]));
    assert!(extend(&picture, Margins { left: 20_000, ..margins }).is_err());
}

#[test]
fn a_rectangle_outside_is_named() {
    let error = crop(&halves(1, 5, 3), Rect { left: 3, top: 0, width: 3, height: 3 }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rectangle 3x3+3+0 of 5x3 pixels, expected one inside with at least one pixel"
    );
}
