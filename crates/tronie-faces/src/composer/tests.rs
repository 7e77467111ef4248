#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small pictures")]

use tronie_image::Pixels;

use super::*;
use crate::geometry::Rect;

const SIDE: u32 = 96;

/// A face of 68 points: jaw, brows, nose, eyes, mouth, in the usual places.
fn face() -> Face {
    let ring = |n: usize, (x, y): (f32, f32), (rx, ry): (f32, f32)| {
        (0..n).map(move |index| {
            let angle = std::f32::consts::TAU * index as f32 / n as f32;
            Point::new(x - rx * angle.cos(), y - ry * angle.sin())
        })
    };
    let row =
        |n: usize, (x, y): (f32, f32), step: f32| (0..n).map(move |i| Point::new(x + step * i as f32, y));
    let jaw = (0..17).map(|index| {
        let angle = std::f32::consts::PI * index as f32 / 16.0;
        Point::new(48.0 - 34.0 * angle.cos(), 44.0 + 40.0 * angle.sin())
    });
    let mut points: Vec<Point> = jaw.collect();
    points.extend(row(5, (24.0, 30.0), 4.0));
    points.extend(row(5, (56.0, 30.0), 4.0));
    points.extend((0..4).map(|index| Point::new(48.0, 38.0 + 5.0 * index as f32)));
    points.extend(row(5, (42.0, 57.0), 3.0));
    points.extend(ring(6, (34.0, 40.0), (6.0, 3.0)));
    points.extend(ring(6, (62.0, 40.0), (6.0, 3.0)));
    points.extend(ring(12, (48.0, 70.0), (12.0, 5.0)));
    points.extend(ring(8, (48.0, 70.0), (8.0, 2.0)));
    let mut face = Face::new(Rect { left: 14.0, top: 20.0, right: 82.0, bottom: 86.0 }, 1.0, None);
    face.landmarks_68 = Some(points);
    face
}

/// A picture with structure everywhere, more of it in eyes and mouth.
fn picture() -> Pixels {
    painted(|x, y| {
        // Nowhere the same twice, so that there is one way to lay it over another.
        let wave = (x * 0.9 + y * y * 0.013).sin() * (y * 0.7 + x * x * 0.011).cos();
        let is_part = (y - 40.0).abs() < 4.0 || (y - 70.0).abs() < 6.0;
        let shade = 30.0 * (x * 0.07).sin() * (y * 0.05).cos();
        128.0 + shade + wave * if is_part { 50.0 } else { 12.0 }
    })
}

fn painted(value: impl Fn(f32, f32) -> f32) -> Pixels {
    let bytes = (0..SIDE * SIDE).flat_map(|index| {
        let grey = value((index % SIDE) as f32, (index / SIDE) as f32).round().clamp(0.0, 255.0) as u8;
        [grey, grey, grey.saturating_add(3)]
    });
    Pixels::new(SIDE, SIDE, bytes.collect()).unwrap()
}

/// The same with one part (left, top, right, bottom) changed.
fn changed(pixels: &Pixels, part: [u32; 4], change: impl Fn(usize, u8) -> u8) -> Pixels {
    let is_in = |index: usize| {
        let (x, y) = (index as u32 / 3 % SIDE, index as u32 / 3 / SIDE);
        (part[0]..part[2]).contains(&x) && (part[1]..part[3]).contains(&y)
    };
    let bytes = pixels.rgb().iter().enumerate();
    let bytes = bytes.map(|(index, &byte)| if is_in(index) { change(index, byte) } else { byte });
    Pixels::new(SIDE, SIDE, bytes.collect()).unwrap()
}

/// Mean of all bytes in a part.
fn mean(pixels: &Pixels, part: [u32; 4]) -> f32 {
    let zeros = changed(pixels, part, |_, _| 0);
    let sum = |pixels: &Pixels| pixels.rgb().iter().map(|&byte| f32::from(byte)).sum::<f32>();
    (sum(pixels) - sum(&zeros)) / ((part[2] - part[0]) * (part[3] - part[1]) * 3) as f32
}

const EYES: [u32; 4] = [28, 37, 68, 44];
const NOSE: [u32; 4] = [44, 48, 53, 57];
const MOUTH: [u32; 4] = [36, 65, 60, 75];

fn composed(pictures: &[&Pixels], wanted: &[(&str, Choice)], blending: Blending) -> Composition {
    let face = face();
    let versions: Vec<Version<'_>> =
        pictures.iter().map(|&pixels| Version { name: "x", pixels, face: &face }).collect();
    let wanted: Vec<_> = wanted.iter().map(|(id, choice)| (face_region(id).unwrap(), *choice)).collect();
    compose(&versions, &wanted, blending).unwrap()
}

fn far(a: &Pixels, b: &Pixels) -> u8 {
    tronie_image::largest_difference(a, b).unwrap()
}

#[test]
fn a_region_comes_from_the_version_that_is_named_and_nothing_else_changes() {
    let (base, other) = (picture(), painted(|x, y| 90.0 + (x + y) % 7.0));
    for blending in [Blending::Poisson, Blending::Feather] {
        let made = composed(&[&base, &other], &[("mouth", Choice::Version(1))], blending);
        assert_eq!((made.regions[0].region, made.regions[0].version), ("mouth", 1));
        assert!(far(&made.pixels, &base) > 10, "{blending:?}");
        let rows_above = (SIDE * 55 * 3) as usize;
        assert_eq!(made.pixels.rgb()[..rows_above], base.rgb()[..rows_above], "{blending:?}: eyes and nose");
    }
    let made = composed(&[&base, &other], &[("eyes", Choice::Version(0))], Blending::Poisson);
    assert_eq!(made.pixels, base);
    assert!(made.regions[0].seam.is_none());
}

#[test]
fn light_that_differs_leaves_no_seam() {
    let base = picture();
    // Around the mouth only: light that differs everywhere is taken off before.
    let is_lit = |x: f32, y: f32| (26.0..70.0).contains(&x) && (55.0..85.0).contains(&y);
    let lit = |x: f32, y: f32| if is_lit(x, y) { 20.0 + y * 0.1 } else { 0.0 };
    let brighter =
        painted(|x, y| f32::from(base.rgb()[((y as u32 * SIDE + x as u32) * 3) as usize]) + lit(x, y));
    let poisson = composed(&[&base, &brighter], &[("mouth", Choice::Version(1))], Blending::Poisson);
    let brighter_by = |made: &Composition| mean(&made.pixels, MOUTH) - mean(&base, MOUTH);
    assert!(brighter_by(&poisson).abs() < 3.0, "{}", brighter_by(&poisson));
    let region = &poisson.regions[0];
    assert!(region.seam_pasted.unwrap() > 5.0 && region.seam.unwrap() < 1.0, "{region:?}");
    let feather = composed(&[&base, &brighter], &[("mouth", Choice::Version(1))], Blending::Feather);
    assert!(feather.regions[0].seam.unwrap() < 5.0, "{:?}", feather.regions[0]);
    assert!(brighter_by(&feather) > 15.0, "its light stays inside: {}", brighter_by(&feather));
}

#[test]
fn the_best_of_two_is_the_one_with_the_usual_detail() {
    let base = picture();
    let flat = changed(&base, MOUTH, |_, _| 128);
    let noisy = changed(&base, EYES, |index, byte| byte.wrapping_add((index * 97 % 251) as u8));
    for (pictures, region, expected) in
        [([&flat, &base], "mouth", 1), ([&base, &flat], "mouth", 0), ([&noisy, &base], "eyes", 1)]
    {
        let made = composed(&pictures, &[(region, Choice::Best)], Blending::Poisson);
        assert_eq!(made.regions[0].version, expected, "{region}: {:?}", made.regions[0].defects);
    }
}

#[test]
fn of_three_the_odd_one_is_left_out_and_every_region_is_chosen_by_itself() {
    let clean = picture();
    let inverted = |part| changed(&clean, part, |_, byte| 255 - byte); // as detailed as before
    let (eyes, mouth, nose) = (inverted(EYES), inverted(MOUTH), inverted(NOSE));
    let wanted = [("eyes", Choice::Best), ("mouth", Choice::Best), ("nose", Choice::Best)];
    let made = composed(&[&eyes, &mouth, &nose], &wanted, Blending::Poisson);
    let versions: Vec<usize> = made.regions.iter().map(|region| region.version).collect();
    assert!(versions[0] != 0 && versions[1] != 1 && versions[2] != 2, "{:?}", made.regions);
    let nearer = tronie_image::psnr_db(&made.pixels, &clean).unwrap();
    for version in [&eyes, &mouth] {
        let psnr = tronie_image::psnr_db(version, &clean).unwrap();
        assert!(nearer > 40.0 && nearer > psnr + 3.0, "{nearer} against {psnr}: {:?}", made.regions);
    }
}

#[test]
fn a_version_that_is_shifted_and_turned_is_brought_back() {
    let base = picture();
    let (sin, cos) = 0.1_f32.sin_cos();
    let to = |x: f32, y: f32| {
        (48.0 + cos * (x - 48.0) - sin * (y - 48.0) + 3.0, 48.0 + sin * (x - 48.0) + cos * (y - 48.0) - 2.0)
    };
    let back = |x: f32, y: f32| {
        let (x, y) = (x - 51.0, y - 46.0);
        (48.0 + cos * x + sin * y, 48.0 - sin * x + cos * y)
    };
    let smooth = |x: f32, y: f32| 128.0 + 50.0 * (x * 0.2).sin() * (y * 0.15).cos();
    let (first, turned) = (
        painted(smooth),
        painted(|x, y| {
            let (x, y) = back(x + 0.5, y + 0.5);
            smooth(x - 0.5, y - 0.5)
        }),
    );
    let mut other = face();
    for point in other.landmarks_68.iter_mut().flatten() {
        let (x, y) = to(point.x, point.y);
        *point = Point::new(x, y);
    }
    let here = face();
    let versions = [
        Version { name: "a", pixels: &first, face: &here },
        Version { name: "b", pixels: &turned, face: &other },
    ];
    let wanted = [(face_region("mouth").unwrap(), Choice::Version(1))];
    let made = compose(&versions, &wanted, Blending::Feather).unwrap();
    assert!(far(&made.pixels, &first) <= 4, "{}", far(&made.pixels, &first));
    assert!(far(&first, &turned) > 15 && far(&base, &first) > 15);
}

#[test]
fn a_version_that_cannot_be_laid_over_is_not_the_best() {
    let base = picture();
    let flat = changed(&base, MOUTH, |_, _| 128);
    let stranger = painted(|x, y| 128.0 + 60.0 * (y * 0.4).sin() * (x * 0.45).sin());
    let made = composed(&[&flat, &stranger], &[("mouth", Choice::Best)], Blending::Poisson);
    assert_eq!(made.regions[0].version, 0, "{:?}", made.regions[0].defects);
    assert_eq!(made.regions[0].defects[1], f32::INFINITY);
}

#[test]
fn regions_at_the_edge_of_a_picture_are_cut_and_what_is_missing_is_named() {
    let pixels = picture();
    let mut low = face();
    for point in low.landmarks_68.iter_mut().flatten() {
        point.y += 26.0;
    }
    let version = |face| Version { name: "low.png", pixels: &pixels, face };
    let mouth = [(face_region("mouth").unwrap(), Choice::Version(1))];
    let made = compose(&[version(&low), version(&low)], &mouth, Blending::Poisson).unwrap();
    assert!(far(&made.pixels, &pixels) <= 1, "the same pixels");
    let none = Face::new(low.rect, 1.0, None);
    let error = compose(&[version(&low), version(&none)], &mouth, Blending::Poisson).unwrap_err();
    assert_eq!(error.to_string(), "low.png has no face with 68 landmarks");
    let third = [(face_region("mouth").unwrap(), Choice::Version(2))];
    let error = compose(&[version(&low), version(&low)], &third, Blending::Poisson).unwrap_err();
    assert_eq!(error.to_string(), "version 3 is asked for, there are 2");
    assert!(face_region("ears").unwrap_err().to_string().contains("mouth"));
}
