use super::*;

/// A mask of white where `inside` says so.
fn mask(width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) -> Mask {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places.flat_map(|(x, y)| [if inside(x, y) { 255 } else { 0 }; 3]).collect();
    Mask::of_light(&Pixels::new(width, height, rgb).unwrap())
}

#[test]
fn light_is_inside_and_the_threshold_is_that_of_the_reference() {
    let colours: [[u8; 3]; 5] = [[128, 128, 128], [129, 129, 129], [0, 255, 0], [255, 0, 0], [255, 255, 255]];
    let pixels = Pixels::new(5, 1, colours.concat()).unwrap();
    assert_eq!(Mask::of_light(&pixels).values(), [0, 255, 255, 0, 255]);
    assert_eq!(Mask::of_light(&pixels).inverted().values(), [255, 0, 0, 255, 0]);
}

#[test]
fn a_blurred_edge_is_the_integral_of_the_gaussian() {
    // 255 times the normal distribution's integral up to (x - 9.5) / 2, x from 4 to 15
    let expected: [u8; 12] = [1, 3, 10, 27, 58, 102, 153, 197, 228, 245, 252, 254];
    let row = mask(20, 1, |x, _| x >= 10).blurred(2.0);
    for (found, expected) in row.values()[4..16].iter().zip(expected) {
        assert!(found.abs_diff(expected) <= 2, "{:?}", &row.values()[4..16]);
    }
}

#[test]
fn blurring_keeps_what_is_far_from_an_edge() {
    let half = mask(60, 40, |x, _| x < 30);
    let blurred = half.blurred(4.0);
    for (index, (&before, &after)) in half.values().iter().zip(blurred.values()).enumerate() {
        let from_edge = (index % 60).abs_diff(30);
        assert!(from_edge < 11 || before == after, "column {}", index % 60);
    }
    assert_eq!(half.blurred(0.0), half);
    let all = mask(3, 5, |_, _| true);
    assert_eq!(all.blurred(8.0), all, "a kernel wider than the mask is mirrored again and again");
}

#[test]
fn bounds_hold_everything_inside() {
    let found = mask(20, 10, |x, y| (3..7).contains(&x) && (2..9).contains(&y)).bounds();
    assert_eq!(found, Some(Rect { left: 3, top: 2, width: 4, height: 7 }));
    assert_eq!(mask(20, 10, |_, _| false).bounds(), None);
}

#[test]
fn margins_are_inside_and_the_picture_is_not_unless_its_own_mask_says_so() {
    let margins = Margins { left: 2, top: 1, right: 0, bottom: 0 };
    let plain = Mask::of_margins((3, 2), margins, None);
    assert_eq!((plain.width_px(), plain.height_px()), (5, 3));
    assert_eq!(plain.values(), [[255; 5], [255, 255, 0, 0, 0], [255, 255, 0, 0, 0]].concat());
    let own = mask(3, 2, |x, y| (x, y) == (2, 1));
    let both = Mask::of_margins((3, 2), margins, Some(&own));
    assert_eq!(both.values()[10..], [255, 255, 0, 0, 255]);
}

#[test]
fn what_is_outside_keeps_its_bytes() {
    let picture = |shift: u8| {
        let bytes = (0..=u8::MAX).cycle().take(300).map(|i| i.wrapping_mul(37).wrapping_add(shift)).collect();
        Pixels::new(10, 10, bytes).unwrap()
    };
    let (below, above) = (picture(0), picture(91));
    let edge = mask(10, 10, |x, _| x >= 5).blurred(1.0);
    let mixed = composite(&below, &above, &edge).unwrap();
    for (index, &alpha) in edge.values().iter().enumerate() {
        let of = |pixels: &Pixels| pixels.rgb()[index * 3..index * 3 + 3].to_vec();
        match alpha {
            0 => assert_eq!(of(&mixed), of(&below)),
            255 => assert_eq!(of(&mixed), of(&above)),
            _ => {}
        }
    }
    let small = mask(9, 10, |_, _| true);
    assert!(matches!(composite(&below, &above, &small), Err(ImageError::SizesDiffer { .. })));
}
