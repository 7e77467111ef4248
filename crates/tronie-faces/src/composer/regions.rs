//! Regions of a face, as hulls of landmarks (iBUG 300-W) grown by a share of the distance between the eyes.

use crate::FacesError;
use crate::geometry::Point;

/// A region that can come from another version. "Left" is left in the picture.
#[derive(Debug, PartialEq)]
pub struct FaceRegion {
    /// Its name.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Landmarks of each of its parts: the first, and the one behind the last.
    landmarks: &'static [[usize; 2]],
    /// How far around them it reaches, in distances between the eyes.
    grow: f32,
    /// Natural logarithm of the region's fine structure over the face's, mean and standard deviation over 387 portraits of Stable
    /// Diffusion 1.4 that nobody has marked as bad.
    pub(super) usual_detail: (f32, f32),
}

const fn region(
    id: &'static str,
    title: &'static str,
    landmarks: &'static [[usize; 2]],
    grow: f32,
    usual_detail: (f32, f32),
) -> FaceRegion {
    FaceRegion { id, title, landmarks, grow, usual_detail }
}

/// Every region.
pub const FACE_REGIONS: &[FaceRegion] = &[
    region("eyes", "both eyes", &[[36, 42], [42, 48]], 0.14, (0.50, 0.39)),
    region("left_eye", "the left eye", &[[36, 42]], 0.14, (0.77, 0.52)),
    region("right_eye", "the right eye", &[[42, 48]], 0.14, (0.74, 0.55)),
    region("brows", "both eyebrows", &[[17, 22], [22, 27]], 0.1, (0.02, 0.35)),
    region("nose", "the nose", &[[27, 36]], 0.12, (-0.39, 0.37)),
    region("mouth", "the mouth", &[[48, 68]], 0.14, (0.13, 0.30)),
];

/// A region by its id.
///
/// # Errors
/// [`FacesError::UnknownRegion`].
pub fn face_region(id: &str) -> Result<&'static FaceRegion, FacesError> {
    FACE_REGIONS.iter().find(|region| region.id == id).ok_or_else(|| {
        let ids: Vec<&str> = FACE_REGIONS.iter().map(|region| region.id).collect();
        FacesError::UnknownRegion { found: id.to_owned(), expected: ids.join(", ") }
    })
}

impl FaceRegion {
    pub(super) fn has(&self, landmark: usize) -> bool {
        self.landmarks.iter().any(|&[first, end]| (first..end).contains(&landmark))
    }
}

/// Where a region is in a picture: a rectangle, and for each of its pixels how much it belongs to the region.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// 0 outside, 1 well inside, rows from the top.
    pub(super) weights: Vec<f32>,
}

impl Area {
    /// The region around the landmarks of every version that lie in the first one's picture; `None` where nothing of it is in the picture.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the picture first")]
    pub(super) fn new(
        region: &FaceRegion,
        landmarks: &[&[Point]],
        [width, height]: [u32; 2],
    ) -> Option<Self> {
        let points = landmarks.first()?;
        let eyes = points.get(36..42).zip(points.get(42..48))?;
        let between = Point::mean(eyes.0).distance(Point::mean(eyes.1));
        let (grow, feather) = (between * region.grow, between * region.grow);
        let hulls: Vec<Vec<Point>> =
            region.landmarks.iter().filter_map(|&[first, end]| Some(hull(points.get(first..end)?))).collect();
        let all: Vec<Point> = hulls.iter().flatten().copied().collect();
        let reach = grow + feather;
        let (x, y) = (|point: &Point| point.x, |point: &Point| point.y);
        let [left, right] = span(&all, x, reach, width as f32)?;
        let [top, bottom] = span(&all, y, reach, height as f32)?;
        let (left, top) = (left.floor() as usize, top.floor() as usize);
        let (n_columns, n_rows) = (right.ceil() as usize - left, bottom.ceil() as usize - top);
        let weight = |index: usize| {
            let pixel =
                Point::new((left + index % n_columns) as f32 + 0.5, (top + index / n_columns) as f32 + 0.5);
            let nearest = hulls.iter().map(|hull| distance(hull, pixel)).fold(f32::INFINITY, f32::min);
            smooth((reach - nearest) / feather.max(f32::MIN_POSITIVE))
        };
        let weights = (0..n_columns * n_rows).map(weight).collect();
        Some(Self { left, top, width: n_columns, height: n_rows, weights })
    }

    /// Indices of the pixels above, left, right and below, where the rectangle has them.
    pub(super) fn neighbours(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let (column, row) = (index % self.width, index / self.width);
        let above = (row > 0).then(|| index - self.width);
        let left = (column > 0).then(|| index - 1);
        let right = (column + 1 < self.width).then_some(index + 1);
        let below = (row + 1 < self.height).then_some(index + self.width);
        [above, left, right, below].into_iter().flatten()
    }

    /// Whether a place of the picture belongs to the region.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be inside the rectangle"
    )]
    pub(super) fn covers(&self, x: f64, y: f64) -> bool {
        let (x, y) = (x - self.left as f64, y - self.top as f64);
        let is_in = (0.0..self.width as f64).contains(&x) && (0.0..self.height as f64).contains(&y);
        is_in && self.is_inside(y as usize * self.width + x as usize)
    }

    pub(super) fn is_inside(&self, index: usize) -> bool {
        self.weights.get(index).is_some_and(|&weight| weight > 0.0)
    }
}

/// Smallest and largest coordinate, `reach` further out, cut to a picture; `None` where nothing is left.
fn span(points: &[Point], coordinate: impl Fn(&Point) -> f32, reach: f32, side: f32) -> Option<[f32; 2]> {
    let values = || points.iter().map(&coordinate);
    let low = (values().fold(f32::INFINITY, f32::min) - reach).max(0.0);
    let high = (values().fold(f32::NEG_INFINITY, f32::max) + reach).min(side);
    (low < high).then_some([low, high])
}

/// 0 below 0, 1 above 1, without corners between.
fn smooth(share: f32) -> f32 {
    let share = share.clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// Corners of the convex hull, one way round (Andrew 1979, the monotone chain).
fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let mut corners = chain(sorted.iter().copied());
    let mut back = chain(sorted.iter().rev().copied());
    corners.pop();
    back.pop();
    corners.append(&mut back);
    corners
}

fn chain(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut corners: Vec<Point> = Vec::new();
    for point in points {
        while let [.., a, b] = corners.as_slice()
            && cross(*a, *b, point) <= 0.0
        {
            corners.pop();
        }
        corners.push(point);
    }
    corners
}

/// Positive where c lies left of the way from a to b.
fn cross(a: Point, b: Point, c: Point) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// Distance of a point from a convex polygon, 0 inside.
fn distance(hull: &[Point], point: Point) -> f32 {
    let next = hull.iter().skip(1).chain(hull.first());
    let edges: Vec<(Point, Point)> = hull.iter().copied().zip(next.copied()).collect();
    if edges.len() > 2 && edges.iter().all(|&(a, b)| cross(a, b, point) >= 0.0) {
        return 0.0;
    }
    edges.iter().map(|&(a, b)| distance_to_edge(a, b, point)).fold(f32::INFINITY, f32::min)
}

fn distance_to_edge(a: Point, b: Point, point: Point) -> f32 {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let squares = dx * dx + dy * dy;
    let share = if squares > 0.0 { ((point.x - a.x) * dx + (point.y - a.y) * dy) / squares } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    point.distance(Point::new(a.x + share * dx, a.y + share * dy))
}
