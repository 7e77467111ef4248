//! Pictures for the detector: portraits at any size on any ground, alone, in rows, or absent.

use tronie_faces::geometry::{Point, Rect, Transform};
use tronie_faces::{Face, Outside, Sampling, sample};

use crate::data::Draw;

use super::gallery::Subject;

/// Share of scenes without a face.
const EMPTY: f64 = 0.2;
/// Share of cells of a grid without a picture.
const GAP: f64 = 0.3;
/// Part of a face that must be visible for it to count, and below which it does not: in between it is left open.
const VISIBLE: f32 = 0.75;
const HIDDEN: f32 = 0.2;
/// Side of a face below which it is too small to be asked for, in pixels of the scene.
const MIN_FACE_PX: f32 = 10.0;
/// Largest turn of a portrait to either side.
const MAX_TURN_DEG: f64 = 25.0;
/// Times a piece without a face is looked for.
const MAX_TRIES: u64 = 8;

/// A square scene.
#[derive(Debug)]
pub(crate) struct Scene {
    side_px: usize,
    /// Red, green, blue of each pixel, 0 to 255.
    pub(crate) rgb: Vec<f32>,
    pub(crate) faces: Vec<Rect>,
    /// Faces that are too small, or hidden in part.
    pub(crate) unsure: Vec<Rect>,
}

/// A part of a scene.
#[derive(Debug, Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    side: usize,
}

/// A scene with a picture (or none), and others beside it where they are small.
pub(crate) fn scene(subjects: &[Subject], index: usize, side_px: usize, draw: Draw) -> Option<Scene> {
    let mut scene = Scene::new(side_px);
    let is_empty = draw.happens("empty", EMPTY);
    // Half of all scenes are one picture, the others rows of two or three.
    let n = match draw.below("rows", 4) {
        0 | 1 => 1,
        2 => 2,
        _ => 3,
    };
    let side = side_px.div_ceil(n);
    for cell in 0..n * n {
        let draw = draw.of(cell as u64);
        let other = usize::try_from(draw.below("subject", subjects.len() as u64)).ok()?;
        let subject = subjects.get(if cell == 0 { index } else { other })?;
        let (left, top) = (cell % n * side, cell / n * side);
        let place = Place { left, top, side: side.min(side_px - left).min(side_px - top) };
        ground(&mut scene, (place, subject), draw);
        if !is_empty && (cell == 0 || !draw.happens("gap", GAP)) {
            portrait(&mut scene, (place, subject), draw);
        }
    }
    Some(scene)
}

/// A scene without a face, of pieces of a picture or of none.
pub(crate) fn empty(subject: &Subject, side_px: usize, draw: Draw) -> Vec<f32> {
    let mut scene = Scene::new(side_px);
    ground(&mut scene, (Place { left: 0, top: 0, side: side_px }, subject), draw);
    scene.rgb
}

impl Scene {
    fn new(side_px: usize) -> Self {
        let rgb = vec![0.0; side_px * side_px * 3];
        Self { side_px, rgb, faces: Vec::new(), unsure: Vec::new() }
    }

    /// Puts the pixels of a crop of a picture into a place; those outside of the picture stay as they are.
    fn paste(&mut self, place: Place, subject: &Subject, image_from_place: &Transform, smooth: bool) {
        let Place { left, top, side } = place;
        let points_per_side = if smooth { 2 } else { 1 };
        let sampling = Sampling { width_px: side, height_px: side, outside: Outside::Black, points_per_side };
        let rgb = sample(&subject.pixels, image_from_place, sampling);
        let (width, height) = (f64::from(subject.pixels.width_px()), f64::from(subject.pixels.height_px()));
        for (index, color) in rgb.chunks_exact(3).enumerate() {
            let (column, row) = (index % side, index / side);
            let (x, y) = image_from_place.at(column as f64 + 0.5, row as f64 + 0.5);
            let start = ((top + row) * self.side_px + left + column) * 3;
            if let (true, Some(pixel)) =
                ((0.0..width).contains(&x) && (0.0..height).contains(&y), self.rgb.get_mut(start..start + 3))
            {
                pixel.copy_from_slice(color);
            }
        }
    }
}

/// Fills a place with something that is no face: a color that changes across it, stripes, a piece of a picture without a
/// face, or a picture cut into pieces that have changed places.
fn ground(scene: &mut Scene, (place, subject): (Place, &Subject), draw: Draw) {
    texture(scene, place, draw);
    match draw.below("ground", 4) {
        0 => {}
        1 => shuffled(scene, (place, subject), draw),
        _ => {
            if let Some(piece) = faceless(subject, draw) {
                let image_from_place = piece.image_from_crop(place.side, place.side);
                scene.paste(place, subject, &image_from_place, draw.happens("smooth piece", 0.2));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "colors are f32")]
fn texture(scene: &mut Scene, Place { left, top, side }: Place, draw: Draw) {
    let color =
        |purpose: &str| ["r", "g", "b"].map(|c| draw.between(&format!("{purpose} {c}"), 0.0, 255.0) as f32);
    let (from, to) = (color("from"), color("to"));
    let waves = if draw.happens("waves", 0.5) { draw.between("n waves", 1.0, 12.0) } else { 0.5 };
    let angle = draw.between("angle", 0.0, std::f64::consts::PI);
    for row in 0..side {
        for column in 0..side {
            let along = (column as f64 * angle.cos() + row as f64 * angle.sin()) / side as f64;
            let part = (0.5 + 0.5 * (along * waves * std::f64::consts::TAU).sin()) as f32;
            let start = ((top + row) * scene.side_px + left + column) * 3;
            let pixel = scene.rgb.get_mut(start..start + 3).into_iter().flatten();
            pixel.zip(from.iter().zip(to)).for_each(|(value, (from, to))| *value = from + (to - from) * part);
        }
    }
}

/// A piece of a picture that touches no face; `None` when none was found by chance.
#[expect(clippy::cast_possible_truncation, reason = "places in pictures are f32")]
fn faceless(subject: &Subject, draw: Draw) -> Option<Rect> {
    let (width, height) = (f64::from(subject.pixels.width_px()), f64::from(subject.pixels.height_px()));
    let piece = |attempt: u64| {
        let draw = draw.of(attempt);
        let side = width.min(height) * draw.between("piece", 0.12, 0.4);
        let (x, y) =
            (draw.between("piece x", 0.0, width - side), draw.between("piece y", 0.0, height - side));
        let [left, top, side] = [x, y, side].map(|px| px as f32);
        Rect { left, top, right: left + side, bottom: top + side }
    };
    (0..MAX_TRIES).map(piece).find(|piece| subject.faces.iter().all(|face| face.rect.iou(piece) == 0.0))
}

/// A picture in four by four pieces that have changed places: skin, hair and eyes, and no face.
fn shuffled(scene: &mut Scene, (place, subject): (Place, &Subject), draw: Draw) {
    const N: usize = 4;
    let side = place.side / N;
    let (width, height) = (f64::from(subject.pixels.width_px()), f64::from(subject.pixels.height_px()));
    for (to, from) in draw.shuffled("pieces", N * N, 0).into_iter().enumerate() {
        let piece = Place { left: place.left + to % N * side, top: place.top + to / N * side, side };
        let (x, y) = (width / N as f64, height / N as f64);
        let scale = 1.0 / side as f64;
        let image_from_piece = Transform {
            x: [x * scale, 0.0, x * (from % N) as f64],
            y: [0.0, y * scale, y * (from / N) as f64],
        };
        scene.paste(piece, subject, &image_from_piece, false);
    }
}

/// Puts a picture into a place, turned, mirrored, so large that its face takes a tenth to nearly all of the place.
fn portrait(scene: &mut Scene, (place, subject): (Place, &Subject), draw: Draw) {
    let Some(face) = subject.faces.first() else { return };
    let side = place.side as f64;
    let face_side = f64::from(face.rect.width().max(face.rect.height())).max(1.0);
    let zoom = face_side / (side * draw.between("face", 0.12_f64.ln(), 0.85_f64.ln()).exp());
    let turn = draw.between("turn", -MAX_TURN_DEG, MAX_TURN_DEG).to_radians();
    let mirror = if draw.happens("mirror", 0.5) { -1.0 } else { 1.0 };
    let (cos, sin) = (turn.cos() * zoom, turn.sin() * zoom);
    let center = face.rect.center();
    // The middle of the face comes to a place where most of it is visible.
    let at = |purpose: &str| draw.between(purpose, 0.15, 0.85) * side;
    let image_from_face =
        Transform { x: [cos * mirror, -sin, center.x.into()], y: [sin * mirror, cos, center.y.into()] };
    let image_from_place = image_from_face.after(&Transform::translation(-at("x"), -at("y")));
    scene.paste(place, subject, &image_from_place, draw.happens("smooth", 0.2));
    let Some(place_from_image) = image_from_place.inverse() else { return };
    for Face { rect, .. } in &subject.faces {
        let middle = place_from_image.apply(rect.center());
        #[expect(clippy::cast_possible_truncation, reason = "places are f32")]
        let (width, height) = (rect.width() / zoom as f32, rect.height() / zoom as f32);
        let middle = Point::new(middle.x + place.left as f32, middle.y + place.top as f32);
        let rect = Rect::around(middle, width, height);
        match part_inside(&rect, place) {
            part if part >= VISIBLE && width.min(height) >= MIN_FACE_PX => scene.faces.push(rect),
            part if part > HIDDEN => scene.unsure.push(rect),
            _ => {}
        }
    }
}

/// How much of a box lies in a place, 0 to 1.
fn part_inside(rect: &Rect, Place { left, top, side }: Place) -> f32 {
    let cut = Rect {
        left: rect.left.max(left as f32),
        top: rect.top.max(top as f32),
        right: rect.right.min((left + side) as f32),
        bottom: rect.bottom.min((top + side) as f32),
    };
    cut.area() / rect.area().max(f32::MIN_POSITIVE)
}
